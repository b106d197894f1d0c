//! Receipts that are stored behind one that the gateway received after them: each takes effect in its place, and the conversion comes
//! to what it would have come to in order. Random histories: `order.rs`.

use crate::{Fresh, at, nonce, record};
use bytec_origin::app::Platform;
use bytec_origin::processing::process;
use bytec_origin::store::{Receipt, Record, Recorded};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::time::Timestamp;
use postback::verdict::Verdict::{Created, Duplicate, Revised};

/// A receipt: at which time of the day, by which request, and what it says.
type Sent = (&'static str, &'static str, &'static str);

/// Its record, stored at eight o'clock.
fn sent((time, request_id, query): Sent) -> Record {
    let record = record(query);
    let received_at = at(&format!("2025-11-21T{time}Z"));
    Record { receipt: Receipt { received_at, request_id: request_id.to_owned(), ..record.receipt.clone() }, ..record }
}

/// The same request, delivered again later.
fn delivered_again(record: &Record, now: &str) -> Record {
    let receipt = Receipt { nonce: Some(nonce()), ..record.receipt.clone() };
    Record { receipt_id: nonce(), receipt, now: at(&format!("2025-11-21T{now}Z")), ..record.clone() }
}

fn orders(receipts: &[Sent]) -> Vec<Vec<Sent>> {
    if receipts.is_empty() {
        return vec![Vec::new()];
    }
    let first_at = |index: usize| {
        let mut rest = receipts.to_vec();
        let first = rest.remove(index);
        orders(&rest).into_iter().map(move |order| [vec![first], order].concat())
    };
    (0..receipts.len()).flat_map(first_at).collect()
}

impl Fresh {
    async fn store_sent(&self, receipt: Sent) -> Recorded {
        self.store.record(sent(receipt)).await.unwrap()
    }

    /// The warnings on what a request brought, the latest last.
    async fn warnings(&self, request_id: &str) -> Vec<String> {
        let sql = format!(
            "select cast(warnings as text) from postbacks where request_id = '{request_id}' order by postback_id"
        );
        self.column(sql.leak()).await
    }

    /// Each conversion: event, status, payout, how many revisions, and what is special about it.
    async fn conversions(&self) -> Vec<String> {
        self.column(
            "select event || ' ' || coalesce(status, '-') || ' ' || coalesce(cast(payout as text), '-') || ' ' ||
                coalesce(payout_currency, '-') || ' ' || coalesce(cast(usd_payout as text), '-') || ' ' || cast(revision as text) ||
                case when is_payout_dropped then ' dropped' else '' end || case when is_returned then ' returned' else '' end
             from conversions order by conversion_key, occurrence",
        )
        .await
    }

    /// Each revision: when it was received, and status and payout behind it.
    async fn history(&self) -> Vec<String> {
        self.column(
            "select substr(cast(received_at as text), 15, 5) || ' ' || coalesce(status, '-') || ' ' ||
                coalesce(cast(payout as text), '-') || ' ' || coalesce(cast(usd_payout as text), '-') ||
                case when is_return then ' return' else '' end
             from revisions order by conversion_key, occurrence, revisions.revision",
        )
        .await
    }

    /// Stores receipts in every order, one after the other, and folds what is late. Each order comes to these conversions and this history.
    async fn assert_in_every_order(&self, receipts: &[Sent], conversions: &[&str], history: &[&str]) {
        for order in orders(receipts) {
            // What is late is folded when all has come, or at once.
            for at_once in [false, true] {
                self.clear().await;
                for receipt in &order {
                    self.store_sent(*receipt).await;
                    if at_once {
                        self.rebuilt().await;
                    }
                }
                self.rebuilt().await;
                assert_eq!(self.conversions().await, conversions, "{order:?} {at_once}");
                assert_eq!(self.history().await, history, "{order:?} {at_once}");
                assert_eq!(self.totals().await, self.recount().await, "{order:?} {at_once}");
            }
        }
    }
}

contract! {
    who_has_read_a_request_that_has_ended_does_not_write_by_the_next(db) {
        let sent = |time, request| (time, request, "conversion_id=c1&rewars=1");
        let generation = async || -> i64 { db.one("select cast(generation as text) from rebuilds").await.parse().unwrap() };
        db.store_sent(sent("07:00:09", "0a")).await;
        db.store_sent(("07:00:08", "0b", "conversion_id=c1&rewars=2")).await;
        let first = generation().await;
        db.store_sent(("07:00:07", "0c", "conversion_id=c1&rewars=3")).await;
        assert_eq!(generation().await, first + 1, "there is more");
        assert_eq!(db.rebuilt().await, 1);
        db.store_sent(("07:00:06", "0d", "conversion_id=c1&rewars=4")).await;
        let second = generation().await;
        assert!(!(first..first + 1_000_000).contains(&second), "{first} and then {second}");
        // Requests of the other kinds.
        let mut known = vec![first, second];
        for _ in 0..2 {
            assert_eq!(db.rebuilt().await, 1);
            db.store.request_rebuilds(&["c1".to_owned()], crate::processing::now()).await.unwrap();
            let next = generation().await;
            assert!(!known.contains(&next), "{next} after {known:?}");
            known.push(next);
        }
    }

    a_rejection_stands_also_where_the_approval_before_it_is_stored_last(db) {
        let approved = ("07:00:00", "r1", "conversion_id=y1&usd_earning=10&status=Approved");
        let rejected = ("07:00:45", "r2", "conversion_id=y1&usd_earning=10&status=Rejected");
        assert_eq!(db.store_sent(rejected).await, Recorded::As(Created));
        assert_eq!(db.store_sent(approved).await, Recorded::As(Revised));
        assert_eq!(db.warnings("r2").await, ["[]"]);
        assert_eq!(db.warnings("r1").await, [r#"["late_receipt"]"#]);
        assert_eq!(db.conversions().await, ["conversion rejected - - 10.00 1"], "until it is folded");
        let waiting = async || db.store.backlog(at("2025-11-21T08:00:00Z")).await.unwrap().rebuilds;
        assert_eq!(waiting().await, 1);
        assert_eq!(db.rebuilt().await, 1);
        assert_eq!(waiting().await, 0);
        assert_eq!(db.conversions().await, ["conversion rejected - - 10.00 2"]);
        assert_eq!(db.history().await, ["00:00 approved - 10.00", "00:45 rejected - 10.00"]);
        assert_eq!(db.rebuilt().await, 0, "it is done once");
        db.assert_in_every_order(
            &[approved, rejected],
            &["conversion rejected - - 10.00 2"],
            &["00:00 approved - 10.00", "00:45 rejected - 10.00"],
        ).await;
    }

    an_amount_that_was_received_later_stands_whichever_is_stored_first(db) {
        db.assert_in_every_order(
            &[("07:00:00", "r1", "conversion_id=y1&usd_earning=10"), ("07:00:45", "r2", "conversion_id=y1&usd_earning=25")],
            &["conversion - - - 25.00 2"],
            &["00:00 - - 10.00", "00:45 - - 25.00"],
        ).await;
    }

    at_the_same_millisecond_the_request_id_decides_by_its_bytes(db) {
        db.assert_in_every_order(
            &[
                ("07:00:00", "b", "conversion_id=y1&usd_earning=12"),
                ("07:00:00", "B", "conversion_id=y1&usd_earning=11"),
                // Behind the millisecond nothing decides.
                ("07:00:00.000900", "A", "conversion_id=y1&usd_earning=10"),
            ],
            &["conversion - - - 12.00 3"],
            &["00:00 - - 10.00", "00:00 - - 11.00", "00:00 - - 12.00"],
        ).await;
    }

    dollars_go_with_the_amount_that_they_were_said_with(db) {
        db.assert_in_every_order(
            &[
                ("07:00:00", "r1", "conversion_id=c1&usd_payout=10&payout_local=42&conversion_currency=MYR"),
                ("07:01:00", "r2", "conversion_id=c1&payout_local=84"),
            ],
            &["conversion - 84.00 MYR - 2 dropped"],
            &["00:00 - 42.00 10.00", "01:00 - 84.00 -"],
        ).await;
    }

    a_notice_that_a_decision_overtook_changes_no_money(db) {
        db.assert_in_every_order(
            &[
                ("07:00:00", "r1", "conversion_id=c1&status=Approved&payout_local=84&conversion_currency=MYR"),
                ("07:01:00", "r2", "conversion_id=c1&status=Pending&payout_local=42&conversion_currency=MYR&usd_payout=10"),
            ],
            &["conversion approved 84.00 MYR - 2"],
            &["00:00 approved 84.00 -", "01:00 approved 84.00 -"],
        ).await;
    }

    a_repeat_that_was_received_before_the_receipt_of_its_event_moves_the_event_to_its_place(db) {
        let event = ("07:00:50", "r3", "conversion_id=c1&usd_payout=10");
        assert_eq!(db.store_sent(("07:00:30", "r2", "conversion_id=c1&usd_payout=20")).await, Recorded::As(Created));
        assert_eq!(db.store_sent(event).await, Recorded::As(Revised));
        assert_eq!(db.rebuilt().await, 0, "they came in order");
        assert_eq!(db.conversions().await, ["conversion - - - 10.00 2"]);
        assert_eq!(db.store_sent(("07:00:10", "r1", event.2)).await, Recorded::As(Duplicate));
        assert_eq!(db.warnings("r1").await, [r#"["late_receipt"]"#]);
        assert_eq!(db.rebuilt().await, 1);
        assert_eq!(db.conversions().await, ["conversion - - - 20.00 2"]);
        assert_eq!(db.history().await, ["00:10 - - 10.00", "00:30 - - 20.00"]);
        let received = "select substr(cast(received_at as text), 15, 5) || ' ' || first_request_id from conversions";
        assert_eq!(db.one(received).await, "00:10 r1");
        assert_eq!(db.totals().await, db.recount().await);
    }

    a_receipt_ahead_of_the_clock_takes_the_place_in_which_it_was_first_stored(db) {
        const EVENTS: &str = "select substr(cast(received_at as text), 12, 8) from events order by received_at";
        const REPEATS: &str = "select request_id || ' ' || substr(cast(received_at as text), 12, 8) from repeats order by request_id";
        let ahead = sent(("09:00:00", "r1", "conversion_id=c1&usd_payout=10"));
        assert_eq!(db.store.record(ahead.clone()).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.store.record(delivered_again(&ahead, "08:30:00")).await.unwrap(), Recorded::As(Duplicate));
        assert_eq!(db.column(EVENTS).await, ["08:00:00"]);
        assert_eq!(db.column(REPEATS).await, [""; 0], "one request is one receipt");
        let last_ms = at("2025-11-21T08:00:00.123Z").unix_ms().to_string();
        assert_eq!(db.one("select cast(last_received_ms as text) from conversions").await, last_ms);
        // What comes behind it counts, as it would have if the clock had been right.
        let behind = Record { now: at("2025-11-21T08:10:00Z"), ..sent(("08:10:00", "r2", "conversion_id=c1&usd_payout=25")) };
        assert_eq!(db.store.record(behind).await.unwrap(), Recorded::As(Revised));
        assert_eq!(db.conversions().await, ["conversion - - - 25.00 2"]);
        // The same of a repeat.
        let repeat = Record { now: at("2025-11-21T08:20:00Z"), ..sent(("09:00:00", "r3", "conversion_id=c1&usd_payout=10")) };
        for delivery in [repeat.clone(), delivered_again(&repeat, "08:40:00")] {
            assert_eq!(db.store.record(delivery).await.unwrap(), Recorded::As(Duplicate));
        }
        assert_eq!(db.column(REPEATS).await, ["r3 08:20:00"]);
        assert_eq!(db.rebuilt().await, 0);
        assert_eq!(db.conversions().await, ["conversion - - - 25.00 2"]);
    }

    a_known_event_that_comes_again_while_its_sender_may_retry_is_a_duplicate(db) {
        let approved = "conversion_id=c1&usd_payout=10&status=Approved";
        db.store_sent(("07:00:00", "r1", approved)).await;
        db.store_sent(("07:10:00", "r2", "conversion_id=c1&usd_payout=12&status=Rejected")).await;
        assert_eq!(db.store_sent(("07:20:00", "r3", approved)).await, Recorded::As(Duplicate));
        assert_eq!(db.warnings("r3").await, [r#"["superseded_event"]"#]);
        assert_eq!(db.rebuilt().await, 0);
        assert_eq!(db.conversions().await, ["conversion rejected - - 12.00 2"]);
    }
}

mod by_policy {
    use super::*;

    policies! {
        a_sender_that_never_retries_returns_to_what_it_said_before(
            DuplicatePolicy { retry_window_s: 0, ..DuplicatePolicy::default() }, db
        ) {
            let approved = "conversion_id=c1&usd_payout=10&status=Approved";
            let first = sent(("07:00:00", "r1", approved));
            let back = sent(("07:20:00", "r3", approved));
            assert_eq!(db.store.record(first.clone()).await.unwrap(), Recorded::As(Created));
            assert_eq!(db.store_sent(("07:10:00", "r2", "conversion_id=c1&usd_payout=12&status=Rejected")).await, Recorded::As(Revised));
            // The gateway delivers the first request again: that is no word of its sender's.
            assert_eq!(db.store.record(delivered_again(&first, "08:01:00")).await.unwrap(), Recorded::As(Duplicate));
            assert_eq!(db.store.record(back.clone()).await.unwrap(), Recorded::As(Revised));
            assert_eq!(db.warnings("r3").await, [r#"["returned"]"#]);
            for request in [&first, &back] {
                assert_eq!(db.store.record(delivered_again(request, "08:02:00")).await.unwrap(), Recorded::As(Duplicate));
            }
            assert_eq!(db.rebuilt().await, 1);
            let (conversions, history) = (
                ["conversion approved - - 10.00 3 returned"],
                ["00:00 approved - 10.00", "10:00 rejected - 12.00", "20:00 approved - 10.00 return"],
            );
            assert_eq!(db.conversions().await, conversions);
            assert_eq!(db.history().await, history);
            assert_eq!(db.one("select cast(count(*) as text) from events").await, "2", "it is the same event");
            let receipts = [
                ("07:00:00", "r1", approved),
                ("07:10:00", "r2", "conversion_id=c1&usd_payout=12&status=Rejected"),
                ("07:20:00", "r3", approved),
            ];
            db.assert_in_every_order(&receipts, &conversions, &history).await;
        }

        what_comes_again_is_a_retry_until_its_sender_has_ended(
            DuplicatePolicy { retry_window_s: 60, ..DuplicatePolicy::default() }, db
        ) {
            let first = "conversion_id=c1&usd_payout=10";
            db.store_sent(("07:00:00", "r1", first)).await;
            // Nothing came in between, so there is nothing to return from.
            assert_eq!(db.store_sent(("07:02:00", "r2", first)).await, Recorded::As(Duplicate));
            db.store_sent(("07:02:01", "r3", "conversion_id=c1&usd_payout=12")).await;
            // It took effect two minutes ago.
            assert_eq!(db.store_sent(("07:02:02", "r4", first)).await, Recorded::As(Revised));
            db.rebuilt().await;
            assert_eq!(db.store_sent(("07:02:03", "r5", "conversion_id=c1&usd_payout=13")).await, Recorded::As(Revised));
            assert_eq!(db.store_sent(("07:03:02", "r6", first)).await, Recorded::As(Duplicate));
            assert_eq!(db.store_sent(("07:03:02.001", "r7", first)).await, Recorded::As(Revised), "a minute since it took effect");
            db.rebuilt().await;
            assert_eq!(db.conversions().await, ["conversion - - - 10.00 5 returned"]);
        }

        a_return_is_one_whichever_of_its_receipts_is_stored_first(
            DuplicatePolicy { retry_window_s: 60, ..DuplicatePolicy::default() }, db
        ) {
            let (first, other) = ("conversion_id=c1&usd_payout=10", "conversion_id=c1&usd_payout=12");
            let receipts = [
                ("07:00:00", "r1", first),
                // A retry; where it is stored first, its event entered by it.
                ("07:00:50", "r2", first),
                ("07:01:00", "r3", other),
                ("07:01:40", "r4", first),
                ("07:01:50", "r5", other),
            ];
            db.assert_in_every_order(
                &receipts,
                &["conversion - - - 10.00 3 returned"],
                &["00:00 - - 10.00", "01:00 - - 12.00", "01:40 - - 10.00 return"],
            ).await;
        }

        a_repeat_that_is_stored_late_keeps_a_window_open(
            DuplicatePolicy { key: DuplicateKey::ClickIdAndEvent, window_s: Some(60), ..DuplicatePolicy::default() }, db
        ) {
            let first = "conversion_id=a&click_id=k1&event=purchase&usd_payout=10";
            let other = ("07:01:30", "r3", "conversion_id=b&click_id=k1&event=purchase&usd_payout=20");
            db.store_sent(("07:00:00", "r1", first)).await;
            assert_eq!(db.store_sent(other).await, Recorded::As(Created), "90 s behind the last one that is known");
            assert_eq!(db.store_sent(("07:00:45", "r2", first)).await, Recorded::As(Duplicate));
            assert_eq!(db.conversions().await.len(), 2, "until it is folded");
            assert_eq!(db.rebuilt().await, 1);
            assert_eq!(db.conversions().await, ["purchase - - - 20.00 2"]);
            db.assert_in_every_order(
                &[("07:00:00", "r1", first), ("07:00:45", "r2", first), other],
                &["purchase - - - 20.00 2"],
                &["00:00 - - 10.00", "01:30 - - 20.00"],
            ).await;
        }

        a_late_event_may_part_what_a_window_joined_and_mark_another(
            DuplicatePolicy { window_s: Some(60), repeat: OnRepeat::Flag, ..DuplicatePolicy::default() }, db
        ) {
            let receipts = [
                ("07:00:00", "r1", "conversion_id=c1&usd_payout=1"),
                ("07:01:00", "r2", "conversion_id=c1&usd_payout=2"),
                ("07:02:00.001", "r3", "conversion_id=c1&usd_payout=3"),
            ];
            db.assert_in_every_order(
                &receipts,
                &["conversion - - - 1.00 1", "conversion - - - 2.00 1", "conversion - - - 3.00 1"],
                &["00:00 - - 1.00", "01:00 - - 2.00", "02:00 - - 3.00"],
            ).await;
            let marked = "select cast(usd_payout as text) from conversions where is_duplicate order by occurrence";
            assert_eq!(db.column(marked).await, ["2.00"]);
        }

        of_ignored_repeats_the_one_that_was_received_first_stands(
            DuplicatePolicy { repeat: OnRepeat::Ignore, ..DuplicatePolicy::default() }, db
        ) {
            let later = ("07:01:00", "r2", "conversion_id=c1&usd_payout=25");
            assert_eq!(db.store_sent(later).await, Recorded::As(Created));
            assert_eq!(db.store_sent(("07:00:00", "r1", "conversion_id=c1&usd_payout=10")).await, Recorded::As(Revised));
            assert_eq!(db.warnings("r1").await, [r#"["late_receipt"]"#]);
            assert_eq!(db.rebuilt().await, 1);
            assert_eq!(db.conversions().await, ["conversion - - - 10.00 1"]);
            assert_eq!(db.history().await, ["00:00 - - 10.00"]);
        }
    }
}

/// A conversion of which receipts come faster than it is folded is brought up to date all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_whose_receipts_keep_coming_is_rebuilt() {
    let db = crate::fresh("sqlite").await;
    let processing = crate::processing::Processing::new();
    let notice = |at_ms: i64, payout: i64| {
        let record = record(&format!("conversion_id=y1&rewars={payout}&sub_id=s{payout}"));
        let received_at = Timestamp::from_unix_ms(at("2025-11-21T07:00:00Z").unix_ms() + at_ms).unwrap();
        let receipt = Receipt { received_at, request_id: format!("r{payout}"), ..record.receipt.clone() };
        Record { receipt, ..record }
    };
    for number in 1..=300 {
        db.store.record(notice(number, number)).await.unwrap();
    }
    // The late one.
    db.store.record(notice(0, 0)).await.unwrap();
    let is_rebuilt = std::sync::atomic::AtomicBool::new(false);
    let keep_sending = async {
        let mut number = 300;
        while !is_rebuilt.load(std::sync::atomic::Ordering::Relaxed) && number < 20_000 {
            number += 1;
            db.store.record(notice(number, number)).await.unwrap();
        }
        number
    };
    let rebuild = async {
        const FIRST: &str = "select cast(usd_payout as text) from revisions where revision = 1";
        let platform = Platform { now: crate::processing::now, random: Platform::SYSTEM.random };
        for _ in 0..100 {
            process(&platform, &processing.shared, &processing.partner, &db.store).await.unwrap();
            if db.column(FIRST).await[0] == "0.00" {
                break;
            }
        }
        is_rebuilt.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (sent, ()) = futures_util::future::join(keep_sending, rebuild).await;
    assert!(sent < 20_000, "it was not rebuilt meanwhile");
    assert!(sent > 301, "more came meanwhile");
    processing.all(&db.store).await;
    assert_eq!(db.one("select cast(revision as text) from conversions").await, (sent + 1).to_string());
}
