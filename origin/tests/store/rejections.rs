//! Requests that could not be read (R46): written down as they came, with what is wrong with them.

use crate::{FIRST, Fresh, at, nonce, record};
use bytec_origin::store::{Receipt, Record, Recorded, Rejected};
use postback::rejection::Code;
use postback::verdict::Verdict::Created;

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
}
