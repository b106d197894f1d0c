//! What a partner's arrivals say about its sender (R58): whether its clock or time zone is off, and whether it has fallen silent.
//! Nothing is kept for this but the postbacks themselves, so it is the same of every origin and after every restart.

use crate::store::reader::{Arrivals, Span};
use crate::store::{Store, StoreError};
use postback::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Zones are whole or half hours apart, but for a few of little traffic.
const STEP_S: i64 = 30 * 60;
/// Offsets of zones go as far as this.
const OFFSET_S_MAX: i64 = 14 * 60 * 60;
/// How much sooner or later than a whole step an event may come and still tell of it: networks send within minutes.
const EARLY_S_MAX: i64 = 60;
const LATE_S_MAX: i64 = 5 * 60;
/// So many events tell of nothing yet.
const EVENTS_MIN: usize = 20;
/// Of ten events, so many must tell of the same offset.
const OF_TEN_MIN: usize = 8;

const DAY_S: i64 = 24 * 60 * 60;
/// Nobody is silent who sent within this time, in seconds.
const SILENCE_S_MIN: i64 = 30 * 60;
/// The last silence that is looked into, in seconds: whoever has not sent for longer does not usually send any more.
const SILENCE_S_MAX: i64 = 3 * DAY_S;
/// A silence is so many times as long as the spans in which the partner usually sends.
const TIMES: i64 = 4;
/// How many days back it is looked.
const DAYS: i64 = 7;
/// Of the days before, so many must have had a postback at that time of the day; the same day a week ago among them.
const DAYS_WITH_ARRIVALS_MIN: usize = 5;

/// What is known of a partner's sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// When the last postback came, in Unix seconds.
    pub last_s: Option<i64>,
    /// How far its times are in the past, in seconds: a multiple of half an hour; none, where they are as they should be. Less than
    /// none where they are in the future.
    pub clock_offset_s: i64,
    /// Whether it usually sends at this time of the day, and has not for long.
    pub is_silent: bool,
}

/// Looks at how a partner's postbacks have been arriving.
///
/// # Errors
/// The database cannot say.
pub async fn watch(store: &Store, now: Timestamp) -> Result<Watched, StoreError> {
    let Arrivals { last_s, delays_s } = store.arrivals(now).await?;
    let is_silent = match last_s.and_then(|last_s| usual_spans(now, last_s)) {
        Some(spans) => usually_sends(&store.spans_with_arrivals(&spans).await?),
        None => false,
    };
    Ok(Watched { last_s, clock_offset_s: clock_offset_s(&delays_s), is_silent })
}

/// By how much a sender's times are off, where most of its events agree on that. An event that is sent at once and read in the wrong
/// zone comes a whole number of steps after it happened, or before; others come whenever they come.
fn clock_offset_s(delays_s: &[i64]) -> i64 {
    if delays_s.len() < EVENTS_MIN {
        return 0;
    }
    let mut events: BTreeMap<i64, usize> = BTreeMap::new();
    for offset_s in delays_s.iter().filter_map(|delay_s| offset_of(*delay_s)) {
        let count = events.entry(offset_s).or_default();
        *count = count.saturating_add(1);
    }
    let agreed = |count: usize| count.saturating_mul(10) >= delays_s.len().saturating_mul(OF_TEN_MIN);
    events.into_iter().find(|(_, count)| agreed(*count)).map_or(0, |(offset_s, _)| offset_s)
}

/// The step that a delay is near, if it is near one.
fn offset_of(delay_s: i64) -> Option<i64> {
    // So that what comes a little too soon belongs to the step that it is before.
    let shifted = delay_s.saturating_add(EARLY_S_MAX);
    let is_near = shifted.rem_euclid(STEP_S) <= EARLY_S_MAX.saturating_add(LATE_S_MAX);
    let offset_s = shifted.div_euclid(STEP_S).saturating_mul(STEP_S);
    (is_near && offset_s.abs() <= OFFSET_S_MAX).then_some(offset_s)
}

