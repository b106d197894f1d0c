//! Rehearsals: all that recording does, and no trace of it.

use crate::{FIRST, again, record};
use bytec_origin::store::{Recorded, StoreError};
use postback::verdict::Verdict::{Created, Duplicate, Revised};

contract! {
    a_rehearsal_comes_to_what_recording_would_and_leaves_no_trace(db) {
        let rehearsed = record(FIRST);
        for _ in 0..3 {
            assert_eq!(db.store.rehearse(again(&rehearsed)).await.unwrap(), Recorded::As(Created));
            assert_eq!(db.rows().await, ["0"; 9]);
        }
        assert_eq!(db.store.record(again(&rehearsed)).await.unwrap(), Recorded::As(Created), "the nonce was not spent");
        let rows = db.rows().await;
        for (query, verdict) in [
            (FIRST, Duplicate),
            ("conversion_id=c1&rewars=12&status=Approved", Revised),
            ("conversion_id=c2", Created),
        ] {
            assert_eq!(db.store.rehearse(record(query)).await.unwrap(), Recorded::As(verdict), "{query}");
        }
        assert_eq!(db.store.rehearse(again(&rehearsed)).await.unwrap(), Recorded::Replayed);
        assert_eq!(db.rows().await, rows);
        assert_eq!(db.one("select cast(usd_payout as text) from conversions").await, "10.50");
    }

    a_rehearsal_fails_where_recording_would(db) {
        db.execute("alter table postbacks rename to elsewhere").await;
        assert!(matches!(db.store.rehearse(record(FIRST)).await, Err(StoreError::Bug(_))));
        db.execute("alter table elsewhere rename to postbacks").await;
        assert_eq!(db.rows().await, ["0"; 9]);
    }
}
