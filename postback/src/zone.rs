//! One IANA time zone as a table of offsets: what local clocks showed from which instant on. The tables of the zones
//! that partner files name are made when the program is built (see `partner::file`), so that the edge carries a few
//! kilobytes and not the whole time zone database.

use serde::{Deserialize, Serialize};

/// A zone's offsets from UTC over the years that [`crate::time`] reads (1970 to 2099).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    name: String,
    /// Seconds east of UTC before the first change.
    first_offset_s: i32,
    /// Each change: the instant in Unix seconds and the offset in force from then on, in order of time.
    changes: Vec<(i64, i32)>,
}

impl Zone {
    /// UTC itself.
    pub fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), first_offset_s: 0, changes: Vec::new() }
    }

    /// A zone from its table. `changes` must be in order of time.
    #[cfg(feature = "files")]
    pub(crate) fn new(name: &str, first_offset_s: i32, changes: Vec<(i64, i32)>) -> Zone {
        Zone { name: name.to_owned(), first_offset_s, changes }
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Each change of the clocks: the instant in Unix seconds, and the seconds east of UTC from then on.
    pub fn changes(&self) -> &[(i64, i32)] {
        &self.changes
    }

    /// The instant (Unix seconds) at which local clocks showed `local_s`, the local date and time counted as if it
    /// were UTC.
    ///
    /// Two rules settle what a clock alone leaves open. A time shown twice (clocks went back) is its first showing. A
    /// time never shown (clocks went forward) is read with the offset before the change, so that 02:30 in a skipped
    /// hour is the instant which clocks called 03:30. This is RFC 5545's rule, and Python's `fold=0`.
    pub fn instant(&self, local_s: i64) -> i64 {
        let mut offset_s = self.first_offset_s;
        for &(change_s, next_offset_s) in &self.changes {
            // The first period whose end, on its own clocks, lies after the local time; a gap falls to the period
            // before it, because there the end on the clocks of that period has passed but the start of the next,
            // on the clocks of the next, has not.
            let end_on_these_clocks_s = change_s.saturating_add(i64::from(offset_s));
            let start_on_next_clocks_s = change_s.saturating_add(i64::from(next_offset_s));
            if local_s < end_on_these_clocks_s.max(start_on_next_clocks_s) {
                break;
            }
            offset_s = next_offset_s;
        }
        local_s.saturating_sub(i64::from(offset_s))
    }
}

#[cfg(feature = "files")]
#[cfg(test)]
mod tests {
    use crate::partner::file::zone;

    /// Seconds of a local date and time, as if it were UTC.
    fn local(text: &str) -> i64 {
        chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc().timestamp()
    }

    fn utc_of(zone_name: &str, text: &str) -> String {
        let instant = zone(zone_name).unwrap().instant(local(text));
        chrono::DateTime::from_timestamp(instant, 0).unwrap().format("%Y-%m-%d %H:%M:%S").to_string()
    }

    #[test]
    fn a_zone_without_daylight_saving_shifts_by_its_offset() {
        assert_eq!(utc_of("Asia/Kuala_Lumpur", "2025-01-01 12:00:00"), "2025-01-01 04:00:00");
    }

    #[test]
    fn a_time_shown_twice_is_its_first_showing() {
        assert_eq!(utc_of("Europe/Berlin", "2025-10-26 01:59:59"), "2025-10-25 23:59:59");
        assert_eq!(utc_of("Europe/Berlin", "2025-10-26 02:30:00"), "2025-10-26 00:30:00");
        assert_eq!(utc_of("Europe/Berlin", "2025-10-26 03:00:00"), "2025-10-26 02:00:00");
    }

    #[test]
    fn a_time_never_shown_is_read_with_the_offset_before_the_change() {
        assert_eq!(utc_of("Europe/Berlin", "2025-03-30 01:59:59"), "2025-03-30 00:59:59");
        assert_eq!(utc_of("Europe/Berlin", "2025-03-30 02:30:00"), "2025-03-30 01:30:00");
        assert_eq!(utc_of("Europe/Berlin", "2025-03-30 03:00:00"), "2025-03-30 01:00:00");
    }

    #[test]
    fn daylight_saving_rules_reach_into_years_to_come() {
        assert_eq!(utc_of("America/New_York", "2090-07-01 12:00:00"), "2090-07-01 16:00:00");
        assert_eq!(utc_of("America/New_York", "2090-01-01 12:00:00"), "2090-01-01 17:00:00");
    }
}
