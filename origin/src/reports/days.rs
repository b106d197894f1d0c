//! Days and hours in a time zone: when they begin in UTC, over every change of the clocks.

use super::Problem;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Instant, ToSpan};
use postback::time::Timestamp;
use std::ops::RangeInclusive;

/// Days of a question at most, by the day or in all.
const DAYS_MAX: i64 = 400;
/// The same by the hour.
const DAYS_MAX_BY_HOUR: i64 = 31;
/// Days that are asked for where nothing is said: the last thirty, today among them.
const DAYS_DEFAULT: i64 = 30;
const DAY_S: i64 = 86_400;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const QUARTER_S: i64 = 900;
/// Years in which anything can have happened, as for events, and a day more on both sides for the zones, in Unix seconds.
const KNOWN_S: RangeInclusive<i64> = -DAY_S..=4_102_444_800 + DAY_S;

/// Into what a span of time is parted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interval {
    /// Days of the zone.
    #[default]
    Day,
    /// Hours.
    Hour,
    /// Not at all.
    All,
}

impl Interval {
    /// The interval of a name.
    pub fn parse(name: Option<&str>) -> Result<Interval, Problem> {
        match name {
            None | Some("day") => Ok(Interval::Day),
            Some("hour") => Ok(Interval::Hour),
            Some("all") => Ok(Interval::All),
            Some(_) => Err(Problem::INTERVAL),
        }
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Interval::Day => "day",
            Interval::Hour => "hour",
            Interval::All => "all",
        }
    }
}

/// From when to when is asked, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The beginning.
    pub from: Instant,
    /// The end.
    pub to: Instant,
}

/// Reads where a range begins and ends. A date is a whole day of the zone, the last one included; an instant is that instant, the
/// last one not included. None where it says nothing.
pub fn bounds(
    from: Option<&str>,
    to: Option<&str>,
    zone: &TimeZone,
) -> Result<(Option<Instant>, Option<Instant>), Problem> {
    let from = from.map(|text| instant(text, zone, 0).ok_or(Problem::FROM)).transpose()?;
    let to = to.map(|text| instant(text, zone, 1).ok_or(Problem::TO)).transpose()?;
    if let (Some(from), Some(to)) = (from, to)
        && to <= from
    {
        return Err(Problem::RANGE);
    }
    Ok((from, to))
}

fn instant(text: &str, zone: &TimeZone, days_later: i64) -> Option<Instant> {
    read_instant(text, zone, days_later).filter(|at| KNOWN_S.contains(&at.as_second()))
}

fn read_instant(text: &str, zone: &TimeZone, days_later: i64) -> Option<Instant> {
    // A space in a query is what a plus was meant to be.
    let text = text.replace(' ', "+");
    if let Ok(instant) = text.parse::<Instant>() {
        return Some(instant);
    }
    let is_date = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let day = text.parse::<Date>().ok().filter(|_| is_date)?;
    begin(day.checked_add(days_later.days()).ok()?, zone)
}

/// When a day begins on a zone's clocks.
pub fn begin(day: Date, zone: &TimeZone) -> Option<Instant> {
    Some(day.to_zoned(zone.clone()).ok()?.start_of_day().ok()?.timestamp())
}

