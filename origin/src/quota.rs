//! How many requests of a partner's were stored today (R46): by UTC days, repeats included; how many arrived directly in
//! this minute (R14), where no edge has counted them; and how many that the edge rejected were stored.
//!
//! Each origin counts its own and asks the database now and then for what the others took, so that the number is right to a
//! minute. It is a guard against a sender that has gone wild, not an account.

use crate::store::reader::RejectionsSince;
use crate::store::{Store, StoreError};
use postback::partner::Partner;
use postback::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const MINUTE_S: i64 = 60;
const DAY_S: i64 = 24 * 60 * 60;
const HOUR_S: i64 = 60 * 60;
/// How long a count is believed without asking the database.
const BELIEVED_S: i64 = 60;
/// Rejected requests of the edge that failed authentication: stored at most, of a partner in an hour.
pub const UNAUTHENTICATED_PER_HOUR_MAX: u64 = 1_000;

/// The partners' counts, by code.
#[derive(Debug, Default)]
pub struct Quotas {
    partners: Mutex<BTreeMap<String, Count>>,
    /// The same of requests that the edge rejected, by partner code and whether they passed authentication.
    edge_rejections: Mutex<BTreeMap<(String, bool), Count>>,
    /// The minute, counted from 1970, and the requests in it, by partner code.
    minutes: Mutex<BTreeMap<String, (i64, u64)>>,
}

/// One partner's count.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// Days or hours since 1970.
    period: i64,
    requests: u64,
    /// When the database was last asked, in Unix seconds.
    asked_s: i64,
}

/// More than the partner may send in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverDailyLimit {
    /// Seconds until the next day.
    pub retry_after_s: i64,
}

/// More than the partner may send in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverRate {
    /// Seconds until the next minute.
    pub retry_after_s: i64,
}

impl Quotas {
    /// Counts one request that came directly. Each origin counts its own.
    ///
    /// # Errors
    /// It is one too many in this minute.
    pub fn count_minute(&self, partner: &Partner, now: Timestamp) -> Result<(), OverRate> {
        self.count_minute_of(&partner.code, u64::from(partner.max_requests_per_minute), now.unix_s())
    }

    fn count_minute_of(&self, code: &str, requests_max: u64, now_s: i64) -> Result<(), OverRate> {
        let minute = now_s.div_euclid(MINUTE_S);
        let mut minutes = self.minutes.lock().unwrap_or_else(PoisonError::into_inner);
        let (counted, requests) = minutes.entry(code.to_owned()).or_insert((minute, 0));
        // One that began in the minute before and was overtaken counts in this one.
        if *counted < minute || *counted > minute.saturating_add(1) {
            (*counted, *requests) = (minute, 0);
        }
        if *requests >= requests_max {
            return Err(OverRate { retry_after_s: MINUTE_S.saturating_sub(now_s.rem_euclid(MINUTE_S)) });
        }
        *requests = requests.saturating_add(1);
        Ok(())
    }

    /// Counts one request.
    ///
    /// # Errors
    /// It is one too many today. Where the database cannot say how many there were, it is let pass: whatever it is then, it is
    /// not stored unless the database is back.
    pub async fn count(&self, partner: &Partner, store: &Store, now: Timestamp) -> Result<(), OverDailyLimit> {
        let asked = async |day_began: Timestamp| store.count_postbacks(day_began).await;
        let requests_max = u64::from(partner.max_daily_requests);
        let over = count_in(&self.partners, partner.code.clone(), requests_max, DAY_S, now, asked).await;
        over.map_err(|retry_after_s| OverDailyLimit { retry_after_s })
    }

    /// Counts one request that the edge rejected: as many may be stored in a day as the partner may send, and of those that failed
    /// authentication [`UNAUTHENTICATED_PER_HOUR_MAX`]. They use up nothing of the day of requests that can be stored as postbacks.
    /// Returns whether it may be stored.
    pub async fn count_edge_rejection(
        &self,
        partner: &Partner,
        store: &Store,
        is_authenticated: bool,
        now: Timestamp,
    ) -> bool {
        let (requests_max, period_s) = match is_authenticated {
            true => (u64::from(partner.max_daily_requests), DAY_S),
            false => (UNAUTHENTICATED_PER_HOUR_MAX, HOUR_S),
        };
        let asked =
            async |since: Timestamp| store.count_edge_rejections(RejectionsSince { since, is_authenticated }).await;
        let key = (partner.code.clone(), is_authenticated);
        count_in(&self.edge_rejections, key, requests_max, period_s, now, asked).await.is_ok()
    }

    /// Takes one request back that was counted and not stored.
    pub fn give_back(&self, partner: &Partner, now: Timestamp) {
        give_back_in(&self.partners, &partner.code, DAY_S, now);
    }

    /// The same of a request that the edge rejected.
    pub fn give_back_edge_rejection(&self, partner: &Partner, is_authenticated: bool, now: Timestamp) {
        let period_s = if is_authenticated { DAY_S } else { HOUR_S };
        give_back_in(&self.edge_rejections, &(partner.code.clone(), is_authenticated), period_s, now);
    }
}

fn give_back_in<K: Ord>(counts: &Mutex<BTreeMap<K, Count>>, key: &K, period_s: i64, now: Timestamp) {
    let period = now.unix_s().div_euclid(period_s);
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(count) = counts.get_mut(key).filter(|count| count.period == period) {
        count.requests = count.requests.saturating_sub(1);
    }
}

