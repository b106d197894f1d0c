//! What is to be done for events (R52): put down once for each, with the event.

use crate::{FIRST, Fresh, again, fresh_with, record};
use bytec_origin::store::Recorded;
use postback::duplicate::{DuplicatePolicy, OnRepeat};
use postback::verdict::Verdict::{Conflict, Created, Duplicate, Revised};

impl Fresh {
    async fn work(&self) -> String {
        self.one("select cast(count(*) as text) from work_items").await
    }
}

contract! {
    each_event_that_is_new_waits_to_be_processed(db) {
        assert_eq!(db.record("event_id=e1&conversion_id=c1&status=Approved").await, Recorded::As(Created));
        assert_eq!(db.record("event_id=e2&conversion_id=c1&status=Paid").await, Recorded::As(Revised));
        assert_eq!(db.record("event_id=e3&conversion_id=c1&status=Pending").await, Recorded::As(Revised), "late");
        let items = db.column(
            "select event_id || ' ' || conversion_key || ' ' || state || ' ' || cast(attempts as text) || ' ' ||
             replace(substr(cast(due_at as text), 1, 23), 'T', ' ') || ' ' || coalesce(last_error, '-')
             from work_items order by work_item_id",
        );
        assert_eq!(items.await, ["e1", "e2", "e3"].map(|id| format!("{id} c1 waiting 0 2025-11-21 08:00:00.123 -")));
    }

    what_is_no_new_event_is_no_work(db) {
        let first = record("event_id=e1&conversion_id=c1&rewars=10");
        assert_eq!(db.store.rehearse(again(&first)).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.work().await, "0");
        assert_eq!(db.store.record(again(&first)).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.store.record(again(&first)).await.unwrap(), Recorded::Replayed);
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=10").await, Recorded::As(Duplicate));
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=11").await, Recorded::As(Conflict));
        assert_eq!(db.work().await, "1");
    }

    work_that_cannot_be_put_down_leaves_no_trace_of_its_event(db) {
        db.execute("alter table work_items rename to elsewhere").await;
        db.store.record(record(FIRST)).await.unwrap_err();
        db.execute("alter table elsewhere rename to work_items").await;
        assert_eq!(db.rows().await, ["0"; 9]);
    }
}

async fn a_repeat_is_work_whatever_the_policy_makes_of_it(kind: &str) {
    for repeat in [OnRepeat::Revise, OnRepeat::Ignore, OnRepeat::Flag] {
        let db = fresh_with(kind, DuplicatePolicy { repeat, ..DuplicatePolicy::default() }).await;
        db.record("conversion_id=c1&rewars=10").await;
        db.record("conversion_id=c1&rewars=11").await;
        assert_eq!(db.work().await, "2", "{repeat:?}");
    }
}

#[tokio::test]
async fn sqlite_puts_down_work_under_every_policy() {
    a_repeat_is_work_whatever_the_policy_makes_of_it("sqlite").await;
}

#[tokio::test]
async fn postgres_puts_down_work_under_every_policy() {
    a_repeat_is_work_whatever_the_policy_makes_of_it("postgres").await;
}

#[tokio::test]
async fn d1_puts_down_work_under_every_policy() {
    a_repeat_is_work_whatever_the_policy_makes_of_it("d1").await;
}
