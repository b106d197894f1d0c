//! Duplicate policies (R48), applied: which events are about one conversion, and what a further one does.

use crate::processing::{Processing, lease};
use crate::{Fresh, at, received, record};
use bytec_origin::store::worklist::{Conclusion, Judged, Next};
use bytec_origin::store::{Receipt, Record, Recorded};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::verdict::Verdict::{Conflict, Created, Duplicate, Revised};

/// Each conversion: what it counts as, its place under its key, its revision, whether it is marked.
const CONVERSIONS: &str = "select conversion_id || ' ' || event || ' ' || cast(occurrence as text) || ' ' ||
    cast(revision as text) || ' ' || coalesce(cast(usd_payout as text), '-') || case when is_duplicate then ' marked' else '' end
    from conversions order by created_at, conversion_id, event, occurrence";

impl Fresh {
    /// Records what arrives at a time of the day.
    async fn record_at(&self, time: &str, query: &str) -> Recorded {
        self.store.record(received(query, at(&format!("2025-11-21T{time}Z")))).await.unwrap()
    }
}

policies! {
    a_refund_under_the_same_id_is_a_conversion_of_its_own(DuplicatePolicy { key: DuplicateKey::ConversionIdAndEvent, ..DuplicatePolicy::default() }, db) {
        assert_eq!(db.record("conversion_id=c1&event=purchase&rewars=10").await, Recorded::As(Created));
        assert_eq!(db.record("conversion_id=c1&event=refund&rewars=10").await, Recorded::As(Created));
        assert_eq!(db.record("conversion_id=c1&event=purchase&rewars=12").await, Recorded::As(Revised));
        assert_eq!(db.column(CONVERSIONS).await, ["c1 purchase 1 2 12.00", "c1 refund 1 1 -10.00"]);
    }

    each_event_stands_for_itself(DuplicatePolicy { key: DuplicateKey::EventId, ..DuplicatePolicy::default() }, db) {
        for id in ["e1", "e2"] {
            assert_eq!(db.record(&format!("event_id={id}&conversion_id=c1&rewars=10")).await, Recorded::As(Created));
        }
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=10").await, Recorded::As(Duplicate));
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=11").await, Recorded::As(Conflict));
        assert_eq!(db.column(CONVERSIONS).await, ["c1 conversion 1 1 10.00", "c1 conversion 1 1 10.00"]);
    }

    the_first_stands_where_repeats_are_ignored(DuplicatePolicy { repeat: OnRepeat::Ignore, ..DuplicatePolicy::default() }, db) {
        assert_eq!(db.record("conversion_id=c1&rewars=10").await, Recorded::As(Created));
        assert_eq!(db.record("conversion_id=c1&rewars=12&status=Approved").await, Recorded::As(Duplicate));
        assert_eq!(db.column(CONVERSIONS).await, ["c1 conversion 1 1 10.00"]);
        assert_eq!(db.one("select cast(count(*) as text) from revisions").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from events").await, "2", "the event is written down");
        let noted = db.column("select cast(warnings as text) from postbacks order by postback_id").await;
        assert!(!noted[0].contains("ignored_repeat") && noted[1].contains("ignored_repeat"), "{noted:?}");
    }

    repeats_are_conversions_of_their_own_where_they_are_marked(DuplicatePolicy { repeat: OnRepeat::Flag, ..DuplicatePolicy::default() }, db) {
        for payout in [10, 11, 12] {
            let query = format!("conversion_id=c1&rewars={payout}");
            assert_eq!(db.record(&query).await, Recorded::As(Created));
            assert_eq!(db.record(&query).await, Recorded::As(Duplicate), "the same event once more is no repeat");
        }
        assert_eq!(
            db.column(CONVERSIONS).await,
            ["c1 conversion 1 1 10.00", "c1 conversion 2 1 11.00 marked", "c1 conversion 3 1 12.00 marked"]
        );
        assert_eq!(db.column("select cast(occurrence as text) from revisions order by occurrence").await, ["1", "2", "3"]);
    }

    a_window_ends_what_is_one_conversion(
        DuplicatePolicy { key: DuplicateKey::ClickIdAndEvent, window_s: Some(60), ..DuplicatePolicy::default() }, db
    ) {
        let query = |number: u32| format!("conversion_id=c{number}&click_id=k1&event=purchase&rewars={number}");
        assert_eq!(db.record_at("07:00:00.9", &query(1)).await, Recorded::As(Created));
        assert_eq!(db.record_at("07:01:00", &query(2)).await, Recorded::As(Revised));
        assert_eq!(db.record_at("07:02:00", &query(3)).await, Recorded::As(Revised), "it reaches from one to the next");
        // Stored last, and received in between: it takes its place there.
        assert_eq!(db.record_at("07:00:30", &query(4)).await, Recorded::As(Revised));
        assert_eq!(db.column(CONVERSIONS).await, ["c1 purchase 1 3 3.00"], "until it is folded it changes nothing");
        assert_eq!(db.record_at("07:01:30", &query(5)).await, Recorded::As(Revised));
        assert_eq!(db.rebuilt().await, 1);
        assert_eq!(db.column(CONVERSIONS).await, ["c1 purchase 1 5 3.00"]);
        // The window counts in milliseconds.
        assert_eq!(db.record_at("07:03:00", &query(6)).await, Recorded::As(Revised));
        assert_eq!(db.record_at("07:04:00.001", &query(7)).await, Recorded::As(Created));
        assert_eq!(db.rebuilt().await, 0, "each was the newest");
        assert_eq!(db.column(CONVERSIONS).await, ["c1 purchase 1 6 6.00", "c7 purchase 2 1 7.00"]);
        // Without a click it stands for itself.
        assert_eq!(db.record_at("07:00:00", "conversion_id=c8&event=purchase").await, Recorded::As(Created));
        assert_eq!(db.record_at("07:00:00", "conversion_id=c9&event=purchase").await, Recorded::As(Created));
    }

    a_repeat_within_the_window_is_marked_and_one_after_it_is_not(
        DuplicatePolicy { window_s: Some(60), repeat: OnRepeat::Flag, ..DuplicatePolicy::default() }, db
    ) {
        for (time, payout) in [("07:00:00", 1), ("07:01:00", 2), ("07:02:01", 3)] {
            let query = format!("conversion_id=c1&rewars={payout}");
            assert_eq!(db.record_at(time, &query).await, Recorded::As(Created));
        }
        assert_eq!(
            db.column(CONVERSIONS).await,
            ["c1 conversion 1 1 1.00", "c1 conversion 2 1 2.00 marked", "c1 conversion 3 1 3.00"]
        );
    }

    marked_repeats_at_the_same_moment_are_each_a_conversion(DuplicatePolicy { repeat: OnRepeat::Flag, ..DuplicatePolicy::default() }, db) {
        let records = (0..40).map(|number| db.store.record(record(&format!("conversion_id=c1&rewars={number}"))));
        for answer in futures_util::future::join_all(records).await {
            assert_eq!(answer.unwrap(), Recorded::As(Created));
        }
        let marked = "select cast(max(occurrence) as text) || ' ' || cast(sum(case when is_duplicate then 1 else 0 end) as text)
            from conversions";
        db.rebuilt().await;
        assert_eq!(db.one(marked).await, "40 39");
    }

    what_is_another_event_s_since_it_was_read_is_left_to_that_one_s_item(
        DuplicatePolicy { repeat: OnRepeat::Ignore, ..DuplicatePolicy::default() }, db
    ) {
        let processing = Processing::new();
        db.record("conversion_id=c1&rewars=2&consent_version=1&event_id=e2").await;
        let slow = lease(30);
        let items = db.store.take_items(&slow).await.unwrap();
        let facts = db.store.facts_of(&items).await.unwrap();
        // The first receipt comes late, and is what the conversion is made of: as many revisions, by another event.
        let earlier = record("conversion_id=c1&rewars=1&consent_version=1&event_id=e1");
        let receipt = Receipt { received_at: at("2025-11-21T07:00:00Z"), ..earlier.receipt.clone() };
        db.store.record(Record { receipt, ..earlier }).await.unwrap();
        assert_eq!(db.processed(&processing, "select event_id || ' ' || attribution from conversions").await, ["e1 no_click"]);
        let conclusion = Conclusion {
            item: items[0].clone(),
            judged: Some((facts["e2"].clone(), Judged { attribution: "by_older", ..Judged::default() })),
            next: Next::Done,
            others: Vec::new(),
        };
        db.store.conclude_items(&slow, vec![conclusion]).await.unwrap();
        assert_eq!(db.processed(&processing, "select event_id || ' ' || attribution from conversions").await, ["e1 no_click"]);
    }
}
