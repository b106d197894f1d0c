//! Random histories: every store comes to what a model in memory comes to, which applies the pure rules one by one.

use crate::{Fresh, at, fresh_with, record};
use bytec_origin::store::{Receipt, Record, Recorded};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, Effect, Known, OnRepeat};
use postback::status::Status;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

/// Requests that are neither as old as their event nor in the index of repeats: nobody would find them by it.
const NOT_FOUND_BY_EVENT: &str =
    "select cast(count(*) as text) from postbacks join events on events.event_id = postbacks.event_id
    where postbacks.received_at <> events.received_at and postbacks.verdict not in ('duplicate', 'conflict')";

/// One request of a history.
#[derive(Clone, Debug)]
struct Sent {
    query: String,
    received_s: i64,
}

/// A conversion as the model has it.
#[derive(Clone, Debug)]
struct Conversion {
    revision: u32,
    status: Option<Status>,
    is_duplicate: bool,
    last_received_at: Timestamp,
}

#[derive(Default)]
struct Model {
    /// Fingerprints by event id.
    events: BTreeMap<String, String>,
    /// Conversions by key, by occurrence.
    conversions: BTreeMap<String, Vec<Conversion>>,
}

impl Model {
    fn record(&mut self, policy: &DuplicatePolicy, record: &Record) -> Verdict {
        let (postback, received_at) = (&record.reading.postback, record.receipt.received_at);
        let event_id = postback.event_id().to_string();
        if let Some(known) = self.events.get(&event_id) {
            return if *known == postback.fingerprint() { Verdict::Duplicate } else { Verdict::Conflict };
        }
        self.events.insert(event_id, postback.fingerprint());
        let occurrences = self.conversions.entry(policy.conversion_key(postback)).or_default();
        let known =
            occurrences.last().map(|last| Known { status: last.status, last_received_at: last.last_received_at });
        let effect = policy.effect(known.as_ref(), postback, received_at);
        let is_duplicate = effect == Effect::Flagged;
        let begun = Conversion { revision: 1, status: postback.status(), is_duplicate, last_received_at: received_at };
        match (effect, occurrences.last_mut()) {
            (Effect::Creates | Effect::Flagged, _) | (_, None) => {
                occurrences.push(begun);
                Verdict::Created
            }
            (Effect::Ignored, Some(last)) => {
                last.last_received_at = last.last_received_at.max(received_at);
                Verdict::Duplicate
            }
            (Effect::Revises | Effect::Late, Some(last)) => {
                last.revision += 1;
                last.status = if effect == Effect::Late { last.status } else { postback.status().or(last.status) };
                last.last_received_at = last.last_received_at.max(received_at);
                Verdict::Revised
            }
        }
    }

    /// As [`Fresh::conversions`] answers them.
    fn conversions(&self) -> Vec<String> {
        let occurrences =
            self.conversions.iter().flat_map(|(key, all)| all.iter().zip(1..).map(move |each| (key, each)));
        let mut rows: Vec<_> = occurrences
            .map(|(key, (conversion, occurrence))| {
                let Conversion { revision, status, is_duplicate, .. } = conversion;
                let status = status.map_or("-", |status| status.name());
                format!("{key} {occurrence} {revision} {status}{}", if *is_duplicate { " marked" } else { "" })
            })
            .collect();
        rows.sort();
        rows
    }
}

impl Fresh {
    async fn conversions(&self) -> Vec<String> {
        let mut rows = self
            .column(
                "select conversion_key || ' ' || cast(occurrence as text) || ' ' || cast(revision as text) || ' ' ||
                 coalesce(status, '-') || case when is_duplicate then ' marked' else '' end from conversions",
            )
            .await;
        rows.sort();
        rows
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let statuses = proptest::sample::select(vec!["", "Pending", "Approved", "Rejected", "Paid"]);
    let events = proptest::sample::select(vec!["purchase", "refund"]);
    let event_id = proptest::option::weighted(0.3, 0..4_u8);
    let clicks = proptest::option::weighted(0.8, 0..2_u8);
    let times = proptest::option::weighted(0.4, 0..3_u8);
    let local = proptest::sample::select(vec![
        "",
        "&payout_local=5&conversion_currency=EUR",
        "&sale_amount_local=7&conversion_currency=MYR",
    ]);
    (0..3_u8, clicks, events, statuses, 1..4_u8, event_id, 0..200_i64, times, local).prop_map(
        |(conversion, click, event, status, payout, event_id, received_s, time, local)| {
            let time =
                time.map_or_else(String::new, |time| format!("&datetime_conversion=2025-11-20+12:{}", 13 + time));
            let click = click.map_or_else(String::new, |click| format!("&click_id=k{click}"));
            let event_id = event_id.map_or_else(String::new, |id| format!("&event_id=e{id}"));
            let status = if status.is_empty() { String::new() } else { format!("&status={status}") };
            let query = format!(
                "conversion_id=c{conversion}&event={event}&rewars={payout}{click}{event_id}{status}{time}{local}"
            );
            Sent { query, received_s }
        },
    )
}

fn received(sent: &Sent) -> Record {
    let record = record(&sent.query);
    let received_at = Timestamp::from_unix_ms((at("2025-11-21T00:00:00Z").unix_s() + sent.received_s) * 1000).unwrap();
    Record { receipt: Receipt { received_at, ..record.receipt.clone() }, ..record }
}

fn every_history_comes_to_what_the_model_says(kind: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (key, window_s, repeat) in [
        (DuplicateKey::ConversionId, None, OnRepeat::Revise),
        (DuplicateKey::ConversionIdAndEvent, Some(60), OnRepeat::Revise),
        (DuplicateKey::ClickIdAndEvent, Some(60), OnRepeat::Flag),
        (DuplicateKey::ConversionId, Some(60), OnRepeat::Ignore),
        (DuplicateKey::EventId, None, OnRepeat::Revise),
    ] {
        let policy = DuplicatePolicy { key, window_s, repeat, ..DuplicatePolicy::default() };
        let db = runtime.block_on(fresh_with(kind, policy));
        let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
        let history = proptest::collection::vec(sent(), 1..24);
        let outcome = TestRunner::new(config).run(&history, |history| {
            runtime.block_on(async {
                for table in [
                    "totals",
                    "totals_by_hour",
                    "totals_by_day",
                    "links",
                    "work_items",
                    "revisions",
                    "conversions",
                    "postbacks",
                    "nonces",
                    "events",
                ] {
                    db.execute(&format!("delete from {table}")).await;
                }
                let mut model = Model::default();
                for sent in &history {
                    let record = received(sent);
                    let expected = model.record(&policy, &record);
                    prop_assert_eq!(db.store.record(record).await.unwrap(), Recorded::As(expected), "{:?}", sent);
                }
                prop_assert_eq!(db.conversions().await, model.conversions());
                prop_assert_eq!(db.totals().await, db.recount().await);
                prop_assert_eq!(db.one(NOT_FOUND_BY_EVENT).await, "0");
                Ok(())
            })
        });
        assert!(outcome.is_ok(), "{policy:?}: {}", outcome.unwrap_err());
        runtime.block_on(db.store.close());
    }
}

#[test]
fn sqlite_comes_to_what_the_model_says() {
    every_history_comes_to_what_the_model_says("sqlite");
}

#[test]
fn postgres_comes_to_what_the_model_says() {
    every_history_comes_to_what_the_model_says("postgres");
}

#[test]
fn d1_comes_to_what_the_model_says() {
    every_history_comes_to_what_the_model_says("d1");
}
