//! The recount of the night: every conversion that changed since the last one, a hundredth of the rest, and the totals of their days and of a
//! hundredth of all days. Which hundredth, the date decides, so that all are recounted within 100 nights. What differed is looked at again
//! every night until it no longer does: otherwise the next night would say that nothing differs. One origin does it for each database;
//! postbacks come first.

use super::{Scope, chunks, conversions, length};
use crate::app::Platform;
use crate::store::recount::{Key, Night, Progress, RecountLease, Recounted};
use crate::store::{Store, StoreError};
use chrono::{Datelike, NaiveDate, Timelike};
use postback::time::Timestamp;
use std::time::Duration;
use tracing::{error, info};

/// Nights within which everything is recounted.
const NIGHTS: u32 = 100;
/// Minutes of the UTC day between which recounts begin, or are gone on with: 03:00 to 07:00.
const WINDOW_MIN: std::ops::Range<u32> = 180..420;
/// Minutes at the beginning of it over which partners are spread.
const SPREAD_MIN: u32 = 60;
/// How long a lease lasts that is not renewed: longer than one page takes.
const LEASE_MS: i64 = 300_000;
/// How long before the last recount began a change is still looked for, because clocks of origins differ.
const MARGIN_MS: i64 = 3_600_000;
/// Since when changes are looked for where there was no recount before, and at the longest.
const FIRST_MS: i64 = 25 * 3_600_000;
const LONGEST_MS: i64 = 8 * 24 * 3_600_000;
/// Days whose totals one night recounts at most.
const DAYS_MAX: usize = 4_000;
/// Keys that differ, and days, that a night has the next one look at again, at most. As long as one of them differs, there is an alert; what
/// mends them mends the others too.
const AGAIN_MAX: usize = 2_000;

/// How much one call does.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Pages of keys and days, at most.
    pub steps_max: usize,
    /// How long it pauses between two of them.
    pub pause: Duration,
}

/// Does the recount of this night, or goes on with it, where it is time for that and no other origin does it. Answers what it found when it
/// is finished. Differences are logged as an error: how many, and nothing of a person.
///
/// # Errors
/// The database cannot say; what is left to do is gone on with by the next call.
pub async fn recount(platform: &Platform, scope: Scope<'_>, budget: Budget) -> Result<Option<Progress>, StoreError> {
    let Scope { partner, store, .. } = scope;
    let partner = partner.code.as_str();
    let now = (platform.now)();
    let Some(day) = due(partner, now) else { return Ok(None) };
    let lease = lease(platform, day)?;
    let last = store.last_recount(now).await?;
    let before = store.recount_before(day).await?;
    let fresh = fresh(now, last.as_ref(), before);
    let Some(progress) = store.lease_recount(&lease, fresh).await? else { return Ok(None) };
    let mut night = Night { lease, progress, finished_at: None };
    for _ in 0..budget.steps_max {
        let is_finished = step(scope, &mut night).await?;
        let now = (platform.now)();
        night.lease.until = later(now, LEASE_MS);
        night.finished_at = is_finished.then_some(now);
        if !store.save_recount(&night).await? {
            return Ok(None);
        }
        if is_finished {
            say(partner, &night.progress);
            return Ok(Some(night.progress));
        }
        give_way(store, budget.pause).await;
    }
    // Whoever comes next goes on.
    night.lease.until = (platform.now)();
    store.save_recount(&night).await.map(|_| None)
}

fn say(partner: &str, progress: &Progress) {
    let Progress { keys, days_done: days, conversions_differ: conversions, totals_differ: totals, .. } = *progress;
    if conversions == 0 && totals == 0 {
        info!(partner, keys, days, "recount finished, nothing differs");
    } else {
        error!(
            partner,
            keys, days, conversions, totals, "recount found differences; see bytec-origin recount --dry-run"
        );
    }
}

/// The date of the night whose recount may run now.
fn due(partner: &str, now: Timestamp) -> Option<NaiveDate> {
    let now = now.to_chrono();
    let minute = now.hour().saturating_mul(60).saturating_add(now.minute());
    let begins = WINDOW_MIN.start.saturating_add(hash(partner).checked_rem(SPREAD_MIN)?);
    (begins..WINDOW_MIN.end).contains(&minute).then(|| now.date_naive())
}

