//! A circuit breaker for each origin and isolate: while the way to an origin is broken, postbacks do not wait for its
//! deadline but go to the queue at once (R19). An optimisation alone: whatever it decides, nothing is lost.

use std::sync::{LazyLock, Mutex, PoisonError};

/// Failures in a row that open it.
const FAILURES_MAX: u32 = 5;
/// How long it stays open at first, in milliseconds; twice as long after each probe that failed.
const OPEN_MS_MIN: i64 = 5_000;
/// How long it stays open at most, in milliseconds.
const OPEN_MS_MAX: i64 = 60_000;
/// After this a probe that was never heard of again counts as failed, in milliseconds.
const PROBE_MS_MAX: i64 = 5_000;

/// One origin's breaker. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    for_ms: i64,
    until_ms: i64,
    /// Whether an attempt was let through since.
    is_probed: bool,
}

impl Breaker {
    /// Whether an attempt may be made. While it is open, one is let through when its time has come, and others only after that
    /// one is settled or overdue.
    pub fn admits(&mut self, now_ms: i64) -> bool {
        match &mut self.open {
            None => true,
            Some(open) if now_ms < open.until_ms => false,
            Some(open) => {
                open.until_ms = now_ms.saturating_add(PROBE_MS_MAX);
                open.is_probed = true;
                true
            }
        }
    }

    /// The origin acknowledged something.
    pub fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    /// The way to the origin was broken.
    pub fn failed(&mut self, now_ms: i64) {
        self.failures = self.failures.saturating_add(1);
        match &mut self.open {
            Some(open) if open.is_probed => {
                let for_ms = open.for_ms.saturating_mul(2).min(OPEN_MS_MAX);
                *open = Open::from(now_ms, for_ms);
            }
            // An attempt that began before it opened says nothing new.
            Some(_) => {}
            None if self.failures >= FAILURES_MAX => self.open = Some(Open::from(now_ms, OPEN_MS_MIN)),
            None => {}
        }
    }
}

impl Open {
    fn from(now_ms: i64, for_ms: i64) -> Open {
        Open { for_ms, until_ms: now_ms.saturating_add(for_ms), is_probed: false }
    }
}

/// This isolate's breakers, by origin. There are as many as the configuration names origins.
static BREAKERS: LazyLock<Mutex<Vec<(String, Breaker)>>> = LazyLock::new(|| Mutex::new(Vec::new()));

/// Does something with an origin's breaker.
pub fn with<T>(origin: &str, work: impl FnOnce(&mut Breaker) -> T) -> T {
    let mut breakers = BREAKERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, breaker)) = breakers.iter_mut().find(|(known, _)| known == origin) {
        return work(breaker);
    }
    let mut breaker = Breaker::default();
    let result = work(&mut breaker);
    breakers.push((origin.to_owned(), breaker));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(now_ms: i64) -> Breaker {
        let mut breaker = Breaker::default();
        (0..FAILURES_MAX).for_each(|_| breaker.failed(now_ms));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_for_five_seconds() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(1_000);
        }
        breaker.succeeded();
        for _ in 0..4 {
            breaker.failed(1_000);
            assert!(breaker.admits(1_000));
        }
        breaker.failed(1_000);
        assert!(!breaker.admits(1_000) && !breaker.admits(5_999));
        assert!(breaker.admits(6_000));
    }

    #[test]
    fn one_probe_is_let_through_and_its_success_closes_it() {
        let mut breaker = opened(0);
        assert!(breaker.admits(5_000));
        assert!(!breaker.admits(5_000) && !breaker.admits(9_999), "one at a time");
        breaker.succeeded();
        assert!(breaker.admits(5_100) && breaker.admits(5_100));
    }

    #[test]
    fn each_failed_probe_doubles_the_time_up_to_a_minute() {
        let mut breaker = opened(0);
        let mut now_ms = 5_000;
        for open_ms in [10_000, 20_000, 40_000, 60_000, 60_000] {
            assert!(breaker.admits(now_ms));
            breaker.failed(now_ms);
            assert!(!breaker.admits(now_ms + open_ms - 1), "{open_ms}");
            now_ms += open_ms;
        }
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_does_not_keep_it_open() {
        let mut breaker = opened(0);
        assert!(breaker.admits(5_000));
        assert!(breaker.admits(10_000));
    }

    #[test]
    fn failures_of_attempts_that_were_under_way_do_not_open_it_longer() {
        let mut breaker = opened(0);
        (0..20).for_each(|_| breaker.failed(1));
        assert!(breaker.admits(5_000));
        breaker.failed(5_000);
        (0..20).for_each(|_| breaker.failed(5_001));
        assert!(breaker.admits(15_000));
    }
}
