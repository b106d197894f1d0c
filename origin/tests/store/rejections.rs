//! Requests that could not be read (R46): written down as they came, with what is wrong with them.

use crate::{FIRST, Fresh, at, nonce, record, rejection};
use bytec_origin::reconcile::repair::{self, Judge, Notice, Use, Wanted, rejected as rejected_since, stands_as_judged};
use bytec_origin::reconcile::{Difference, Known, Last, Ours, Pair, Standing, Theirs};
use bytec_origin::store::{Receipt, Record, Recorded, Rejected};
use postback::field::Field;
use postback::money::Amount;
use postback::status::Status;
use postback::verdict::Verdict::{Created, Duplicate};
use std::collections::BTreeMap;

/// A rejected request that came at a time.
fn rejected(time: &str, body: Option<&str>, field: Option<&str>) -> Rejected {
    let receipt = Receipt { received_at: at(time), body: body.map(str::to_owned), ..record(FIRST).receipt };
    rejection(receipt, field)
}

impl Fresh {
    async fn rejections(&self) -> Vec<String> {
        self.column(
            "select code || ' ' || coalesce(field, '-') || ' ' || substr(cast(received_at as text), 1, 10) || ' ' || method ||
             ' ' || key_id || ' ' || coalesce(body, '-') from rejections order by rejection_id",
        )
        .await
    }
}

/// A row of a report with this payout.
fn row(conversion_id: &str, payout: &str) -> Theirs {
    Theirs {
        line: 2,
        conversion_id: conversion_id.to_owned(),
        event: None,
        status: None,
        happened_at: None,
        date: None,
        money: BTreeMap::from([(Field::UsdPayout, Amount::parse(payout).unwrap())]),
        currency: None,
        assumed_currency: None,
    }
}

fn missing(row: Theirs) -> Pair {
    Pair { theirs: Some(row), ours: None, differences: Vec::new() }
}

/// A row and what is stored without any payout, last heard of at a time.
fn differing(row: Theirs, time: &str) -> Pair {
    let ours = Ours {
        conversion_id: row.conversion_id.clone(),
        event: "conversion".to_owned(),
        status: Some(Status::Pending),
        happened_at: at(time),
        money: BTreeMap::new(),
        currency: None,
        reporting: BTreeMap::new(),
        key: row.conversion_id.clone(),
        last: Last { received_s: at(time).unix_s(), changed_at: at(time) },
        is_duplicate: false,
    };
    let difference = Difference { field: "usd_payout", theirs: "1".to_owned(), ours: String::new() };
    Pair { theirs: Some(row), ours: Some(ours), differences: vec![difference] }
}

/// All that is good for some of these, as it is decided together, by id.
async fn judged(db: &Fresh, pairs: &[Pair], stands: &BTreeMap<String, Standing>) -> Vec<Notice> {
    let partner = bytec_origin::config::registry().unwrap().by_code("involve_asia").unwrap().clone();
    let mut wanted = Wanted::new();
    for pair in pairs {
        let want = wanted.entry(pair.conversion_id()).or_default();
        want.stands = stands.get(pair.conversion_id());
        want.add(pair);
    }
    let judge = Judge { partner: &partner, wanted, tolerance: Amount::parse("0").unwrap() };
    let mut by_id: BTreeMap<String, Vec<Notice>> = BTreeMap::new();
    for notice in rejected_since(&db.store, &judge, at("2025-11-21T00:00:00Z")).await.unwrap() {
        by_id.entry(notice.conversion_id.clone()).or_default().push(notice);
    }
    by_id.into_iter().flat_map(|(id, notices)| judge.together(&id, notices)).collect()
}