fn lease(platform: &Platform, day: NaiveDate) -> Result<RecountLease, StoreError> {
    let now = (platform.now)();
    Ok(RecountLease { day, id: platform.receipt_id()?.to_string(), now, until: later(now, LEASE_MS) })
}

/// Where a night begins: `last` is the last one that was finished, `before` the last one that was begun.
fn fresh(now: Timestamp, last: Option<&Recounted>, before: Option<Progress>) -> Progress {
    let began_ms = now.unix_ms();
    let since_ms = match last {
        Some(last) => last.progress.began_ms.saturating_sub(MARGIN_MS).max(began_ms.saturating_sub(LONGEST_MS)),
        None => began_ms.saturating_sub(FIRST_MS),
    };
    // Where that one was not finished, what it was to look at again is looked at now. Of one that was, there is nothing of these left.
    let Progress { again, days, differing_keys, differing_days, .. } = before.unwrap_or_default();
    Progress {
        began_ms,
        changed_since_ms: since_ms,
        after_key: Some(String::new()),
        again: differing_keys.into_iter().chain(again).take(AGAIN_MAX).collect(),
        days: differing_days.into_iter().chain(days).take(DAYS_MAX).collect(),
        ..Progress::default()
    }
}

fn later(now: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(ms)).unwrap_or(now)
}

/// One page of keys, or one day; whether nothing is left.
async fn step(scope: Scope<'_>, night: &mut Night) -> Result<bool, StoreError> {
    let store = scope.store;
    let Night { lease, progress, .. } = night;
    match progress.after_key.take() {
        Some(after) => {
            let changed_since = Timestamp::from_unix_ms(progress.changed_since_ms).unwrap_or(Timestamp::EPOCH);
            let mut page = store.conversion_keys(&after, changed_since).await?;
            let (is_last, last) = (page.is_last, page.keys.last().map(|key| key.conversion_key.clone()));
            for key in &mut page.keys {
                key.is_changed |= progress.again.contains(&hash(&key.conversion_key));
            }
            let turn = turn(lease.day);
            let keys = page.keys.into_iter().filter(|key| key.is_changed || hash(&key.conversion_key) % NIGHTS == turn);
            keys_of_page(scope, progress, &keys.collect::<Vec<_>>()).await?;
            progress.after_key = last.filter(|_| !is_last);
            if progress.after_key.is_none() {
                add_days_of_turn(store, progress, lease.day).await?;
            }
        }
        None => {
            let Some(text) = progress.days.pop_first() else { return Ok(finish(progress)) };
            let day = text.parse().map_err(|_| StoreError::Bug(format!("a recount of a day that is none: {text}")))?;
            let differences = store.recount_totals(day).await?;
            if !differences.is_empty() && progress.differing_days.len() < AGAIN_MAX {
                progress.differing_days.insert(text);
            }
            progress.days_done = progress.days_done.saturating_add(1);
            progress.totals_differ = progress.totals_differ.saturating_add(length(differences.len()));
        }
    }
    let is_finished = progress.after_key.is_none() && progress.days.is_empty();
    Ok(is_finished && finish(progress))
}

/// What was to be looked at again has been.
fn finish(progress: &mut Progress) -> bool {
    progress.again.clear();
    true
}

async fn keys_of_page(scope: Scope<'_>, progress: &mut Progress, keys: &[Key]) -> Result<(), StoreError> {
    for chunk in chunks(keys) {
        let differences = conversions(scope, &chunk).await?;
        progress.keys = progress.keys.saturating_add(length(chunk.len()));
        progress.conversions_differ = progress.conversions_differ.saturating_add(length(differences.len()));
        for difference in differences {
            if progress.differing_keys.len() < AGAIN_MAX {
                progress.differing_keys.insert(hash(&difference.conversion_key));
            }
        }
    }
    for day in keys.iter().filter(|key| key.is_changed).flat_map(|key| &key.days) {
        if progress.days.len() < DAYS_MAX {
            progress.days.insert(day.to_string());
        }
    }
    Ok(())
}

/// Adds those of all days up to this one whose turn it is.
async fn add_days_of_turn(store: &Store, progress: &mut Progress, night: NaiveDate) -> Result<(), StoreError> {
    let Some(first) = store.next_day_of_totals(Timestamp::EPOCH.to_chrono().date_naive()).await? else { return Ok(()) };
    let days = first.iter_days().take_while(|day| *day <= night).filter(|day| turn(*day) == turn(night));
    for day in days {
        if progress.days.len() < DAYS_MAX {
            progress.days.insert(day.to_string());
        }
    }
    Ok(())
}

