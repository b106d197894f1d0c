//! Requests that could not be read (R46): written down as they came, with what is wrong with them.

use crate::{FIRST, Fresh, at, nonce, record};
use bytec_origin::reconcile::Last;
use bytec_origin::reconcile::repair::{self, Use, Want, Wanted, rejected as rejected_since};
use bytec_origin::store::{Receipt, Record, Recorded, Rejected};
use postback::rejection::Code;
use postback::verdict::Verdict::{Created, Duplicate};
use std::collections::BTreeMap;

/// A rejected request that came at a time.
fn rejected(time: &str, body: Option<&str>, field: Option<&str>) -> Rejected {
    let receipt = Receipt { received_at: at(time), body: body.map(str::to_owned), ..record(FIRST).receipt };
    Rejected { receipt_id: nonce(), receipt, code: Code::InvalidAmount, field: field.map(str::to_owned) }
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

    rejected_requests_are_dropped_when_they_are_too_old(db) {
        for time in ["2025-09-30T23:59:59.999Z", "2025-10-01T00:00:00Z", "2025-08-01T00:00:00Z"] {
            db.store.reject(rejected(time, None, None)).await.unwrap();
        }
        assert_eq!(db.store.drop_postbacks(at("2025-10-01T00:00:00Z")).await.unwrap(), 2);
        assert_eq!(db.rejections().await, ["invalid_amount - 2025-10-01 GET k1 -"]);
    }

    what_was_rejected_and_would_be_taken_today_is_recorded_as_it_came(db) {
        let partner = bytec_origin::config::registry().unwrap().by_code("involve_asia").unwrap().clone();
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
        let want = |last: &[(&str, &str)]| {
            let stored: BTreeMap<_, _> = last.iter().map(|(key, time)| ((*key).to_owned(), Last { received_s: at(time).unix_s(), changed_at: at(time) })).collect();
            Want { differs: stored.keys().cloned().collect(), stored, missing: 1, any: true, ..Want::default() }
        };
        // One has changed before, one since.
        let wanted = Wanted::from([
            ("old", want(&[])),
            ("c1", want(&[])),
            ("c2", want(&[("c2", "2025-11-21T07:59:59Z")])),
            ("c3", want(&[])),
            ("c4", want(&[("c4", "2025-11-21T08:00:01Z")])),
        ]);
        let found = rejected_since(&db.store, &partner, &wanted, at("2025-11-21T00:00:00Z")).await.unwrap();
        let shown: Vec<_> = found.iter().map(|found| {
            let reading = found.reading.as_ref().map_or_else(|refusal| refusal.code().as_str().to_owned(), |_| "taken".to_owned());
            format!("{} {} {reading} {}", found.conversion_id, found.rejection.code, found.is_good())
        }).collect();
        assert_eq!(shown, [
            "c1 invalid_amount taken true",
            "c2 invalid_amount taken true",
            "c3 invalid_amount invalid_amount false",
            "c4 invalid_amount taken false",
            "c1 invalid_amount taken false",
        ]);
        let replayed = async || {
            let mut verdicts = Vec::new();
            for rejected in found.iter().filter(|found| found.is_good() || found.reading.is_err()) {
                verdicts.push(repair::replay(&db.store, rejected, || Some(nonce()), at("2025-12-24T00:00:00Z")).await.unwrap());
            }
            verdicts
        };
        assert_eq!(replayed().await, [Some(Created), Some(Created), None]);
        assert_eq!(replayed().await, [Some(Duplicate), Some(Duplicate), None], "twice is once");
        let kept = "select conversion_id || ' ' || substr(cast(received_at as text), 1, 10) from conversions order by 1";
        assert_eq!(db.column(kept).await, ["c1 2025-11-21", "c2 2025-11-21"]);
        assert_eq!(db.rejections().await.len(), 8, "what was refused stays written down");
    }

    of_more_new_conversions_than_are_missing_none_is_replayed(db) {
        let partner = bytec_origin::config::registry().unwrap().by_code("involve_asia").unwrap().clone();
        for id in ["r1", "r2"] {
            let rejected = rejected("2025-11-21T08:00:00Z", None, None);
            let target = format!("/involve/event?conversion_id=c1&event=refund&event_id={id}&rewars=1");
            let receipt = Receipt { target, ..rejected.receipt };
            db.store.reject(Rejected { receipt, ..rejected }).await.unwrap();
        }
        for (missing, use_of) in [(1, Use::OneOfMore), (2, Use::Good)] {
            let wanted = Wanted::from([("c1", Want { missing, any_back: true, ..Want::default() })]);
            let found = rejected_since(&db.store, &partner, &wanted, at("2025-11-21T00:00:00Z")).await.unwrap();
            assert_eq!(found.iter().map(|found| found.use_of).collect::<Vec<_>>(), [use_of; 2], "{missing}");
        }
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