contract! {
    a_rejected_request_is_written_down_and_nothing_else_is(db) {
        let first = rejected("2025-11-21T08:00:00Z", Some("a=%zz"), Some("rewars"));
        db.store.reject(first.clone()).await.unwrap();
        db.store.reject(rejected("2025-11-21T08:00:01Z", None, None)).await.unwrap();
        assert_eq!(db.rejections().await, ["invalid_amount rewars 2025-11-21 GET k1 a=%zz", "invalid_amount - 2025-11-21 GET k1 -"]);
        assert_eq!(db.rows().await, ["0"; 9]);
        let same_nonce = Record { receipt: first.receipt, ..record(FIRST) };
        assert_eq!(db.store.record(same_nonce).await.unwrap(), Recorded::As(Created), "the nonce was not spent");
        assert_eq!(db.store.count_postbacks(at("2025-11-21T08:00:00Z")).await.unwrap(), 3, "all were written down");
        assert_eq!(db.store.count_postbacks(at("2025-11-21T08:00:00.001Z")).await.unwrap(), 1);
    }

    a_rejected_body_may_hold_anything(db) {
        for body in ["\0", "a\0b", "'; drop table rejections; --", "\u{fffd}\u{10ffff}\\u0000\"", "{"] {
            db.store.reject(rejected("2025-11-21T08:00:00Z", Some(body), Some("(unprintable)"))).await.unwrap();
            let kept = db.rejections().await;
            assert!(kept.last().unwrap().ends_with(&format!(" {}", body.replace('\0', "\u{fffd}"))), "{kept:?}");
        }
    }

    an_accepted_body_may_hold_anything_under_names_that_mean_nothing(db) {
        for (number, body) in ["x=\0", "a\0b=1", "x=\u{1}\u{1a}"].into_iter().enumerate() {
            let record = record(&format!("conversion_id=n{number}"));
            let receipt = Receipt { body: Some(body.to_owned()), ..record.receipt.clone() };
            assert_eq!(db.store.record(Record { receipt, ..record }).await.unwrap(), Recorded::As(Created));
            let kept = db.column("select body from postbacks order by postback_id").await;
            assert_eq!(kept.last(), Some(&body.replace('\0', "\u{fffd}")));
        }
    }

    rejected_requests_are_dropped_when_they_are_too_old(db) {
        for time in ["2025-09-30T23:59:59.999Z", "2025-10-01T00:00:00Z", "2025-08-01T00:00:00Z"] {
            db.store.reject(rejected(time, None, None)).await.unwrap();
        }
        assert_eq!(db.store.drop_postbacks(at("2025-10-01T00:00:00Z")).await.unwrap(), 2);
        assert_eq!(db.rejections().await, ["invalid_amount - 2025-10-01 GET k1 -"]);
    }

    what_was_rejected_and_would_be_taken_today_is_recorded_as_it_came(db) {
        let send = async |target: &str, time: &str, body: Option<&str>, content_type: Option<&str>| {
            let rejected = rejected(time, body, Some("status"));
            let receipt = Receipt { target: target.to_owned(), content_type: content_type.map(str::to_owned), ..rejected.receipt };
            db.store.reject(Rejected { receipt, ..rejected }).await.unwrap();
        };
        const EARLY: &str = "2025-11-20T23:59:59Z";
        const LATER: &str = "2025-11-21T08:00:00.123Z";
        send("/involve/event?conversion_id=old&rewars=1", EARLY, None, None).await;
        send("/involve/event?conversion_id=c1&rewars=10.50&ts_token=(redacted)", LATER, None, None).await;
        send("/involve/event", LATER, Some(r#"{"conversion_id":"c2","rewars":"7"}"#), Some("application/json")).await;
        send("/involve/event?conversion_id=c3&rewars=ten", LATER, None, None).await;
        send("/involve/event?conversion_id=known&rewars=1", LATER, None, None).await;
        send("/involve/event?%zz", LATER, None, None).await;
        for query in ["conversion_id=c4&rewars=1", "conversion_id=c1&event=refund&rewars=1"] {
            send(&format!("/involve/event?{query}"), LATER, None, None).await;
        }
        // One has changed before, one since.
        let pairs = [
            missing(row("old", "1")),
            missing(row("c1", "10.50")),
            differing(row("c2", "7"), "2025-11-21T07:59:59Z"),
            missing(row("c3", "10")),
            differing(row("c4", "1"), "2025-11-21T08:00:01Z"),
        ];
        let stands = pairs.iter().filter_map(|pair| pair.ours.as_ref()).map(|ours| {
            let keys = BTreeMap::from([(ours.key.clone(), Known { conversions: 1, last: ours.last })]);
            (ours.conversion_id.clone(), Standing { counted: 1, marked: 0, keys })
        });
        let found = judged(&db, &pairs, &stands.collect()).await;
        let shown: Vec<_> = found.iter().map(|notice| format!("{} {:?}", notice.conversion_id, notice.use_of)).collect();
        assert_eq!(shown, ["c1 Good", "c1 Another", "c2 Good", "c3 Refused(InvalidAmount)", "c4 Overtaken"]);
        let replayed = async || {
            let mut verdicts = Vec::new();
            for notice in &found {
                verdicts.push(repair::replay(&db.store, notice, || Some(nonce()), at("2025-12-24T00:00:00Z")).await.unwrap());
            }
            verdicts
        };
        assert_eq!(replayed().await, [Some(Created), None, Some(Created), None, None]);
        assert_eq!(replayed().await, [Some(Duplicate), None, Some(Duplicate), None, None], "twice is once");
        let kept = "select conversion_id || ' ' || substr(cast(received_at as text), 1, 10) from conversions order by 1";
        assert_eq!(db.column(kept).await, ["c1 2025-11-21", "c2 2025-11-21"]);
        assert_eq!(db.rejections().await.len(), 8, "what was refused stays written down");
    }

    what_was_not_kept_whole_is_never_replayed(db) {
        for (code, body) in [
            ("body_too_large", None),
            ("unsupported_encoding", None),
            ("duplicate_param", Some("***")),
            ("control_char", Some("a=\u{1a}&rewars=7")),
            ("invalid_amount", Some("rewars=7")),
        ] {
            let rejected = rejected("2025-11-21T08:00:00Z", body, None);
            let target = "/involve/event?conversion_id=c1".to_owned();
            let content_type = body.map(|_| "application/x-www-form-urlencoded".to_owned());
            let receipt = Receipt { target, content_type, ..rejected.receipt };
            db.store.reject(Rejected { receipt, code: code.to_owned(), ..rejected }).await.unwrap();
        }
        let found = judged(&db, &[missing(row("c1", "7"))], &BTreeMap::new()).await;
        let uses: Vec<_> = found.iter().map(|notice| notice.use_of).collect();
        assert_eq!(uses.iter().filter(|use_of| **use_of == Use::Incomplete).count(), 4, "{uses:?}");
        assert_eq!(uses.iter().filter(|use_of| **use_of == Use::Good).count(), 1, "{uses:?}");
    }

    of_more_new_conversions_than_are_missing_none_is_replayed(db) {
        for id in ["r1", "r2"] {
            let rejected = rejected("2025-11-21T08:00:00Z", None, None);
            let target = format!("/involve/event?conversion_id=c1&event=refund&event_id={id}&rewars=1");
            let receipt = Receipt { target, ..rejected.receipt };
            db.store.reject(Rejected { receipt, ..rejected }).await.unwrap();
        }
        for (pairs, use_of) in [
            (vec![row("c1", "-1"), row("c1", "1")], Use::OneOfMore),
            (vec![row("c1", "-1"), row("c1", "-1")], Use::Good),
        ] {
            let pairs: Vec<_> = pairs.into_iter().map(missing).collect();
            let found = judged(&db, &pairs, &BTreeMap::new()).await;
            assert_eq!(found.iter().map(|notice| notice.use_of).collect::<Vec<_>>(), [use_of; 2]);
        }
    }

    what_came_since_it_was_compared_is_seen_before_anything_is_replayed(db) {
        assert!(stands_as_judged(&db.store, "c1", None).await.unwrap(), "there is nothing still");
        let say = async |query: &str, time: &str| {
            let told = record(&format!("conversion_id=c1&{query}"));
            let receipt = Receipt { received_at: at(time), ..told.receipt };
            db.store.record(Record { receipt, now: at(time), ..told }).await.unwrap();
        };
        say("status=Pending&rewars=10", "2025-11-21T08:00:00Z").await;
        assert!(!stands_as_judged(&db.store, "c1", None).await.unwrap(), "it has come");
        let judged = Standing::read(&db.store, "c1").await.unwrap();
        assert_eq!((judged.counted, judged.keys.len()), (1, 1));
        assert!(stands_as_judged(&db.store, "c1", Some(&judged)).await.unwrap());
        say("status=Pending&rewars=12", "2025-11-21T08:00:01Z").await;
        assert!(!stands_as_judged(&db.store, "c1", Some(&judged)).await.unwrap(), "its payout is another");
        let judged = Standing::read(&db.store, "c1").await.unwrap();
        assert!(stands_as_judged(&db.store, "c1", Some(&judged)).await.unwrap());
        say("event=refund&rewars=12", "2025-11-21T08:00:02Z").await;
        assert!(!stands_as_judged(&db.store, "c1", Some(&judged)).await.unwrap(), "it has a refund");
    }

    rejections_are_read_to_their_end(db) {
        for _ in 0..501 {
            db.store.reject(rejected("2025-11-21T08:00:00Z", None, None)).await.unwrap();
        }
        let page = db.store.rejections(at("2025-11-21T08:00:00Z"), 0).await.unwrap();
        let rest = db.store.rejections(at("2025-11-21T08:00:00Z"), page.last().unwrap().rejection_id).await.unwrap();
        assert_eq!((page.len(), rest.len()), (500, 1));
        assert!(db.store.rejections(at("2025-11-21T08:00:00Z"), rest[0].rejection_id).await.unwrap().is_empty());
    }
}