/// The range of a question about statistics, whose ends are known or have a default.
pub fn range(
    from: Option<Instant>,
    to: Option<Instant>,
    interval: Interval,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Range, Problem> {
    let now = Instant::from_millisecond(now.unix_ms()).map_err(|_| Problem::TO)?;
    let today = now.to_zoned(zone.clone()).date();
    let day = |days: i64| today.checked_add(days.days()).ok().and_then(|day| begin(day, zone));
    let to = to.or_else(|| day(1)).ok_or(Problem::TO)?;
    let from = match from {
        Some(from) => from,
        None => {
            let last = to.to_zoned(zone.clone()).date();
            let first = last.checked_sub(DAYS_DEFAULT.days()).ok();
            first.and_then(|first| begin(first, zone)).ok_or(Problem::FROM)?
        }
    };
    let days_max = match interval {
        Interval::Day | Interval::All => DAYS_MAX,
        Interval::Hour => DAYS_MAX_BY_HOUR,
    };
    let seconds = to.as_second().saturating_sub(from.as_second());
    if seconds <= 0 {
        return Err(Problem::RANGE);
    }
    // A day may have 25 hours.
    if seconds > days_max.saturating_mul(DAY_S).saturating_add(3600) {
        return Err(Problem::RANGE_TOO_LONG);
    }
    let is_quarter = |at: Instant| at.as_second().rem_euclid(QUARTER_S) == 0 && at.subsec_nanosecond() == 0;
    if is_quarter(from) && is_quarter(to) { Ok(Range { from, to }) } else { Err(Problem::NO_QUARTER) }
}

/// The parts of a range, in their order: days begin at the zone's midnights, the first and the last may be shorter.
pub fn parts(range: Range, interval: Interval, zone: &TimeZone) -> Vec<Range> {
    let mut parts = Vec::new();
    let mut from = range.from;
    while from < range.to {
        let next = match interval {
            Interval::All => None,
            Interval::Hour => from.checked_add(HOUR).ok(),
            Interval::Day => {
                let day = from.to_zoned(zone.clone()).date();
                day.tomorrow().ok().and_then(|day| begin(day, zone))
            }
        };
        // What does not get on would go on for ever.
        let to = next.filter(|next| *next > from).unwrap_or(range.to).min(range.to);
        parts.push(Range { from, to });
        from = to;
    }
    parts
}

/// An instant as the rest of the program has it.
pub fn timestamp(at: Instant) -> Option<Timestamp> {
    Timestamp::from_unix_ms(at.as_millisecond())
}

/// An instant as clocks of the zone show it, with their offset.
pub fn shown(at: Instant, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::zone::Zone;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn parts_of(from: &str, to: &str, interval: Interval, name: &str) -> Vec<String> {
        let zone = zone(name);
        let (from, to) = bounds(Some(from), Some(to), &zone).unwrap();
        let now = Timestamp::parse("2026-01-01T00:00:00Z", &Zone::utc()).unwrap();
        let range = range(from, to, interval, &zone, now).unwrap();
        parts(range, interval, &zone).iter().map(|part| part.from.to_string()).collect()
    }

    #[test]
    fn days_begin_at_the_zone_s_midnight_also_when_clocks_change() {
        assert_eq!(
            parts_of("2025-10-25", "2025-10-27", Interval::Day, "Europe/Berlin"),
            ["2025-10-24T22:00:00Z", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"]
        );
        assert_eq!(parts_of("2025-10-26", "2025-10-26", Interval::Hour, "Europe/Berlin").len(), 25);
        assert_eq!(parts_of("2025-03-30", "2025-03-30", Interval::Hour, "Europe/Berlin").len(), 23);
        assert_eq!(parts_of("2025-11-21", "2025-11-21", Interval::Day, "Asia/Kathmandu"), ["2025-11-20T18:15:00Z"]);
        // A day without midnight.
        assert_eq!(parts_of("2025-09-06", "2025-09-07", Interval::Day, "America/Santiago").len(), 2);
        assert_eq!(parts_of("2025-01-01", "2025-12-31", Interval::All, "UTC").len(), 1);
    }

    #[test]
    fn what_cannot_be_a_range_is_told() {
        let utc = TimeZone::UTC;
        for (from, to, problem) in [
            ("2025-13-01", "2025-01-01", Problem::FROM),
            ("2025-01-01", "tomorrow", Problem::TO),
            ("20250101", "2025-01-01", Problem::FROM),
            ("0000-01-01", "2025-01-01", Problem::FROM),
            ("2025-01-01", "2101-01-01", Problem::TO),
            ("2025-01-01", "9999-12-31T00:00:00Z", Problem::TO),
            ("2025-01-02", "2025-01-01T00:00:00Z", Problem::RANGE),
        ] {
            assert_eq!(bounds(Some(from), Some(to), &utc), Err(problem), "{from} {to}");
        }
        let now = Timestamp::parse("2026-01-01T00:00:00Z", &Zone::utc()).unwrap();
        let asked = |from: &str, to: &str, interval| {
            let (from, to) = bounds(Some(from), Some(to), &utc).unwrap();
            range(from, to, interval, &utc, now)
        };
        assert_eq!(asked("2024-01-01", "2025-12-31", Interval::Day), Err(Problem::RANGE_TOO_LONG));
        assert_eq!(asked("2025-01-01", "2025-03-01", Interval::Hour), Err(Problem::RANGE_TOO_LONG));
        assert_eq!(asked("2025-01-01T00:01:00Z", "2025-01-02T00:00:00Z", Interval::All), Err(Problem::NO_QUARTER));
        assert!(asked("2025-01-01T00:15:00+05:45", "2025-01-02T00:00:00 08:00", Interval::All).is_ok());
    }

    #[test]
    fn without_a_word_it_is_the_last_thirty_days() {
        let zone = zone("Asia/Kuala_Lumpur");
        let now = Timestamp::parse("2025-11-21T18:00:00Z", &Zone::utc()).unwrap();
        let range = range(None, None, Interval::Day, &zone, now).unwrap();
        let parts = parts(range, Interval::Day, &zone);
        assert_eq!(parts.len(), 30);
        assert_eq!(shown(range.to, &zone), "2025-11-23T00:00:00+08:00");
    }
}