/// The spans of the days before in which a partner that has been silent since then would usually have sent, by how many days ago they
/// were. None where it has not been silent for long enough, or for so long that nothing is usual any more.
fn usual_spans(now: Timestamp, last_s: i64) -> Option<Vec<Span>> {
    let silence_s = now.unix_s().saturating_sub(last_s);
    if !(SILENCE_S_MIN..=SILENCE_S_MAX).contains(&silence_s) {
        return None;
    }
    let span_s = silence_s.checked_div(TIMES)?.min(DAY_S);
    let at = |second: i64| Timestamp::from_unix_ms(second.checked_mul(1000)?);
    let span = |days_ago: i64| {
        let end_s = now.unix_s().checked_sub(days_ago.checked_mul(DAY_S)?)?;
        Some(Span { number: days_ago, start: at(end_s.checked_sub(span_s)?)?, end: at(end_s)? })
    };
    (1..=DAYS).map(span).collect()
}

fn usually_sends(days_ago: &BTreeSet<i64>) -> bool {
    days_ago.contains(&DAYS) && days_ago.len() >= DAYS_WITH_ARRIVALS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_the_wrong_zone_are_told_by_how_late_they_come() {
        let of = |delay: fn(i64) -> i64| clock_offset_s(&(0..100).map(delay).collect::<Vec<_>>());
        assert_eq!(of(|n| 8 * 3600 + n % 90), 8 * 3600, "Singapore, read as UTC by whoever sends");
        assert_eq!(of(|n| -7 * 3600 + n % 90 - 40), -7 * 3600, "from the future");
        assert_eq!(of(|n| 5 * 3600 + 1800 + n), 5 * 3600 + 1800, "India");
        assert_eq!(of(|n| n % 200), 0, "on time");
        assert_eq!(of(|n| -(n % 50)), 0, "a clock that is a little ahead");
        assert_eq!(of(|n| n * 137), 0, "whenever they come");
        assert_eq!(of(|n| if n % 4 == 0 { 7777 } else { 3600 }), 0, "too many disagree");
        assert_eq!(of(|n| if n % 10 == 0 { 7777 } else { 3600 }), 3600, "a few may");
        assert_eq!(of(|n| 20 * 3600 + n % 60), 0, "no zone is that far");
        assert_eq!(clock_offset_s(&[3600; EVENTS_MIN - 1]), 0, "too few to tell");
        assert_eq!(clock_offset_s(&[i64::MAX, i64::MIN].repeat(20)), 0);
    }

    #[test]
    fn silence_is_long_where_the_partner_usually_sends() {
        let now = Timestamp::from_unix_ms(1_800_000_000_000).unwrap();
        let spans = |silence_s: i64| usual_spans(now, now.unix_s() - silence_s);
        assert_eq!(spans(SILENCE_S_MIN - 1), None);
        assert_eq!(spans(SILENCE_S_MAX + 1), None);
        assert_eq!(spans(-5), None, "a clock behind the sender's");
        let week = spans(4 * 3600).unwrap();
        let shown: Vec<_> = week.iter().map(|span| (span.number, now.unix_s() - span.end.unix_s())).collect();
        assert_eq!(shown, (1..=7).map(|day| (day, day * DAY_S)).collect::<Vec<_>>());
        assert!(week.iter().all(|span| span.end.unix_s() - span.start.unix_s() == 3600));
        let sends = |days: &[i64]| usually_sends(&days.iter().copied().collect());
        assert!(sends(&[1, 2, 3, 4, 5, 6, 7]) && sends(&[1, 2, 5, 6, 7]), "weekends may be free");
        assert!(!sends(&[1, 2, 3, 4, 5, 6]), "nobody sends on this day of the week");
        assert!(!sends(&[1, 3, 5, 7]), "not at this time of the day");
    }
}