/// Counts one more under a key, in the period of so many seconds that it is now.
///
/// # Errors
/// It is one too many; the seconds until the next period.
async fn count_in<K: Ord + Clone>(
    counts: &Mutex<BTreeMap<K, Count>>,
    key: K,
    requests_max: u64,
    period_s: i64,
    now: Timestamp,
    asked: impl AsyncFnOnce(Timestamp) -> Result<u64, StoreError>,
) -> Result<(), i64> {
    let now_s = now.unix_s();
    let period = now_s.div_euclid(period_s);
    let began = Timestamp::from_unix_ms(period.saturating_mul(period_s).saturating_mul(1_000));
    if is_due(counts, &key, period, now_s)
        && let Some(began) = began
        && let Ok(known) = asked(began).await
    {
        learn(counts, &key, period, known);
    }
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(key).or_insert(Count { period, requests: 0, asked_s: now_s });
    if count.requests >= requests_max {
        return Err(period_s.saturating_sub(now_s.rem_euclid(period_s)));
    }
    count.requests = count.requests.saturating_add(1);
    Ok(())
}

/// Whether the database is to be asked: once a minute, and by one request alone.
fn is_due<K: Ord + Clone>(counts: &Mutex<BTreeMap<K, Count>>, key: &K, period: i64, now_s: i64) -> bool {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    match counts.get_mut(key).filter(|count| count.period == period) {
        Some(count) if now_s.saturating_sub(count.asked_s) < BELIEVED_S => false,
        Some(count) => {
            count.asked_s = now_s;
            true
        }
        None => {
            counts.insert(key.clone(), Count { period, requests: 0, asked_s: now_s });
            true
        }
    }
}

fn learn<K: Ord>(counts: &Mutex<BTreeMap<K, Count>>, key: &K, period: i64, known: u64) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(count) = counts.get_mut(key).filter(|count| count.period == period) {
        // What is under way here is not in the database yet.
        count.requests = count.requests.max(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_S: i64 = 1_763_726_400;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_ms(s.saturating_mul(1_000)).unwrap()
    }

    #[tokio::test]
    async fn a_day_has_so_many_requests_and_the_next_day_begins_anew() {
        let quotas = Quotas::default();
        let count =
            async |now_s: i64| count_in(&quotas.partners, "a".to_owned(), 3, DAY_S, at(now_s), async |_| Ok(0)).await;
        for _ in 0..3 {
            assert_eq!(count(NOON_S).await, Ok(()));
        }
        assert_eq!(count(NOON_S + 10).await, Err(12 * 60 * 60 - 10));
        assert_eq!(count(NOON_S + 12 * 60 * 60 - 1).await, Err(1));
        assert_eq!(count(NOON_S + 12 * 60 * 60).await, Ok(()));
        let other = count_in(&quotas.partners, "b".to_owned(), 3, DAY_S, at(NOON_S), async |_| Ok(0)).await;
        assert_eq!(other, Ok(()), "each partner has its own");
    }

    #[test]
    fn a_minute_has_so_many_requests_and_the_next_minute_begins_anew() {
        let quotas = Quotas::default();
        let count = |code: &str, now_s: i64| quotas.count_minute_of(code, 2, now_s);
        assert_eq!([count("a", NOON_S), count("a", NOON_S + 10)], [Ok(()), Ok(())]);
        assert_eq!(count("a", NOON_S + 59), Err(OverRate { retry_after_s: 1 }));
        assert_eq!([count("b", NOON_S + 59), count("a", NOON_S + 60)], [Ok(()), Ok(())]);
        // One of the minute before that was overtaken does not begin that minute anew.
        assert_eq!(count("a", NOON_S + 59), Ok(()));
        assert_eq!(count("a", NOON_S + 61), Err(OverRate { retry_after_s: 59 }));
    }

    #[tokio::test]
    async fn what_was_not_written_down_is_given_back() {
        let quotas = Quotas::default();
        let partner = crate::config::registry().unwrap().by_code("rector").unwrap().clone();
        let count =
            async || count_in(&quotas.partners, partner.code.clone(), 1, DAY_S, at(NOON_S), async |_| Ok(0)).await;
        assert!(count().await.is_ok() && count().await.is_err());
        quotas.give_back(&partner, at(NOON_S - DAY_S));
        assert!(count().await.is_err(), "of yesterday's there is nothing to give back today");
        quotas.give_back(&partner, at(NOON_S));
        assert!(count().await.is_ok());
    }

    #[tokio::test]
    async fn what_the_database_knows_counts_and_is_asked_for_once_a_minute() {
        let quotas = Quotas::default();
        let asked = std::cell::Cell::new(0);
        let count = async |now_s: i64, known: u64| {
            let ask = async |began: Timestamp| {
                asked.set(asked.get() + 1);
                assert_eq!(began, at(NOON_S - 12 * 60 * 60));
                Ok(known)
            };
            count_in(&quotas.partners, "a".to_owned(), 10, DAY_S, at(now_s), ask).await.is_ok()
        };
        assert!(count(NOON_S, 7).await, "the eighth");
        assert!(count(NOON_S + 59, 1_000).await && asked.get() == 1, "the ninth");
        assert!(count(NOON_S + 60, 9).await && asked.get() == 2, "the tenth");
        assert!(!count(NOON_S + 61, 0).await && asked.get() == 2);
        assert!(!count(NOON_S + 120, 0).await && asked.get() == 3, "what was counted here is not forgotten");
    }

    #[tokio::test]
    async fn a_database_that_cannot_say_lets_pass() {
        let quotas = Quotas::default();
        let away = async |_| Err(StoreError::Unavailable("away".to_owned()));
        let count = async || count_in(&quotas.partners, "a".to_owned(), 1, DAY_S, at(NOON_S), away).await;
        assert_eq!(count().await, Ok(()));
        assert!(count().await.is_err(), "what it counts itself it knows");
    }
}
