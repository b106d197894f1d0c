//! First deposits (docs/processing.md): by when they happened, ties by receipt, and what is odd about them.

use crate::processing::{Processing, deposit};
use crate::{at, received};
use bytec_origin::store::Record;
use postback::partner::{FirstDeposit, OnReversed, Partner};

const DEPOSITS: &str =
    "select conversion_id || ' ' || deposit || ' ' || replace(cast(findings as text), ' ', '') from conversions
    where event = 'deposit' order by conversion_id";

fn processing(reversed: OnReversed) -> Processing {
    let processing = Processing::new();
    let rules = FirstDeposit { reversed, ..processing.partner.first_deposit.clone().unwrap() };
    let partner = Partner { first_deposit: Some(rules), consent_required: false, ..processing.partner.clone() };
    Processing { partner, ..processing }
}

contract! {
    of_deposits_at_one_time_the_first_received_is_the_first(db) {
        let processing = processing(OnReversed::Stays);
        // Stored the other way round, and the keys' order is another as well.
        let time = "2025-11-20+10:00:00";
        let later: Record = received(&deposit("a", "u1", "20", time), at("2025-11-21T07:00:02Z"));
        let earlier: Record = received(&deposit("b", "u1", "20", time), at("2025-11-21T07:00:01Z"));
        db.store.record(later).await.unwrap();
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["a first []"]);
        db.store.record(earlier).await.unwrap();
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["a repeat []", "b first []"]);
    }

    a_sender_that_calls_another_deposit_the_first_is_found(db) {
        let processing = processing(OnReversed::Stays);
        db.record(&(deposit("d1", "u1", "20", "2025-11-20+09:00:00") + "&is_ftd=false")).await;
        db.record(&(deposit("d2", "u1", "20", "2025-11-20+10:00:00") + "&is_ftd=true")).await;
        db.record(&(deposit("d3", "u2", "20", "2025-11-20+10:00:00") + "&is_ftd=true")).await;
        db.record(&(deposit("d4", "u2", "1", "2025-11-20+11:00:00") + "&is_ftd=true")).await;
        assert_eq!(db.processed(&processing, DEPOSITS).await, [
            "d1 first [\"ftd_differs\"]", "d2 repeat [\"ftd_differs\"]", "d3 first []", "d4 too_small [\"ftd_differs\"]",
        ]);
        // The first one is rejected: the sender was right about the other.
        db.record("conversion_id=d1&status=Rejected").await;
        assert_eq!(db.processed(&processing, DEPOSITS).await[..2], ["d1 rejected []", "d2 first []"]);
    }

    a_first_deposit_that_was_charged_back_stays_first_or_gives_way(db) {
        for (reversed, found) in [
            (OnReversed::Stays, ["d1 first [\"first_deposit_reversed\"]", "d2 repeat []"]),
            (OnReversed::Next, ["d1 reversed []", "d2 first []"]),
        ] {
            let processing = processing(reversed);
            db.clear().await;
            db.record(&deposit("d1", "u1", "20", "2025-11-20+09:00:00")).await;
            db.record(&deposit("d2", "u1", "20", "2025-11-20+10:00:00")).await;
            assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first []", "d2 repeat []"]);
            db.record("conversion_id=d1&event=chargeback&usd_sale_amount=5&event_id=x1").await;
            assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first []", "d2 repeat []"], "a part of it");
            db.record("conversion_id=d1&event=chargeback&event_id=x2").await;
            assert_eq!(db.processed(&processing, DEPOSITS).await, found);
        }
    }

    deposits_of_their_own_under_one_conversion_are_found(db) {
        let processing = processing(OnReversed::Stays);
        db.record(&(deposit("d1", "u1", "20", "2025-11-20+09:00:00") + "&event_id=e1")).await;
        db.record(&(deposit("d1", "u1", "20", "2025-11-20+09:00:00") + "&event_id=e2&sub_id=s")).await;
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first []"], "told twice, of one time");
        db.record(&(deposit("d1", "u1", "30", "2025-11-20+10:00:00") + "&event_id=e3")).await;
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first [\"several_deposits\"]"]);
        // Ids that only begin like ours, and times of the conversion.
        db.clear().await;
        for (id, time) in [("evt_1Nabc", "2025-11-20+09:00:00"), ("evt_1Nabd", "2025-11-20+10:00:00")] {
            let deposit = format!("conversion_id=d1&event=deposit&account_id=u1&usd_sale_amount=20&event_id={id}");
            db.record(&format!("{deposit}&datetime_conversion={time}")).await;
        }
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first [\"several_deposits\"]"]);
    }
}

mod flagged {
    use super::{DEPOSITS, processing};
    use crate::processing::deposit;
    use postback::duplicate::{DuplicatePolicy, OnRepeat};
    use postback::partner::OnReversed;

    policies! {
        a_flagged_duplicate_is_no_first_deposit(DuplicatePolicy { repeat: OnRepeat::Flag, ..DuplicatePolicy::default() }, db) {
            let processing = processing(OnReversed::Stays);
            db.record(&deposit("d1", "u1", "20", "2025-11-20+10:00:00")).await;
            db.record(&(deposit("d1", "u1", "20", "2025-11-20+09:00:00") + "&sub_id=again")).await;
            let mut found = db.processed(&processing, DEPOSITS).await;
            found.sort();
            assert_eq!(found, ["d1 duplicate []", "d1 first []"]);
        }
    }
}