/// Which hundredth it is the turn of.
fn turn(day: NaiveDate) -> u32 {
    u32::try_from(day.num_days_from_ce()).unwrap_or(0) % NIGHTS
}

/// FNV-1a: the same on every host, in every version.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(not(target_family = "wasm"))]
async fn give_way(store: &Store, pause: Duration) {
    /// How often it looks whether postbacks still wait, before it goes on in spite of them.
    const LOOKS_MAX: u32 = 50;
    tokio::time::sleep(pause).await;
    for _ in 0..LOOKS_MAX {
        if !store.is_pressed() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

/// A Worker's run of the cron trigger has its budget of steps.
#[cfg(target_family = "wasm")]
async fn give_way(_store: &Store, _pause: Duration) {}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::zone::Zone;
    use std::collections::BTreeSet;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text, &Zone::utc()).unwrap()
    }

    #[test]
    fn it_is_due_between_three_and_seven_and_not_for_all_partners_at_once() {
        for text in ["2025-11-21T02:59:59Z", "2025-11-21T07:00:00Z", "2025-11-21T15:30:00Z"] {
            assert_eq!(due("rector", at(text)), None, "{text}");
        }
        for text in ["2025-11-21T04:00:00Z", "2025-11-21T06:59:59Z"] {
            assert_eq!(due("rector", at(text)), NaiveDate::from_ymd_opt(2025, 11, 21), "{text}");
        }
        let begins = |partner: &str| {
            (0..60).find(|minute| due(partner, at(&format!("2025-11-21T03:{minute:02}:00Z"))).is_some())
        };
        let minutes: BTreeSet<_> = ["rector", "involve_asia", "s2s"].map(begins).into();
        assert_eq!(minutes.len(), 3, "{minutes:?}");
    }

    #[test]
    fn every_key_and_every_day_has_its_turn_within_a_hundred_nights() {
        let first = NaiveDate::from_ymd_opt(2025, 11, 21).unwrap();
        let turns: BTreeSet<_> = first.iter_days().take(100).map(turn).collect();
        assert_eq!(turns.len(), 100);
        // At least 1 % of keys a night, give or take.
        let of_a_night = (0..100_000).filter(|number| hash(&format!("c{number}")) % NIGHTS == 7).count();
        assert!((800..1_200).contains(&of_a_night), "{of_a_night}");
    }

    #[test]
    fn changes_are_looked_for_since_the_last_recount_and_for_eight_days_at_most() {
        let now = at("2025-11-21T03:10:00Z");
        let last = |text: &str| {
            let progress = Progress { began_ms: at(text).unix_ms(), ..Progress::default() };
            Recounted { finished_s: 0, progress }
        };
        let since = |last: Option<&Recounted>| {
            Timestamp::from_unix_ms(fresh(now, last, None).changed_since_ms).unwrap().to_sortable()
        };
        assert_eq!(since(None), "2025-11-20T02:10:00.000000Z");
        assert_eq!(since(Some(&last("2025-11-19T03:10:00Z"))), "2025-11-19T02:10:00.000000Z");
        assert_eq!(since(Some(&last("2025-01-01T03:10:00Z"))), "2025-11-13T03:10:00.000000Z");
    }

    #[test]
    fn what_differed_is_looked_at_again_whether_or_not_the_night_was_finished() {
        let now = at("2025-11-21T03:10:00Z");
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let before = Progress {
            again: [1, 2].into(),
            days: texts(&["2025-11-01"]),
            differing_keys: [2, 3].into(),
            differing_days: texts(&["2025-11-02"]),
            conversions_differ: 2,
            ..Progress::default()
        };
        let fresh = fresh(now, None, Some(before));
        assert_eq!(fresh.again, [1, 2, 3].into());
        assert_eq!(fresh.days, texts(&["2025-11-01", "2025-11-02"]));
        assert_eq!((fresh.conversions_differ, fresh.differing_keys, fresh.differing_days), (0, [].into(), [].into()));
        let many = Progress { differing_keys: (0..3_000).collect(), ..Progress::default() };
        assert_eq!(super::fresh(now, None, Some(many)).again.len(), AGAIN_MAX);
    }
}
