//! Counts of how requests and deliveries end, for Prometheus. An isolate counts in memory; `crate::queue::counts` sends what it counted.

use postback::edge_report::OutcomeKind;
use std::sync::{Mutex, PoisonError};

/// One series and its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// The partner's code.
    pub partner: String,
    /// What is counted.
    pub kind: OutcomeKind,
    /// The outcome.
    pub outcome: &'static str,
    /// How often.
    pub count: u64,
}

/// What was counted since it was last taken: a few dozen series, because outcomes are words of ours.
static COUNTS: Mutex<Vec<Series>> = Mutex::new(Vec::new());

/// Adds to the count of an outcome.
pub fn count(partner: &str, kind: OutcomeKind, outcome: &'static str, count: u64) {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |series: &&mut Series| series.outcome == outcome && series.kind == kind && series.partner == partner;
    match counts.iter_mut().find(is_it) {
        Some(series) => series.count = series.count.saturating_add(count),
        None => counts.push(Series { partner: partner.to_owned(), kind, outcome, count }),
    }
}

/// Takes all counts: they begin at nothing again.
pub fn take() -> Vec<Series> {
    std::mem::take(&mut *COUNTS.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_until_they_are_taken() {
        for (partner, outcome, more) in
            [("a", "created", 1), ("b", "created", 2), ("a", "queued", 3), ("a", "created", 4)]
        {
            count(partner, OutcomeKind::Requests, outcome, more);
        }
        let taken: Vec<_> = take().into_iter().map(|series| (series.partner, series.outcome, series.count)).collect();
        let expected = [("a", "created", 5), ("b", "created", 2), ("a", "queued", 3)];
        assert_eq!(taken, expected.map(|(partner, outcome, count)| (partner.to_owned(), outcome, count)));
        assert!(take().is_empty());
    }
}
