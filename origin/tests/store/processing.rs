//! What conversions mean (R49-R52, R64), whatever order their events and what they refer to come in.

use crate::{Fresh, at, batch, click, nonce, partner, record};
use bytec_origin::app::Platform;
use bytec_origin::processing::{again, process, process_round};
use bytec_origin::shared::{Change, Quote, Shared, read_ecb};
use bytec_origin::store::location::Location;
use bytec_origin::store::worklist::{Backlog, Conclusion, Facts, Item, Judged, Lease, Next, Other, Standing};
use bytec_origin::store::{Record, Recorded, Store};
use chrono::NaiveDate;
use postback::click::Click;
use postback::money::Amount;
use postback::partner::{FirstDeposit, OnReversed, Partner};
use postback::time::Timestamp;
use postback::verdict::Verdict::{Created, Revised};
use std::collections::{BTreeMap, HashMap};
use tempfile::TempDir;

const CONVERSIONS: &str = "select conversion_key || ' ' || event || ' ' || coalesce(status, '-') || ' ' ||
    coalesce(attribution, '-') || ' ' || coalesce(deposit, '-') || ' ' || coalesce(refund_of, '-') || ' ' ||
    coalesce(cast(counted_usd_sale_amount as text), cast(fx_sale_amount as text), '-') || ' ' || coalesce(cast(fx_rate_date as text), '-') || ' ' ||
    replace(cast(findings as text), ' ', '')
    from conversions order by conversion_key, occurrence";
const DEPOSITS: &str =
    "select conversion_key || ' ' || coalesce(deposit, '-') from conversions order by conversion_key";
const FINDINGS: &str =
    "select conversion_key || ' ' || replace(cast(findings as text), ' ', '') from conversions order by conversion_key";

pub fn now() -> Timestamp {
    at("2025-11-21T08:00:10Z")
}

/// What a partner's events are processed with.
pub struct Processing {
    pub shared: Shared,
    pub partner: Partner,
    pub _folder: TempDir,
}

impl Processing {
    pub fn new() -> Processing {
        let folder = TempDir::new().unwrap();
        let place = format!("sqlite:{}", folder.path().display());
        let first_deposit = FirstDeposit {
            minimum: Amount::parse("10").unwrap(),
            currency: "USD".to_owned(),
            bonus_payment_methods: vec!["bonus".to_owned()],
            reversed: OnReversed::Stays,
        };
        let partner = Partner {
            first_deposit: Some(first_deposit),
            attribution_window_days: Some(30),
            consent_required: true,
            ..partner()
        };
        Processing { shared: Shared::at(Location::within(&place, "bytec_db").unwrap()), partner, _folder: folder }
    }

    /// Processes what is due, until nothing is.
    pub async fn all(&self, store: &Store) {
        let platform = Platform { now, random: Platform::SYSTEM.random };
        let mut rounds = 0;
        while process(&platform, &self.shared, &self.partner, store).await.unwrap() > 0 {
            rounds += 1;
            assert!(rounds < 20, "there is always more to process");
        }
    }

    pub async fn import(&self, csv: &str) {
        let change = Change { id: nonce(), at: now(), actor: "test".to_owned() };
        self.shared.import_rates(&read_ecb(csv, NaiveDate::MAX).unwrap().quotes, 0, &change).await.unwrap();
    }
}

pub fn lease(seconds: i64) -> Lease {
    let until = Timestamp::from_unix_ms(now().unix_ms() + seconds * 1000).unwrap();
    Lease { id: nonce(), now: now(), until }
}

pub fn deposit(id: &str, account: &str, amount: &str, time: &str) -> String {
    format!("conversion_id={id}&event=deposit&account_id={account}&usd_sale_amount={amount}&event_time={time}")
}

/// The totals are what a recount of all conversions comes to.
impl Fresh {
    pub async fn assert_totals_are_a_recount(&self) {
        assert_eq!(self.totals().await, self.recount().await);
    }

    pub async fn processed(&self, processing: &Processing, sql: &'static str) -> Vec<String> {
        processing.all(&self.store).await;
        self.assert_totals_are_a_recount().await;
        self.column(sql).await
    }
}

contract! {
    a_conversion_is_joined_to_its_click_whichever_comes_first(db) {
        let processing = Processing::new();
        let [known, later] = [click(1), click(2)];
        db.store.record_clicks(&batch(vec![known.clone()], nonce())).await.unwrap();
        db.record(&format!("conversion_id=c1&click_id={}&event_time=2025-11-21+16:00:05", known.click_id)).await;
        db.record(&format!("conversion_id=c2&click_id={}&event_time=2025-11-21+16:00:05", later.click_id)).await;
        db.record("conversion_id=c3").await;
        assert_eq!(db.processed(&processing, CONVERSIONS).await, [
            "c1 conversion - clicked - - - - []",
            "c2 conversion - unknown_click - - - - [\"consent_missing\",\"unknown_click\"]",
            "c3 conversion - no_click - - - - [\"consent_missing\"]",
        ]);
        assert_eq!(db.column("select coalesce(consent, '-') from conversions order by conversion_key").await, ["2", "-", "-"]);
        db.store.record_clicks(&batch(vec![later], nonce())).await.unwrap();
        assert_eq!(db.processed(&processing, CONVERSIONS).await[1], "c2 conversion - clicked - - - - []");
    }

    a_click_that_cannot_have_led_to_it_is_told(db) {
        let processing = Processing::new();
        let click = click(1);
        db.store.record_clicks(&batch(vec![click.clone()], nonce())).await.unwrap();
        // The click is of 08:00:00.123 on 21 November 2025, UTC; the partner's clocks are eight hours ahead.
        for (id, time) in [("c1", "2025-11-21+15:59:59"), ("c2", "2025-11-21+16:00:01")] {
            db.record(&format!("conversion_id={id}&click_id={}&event_time={time}&consent_version=3", click.click_id)).await;
        }
        assert_eq!(db.processed(&processing, FINDINGS).await, [
            "c1 [\"click_after_conversion\",\"consent_differs\"]",
            "c2 [\"consent_differs\"]",
        ]);
        let old = Click { clicked_at: at("2025-10-20T08:00:00Z"), ..crate::click(2) };
        db.store.record_clicks(&batch(vec![old.clone()], nonce())).await.unwrap();
        for (id, time) in [("c3", "2025-11-19+16:00:00"), ("c4", "2025-11-19+16:00:01")] {
            db.record(&format!("conversion_id={id}&click_id={}&event_time={time}&consent_version=2", old.click_id)).await;
        }
        assert_eq!(db.processed(&processing, FINDINGS).await[2..], ["c3 []", "c4 [\"click_too_old\"]"], "30 days");
    }

    the_first_deposit_is_the_earliest_that_counts_whichever_comes_first(db) {
        let processing = Processing::new();
        for query in [
            deposit("d2", "a1", "20", "2025-11-20+10:00:00"),
            deposit("d3", "a1", "30", "2025-11-20+11:00:00"),
            deposit("d4", "a2", "5", "2025-11-20+09:00:00"),
            deposit("d5", "a2", "0", "2025-11-20+09:30:00"),
            deposit("d6", "a2", "50", "2025-11-20+10:00:00") + "&payment_method=Bonus",
            deposit("d7", "a2", "50", "2025-11-20+12:00:00"),
            "conversion_id=d8&event=deposit&usd_sale_amount=50".to_owned(),
            "conversion_id=d9&event=deposit&account_id=a1".to_owned(),
        ] {
            db.record(&query).await;
        }
        assert_eq!(db.processed(&processing, DEPOSITS).await, [
            "d2 first", "d3 repeat", "d4 too_small", "d5 zero", "d6 bonus", "d7 first", "d8 no_account", "d9 no_amount",
        ]);
        // An earlier one comes late; then it turns out to be none.
        db.record(&deposit("d1", "a1", "10", "2025-11-20+09:00:00")).await;
        assert_eq!(db.processed(&processing, DEPOSITS).await[..3], ["d1 first", "d2 repeat", "d3 repeat"]);
        db.record("conversion_id=d1&status=Rejected").await;
        assert_eq!(db.processed(&processing, DEPOSITS).await[..3], ["d1 rejected", "d2 first", "d3 repeat"]);
        assert_eq!(db.one("select cast(sum(first_deposits) as text) from totals").await, "2");
    }

    a_deposit_that_turns_out_to_be_another_s_leaves_its_account_a_first(db) {
        let processing = Processing::new();
        db.record(&deposit("d1", "a1", "20", "2025-11-20+09:00:00")).await;
        db.record(&deposit("d2", "a1", "20", "2025-11-20+10:00:00")).await;
        db.record(&deposit("d3", "a2", "20", "2025-11-20+10:00:00")).await;
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first", "d2 repeat", "d3 first"]);
        db.record(&deposit("d1", "a2", "20", "2025-11-20+09:00:00")).await;
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 first", "d2 first", "d3 repeat"]);
    }

    an_item_that_cannot_be_read_is_put_off_and_holds_up_no_other(db) {
        let processing = Processing::new();
        db.record("conversion_id=good&consent_version=1").await;
        db.record("conversion_id=bad&consent_version=1").await;
        // No instant that this program could have written.
        let is_postgres = matches!(db.store.database(), bytec_origin::store::Database::Postgres(_));
        let odd = if is_postgres { "'infinity'" } else { "'never'" };
        db.execute(&format!("update conversions set received_at = {odd} where conversion_key = 'bad'")).await;
        processing.all(&db.store).await;
        let state = "select conversion_key || ' ' || state || ' ' || cast(attempts as text) from work_items";
        assert_eq!(db.one(state).await, "bad waiting 1");
        assert_eq!(db.column("select conversion_key from conversions where is_processed").await, ["good"]);
    }

    money_that_goes_back_stands_beside_what_it_goes_back_of(db) {
        let processing = Processing::new();
        db.record("conversion_id=c1&event=purchase&status=Pending&usd_sale_amount=100&rewars=10&consent_version=1").await;
        db.record("conversion_id=c1&status=Approved").await;
        db.record("conversion_id=c1&event=refund&usd_sale_amount=100&rewars=10&consent_version=1").await;
        // A chargeback that comes before what it is of, and does not say how much; two refunds of one sale.
        db.record("conversion_id=c2&event=chargeback&consent_version=1").await;
        db.record("conversion_id=c3&event=refund&event_id=r1&usd_sale_amount=3&consent_version=1").await;
        db.record("conversion_id=c3&event=refund&event_id=r2&usd_sale_amount=4&consent_version=1").await;
        let found = db.processed(&processing, CONVERSIONS).await;
        assert!(found.contains(&"c1 purchase approved no_click - - - - []".to_owned()), "{found:?}");
        let back = |found: &[String], of: &str| found.iter().filter(|row| row.contains(&format!(" - {of} "))).count();
        assert_eq!((back(&found, "c1"), back(&found, "c2"), back(&found, "c3")), (1, 0, 0), "{found:?}");
        assert_eq!(found.iter().filter(|row| row.contains("original_missing")).count(), 3, "{found:?}");
        db.record("conversion_id=c2&event=purchase&usd_sale_amount=50&rewars=5&consent_version=1").await;
        db.record("conversion_id=c3&event=purchase&usd_sale_amount=7&consent_version=1").await;
        let found = db.processed(&processing, CONVERSIONS).await;
        assert_eq!((back(&found, "c1"), back(&found, "c2"), back(&found, "c3")), (1, 1, 2), "{found:?}");
        assert!(found.iter().any(|row| row.ends_with(" - c2 -50.00 - [\"amount_of_original\"]")), "{found:?}");
        db.assert_totals_are_a_recount().await;
    }

    an_amount_in_another_currency_waits_for_its_rate(db) {
        let processing = Processing::new();
        let query = "event=deposit&account_id=a1&sale_amount_local=100&conversion_currency=EUR&consent_version=1";
        db.record(&format!("conversion_id=d1&{query}&event_time=2025-11-20+12:00:00")).await;
        db.record("conversion_id=d2&sale_amount_local=5&consent_version=1").await;
        assert_eq!(db.processed(&processing, CONVERSIONS).await, [
            "d1 deposit - no_click undecided - - - [\"rate_missing\"]",
            "d2 conversion - no_click - - - - [\"currency_missing\"]",
        ]);
        let backlog = Backlog { waiting: 0, delayed: 1, dead: 0, lag_s: 0, rebuilds: 0 };
        assert_eq!(db.store.backlog(now()).await.unwrap(), backlog);
        // A rate of the day before: the best there is until the day's own comes.
        processing.import("Date,USD\n2025-11-19,1.1000\n").await;
        assert_eq!(db.store.put_back_delayed(at("2025-11-21T07:00:00Z"), now()).await.unwrap(), 0, "it began to wait later");
        assert_eq!(db.store.put_back_delayed(at("2025-11-21T09:00:00Z"), now()).await.unwrap(), 1);
        assert_eq!(db.processed(&processing, CONVERSIONS).await[0], "d1 deposit - no_click first - 110.00 2025-11-19 [\"rate_provisional\"]");
        processing.import("Date,USD\n2025-11-20,1.1523\n2025-11-19,1.1000\n").await;
        assert_eq!(db.store.put_back_delayed(at("2025-11-21T09:00:00Z"), now()).await.unwrap(), 1);
        assert_eq!(db.processed(&processing, CONVERSIONS).await[0], "d1 deposit - no_click first - 115.23 2025-11-20 []");
        assert_eq!(db.store.backlog(now()).await.unwrap(), Backlog::default());
        // What the sender says in dollars afterwards is what counts.
        db.record("conversion_id=d1&usd_sale_amount=116").await;
        assert_eq!(db.processed(&processing, CONVERSIONS).await[0], "d1 deposit - no_click first - - - [\"amount_dropped\"]");
    }

    a_wrong_day_that_is_deleted_is_counted_before_and_what_it_made_final_is_open_again(db) {
        let processing = Processing::new();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let sale = "event=purchase&sale_amount_local=100&consent_version=1";
        db.record(&format!("conversion_id=c1&{sale}&conversion_currency=EUR&event_time=2025-11-19+08:00:00")).await;
        db.record(&format!("conversion_id=c2&{sale}&conversion_currency=MYR&event_time=2025-11-19+07:59:59")).await;
        db.record(&format!("conversion_id=c3&{sale}&conversion_currency=EUR&event_time=2025-11-20+12:00:00")).await;
        db.record("conversion_id=c4&usd_sale_amount=7&consent_version=1&event_time=2025-11-19+12:00:00").await;
        // The 20th is wrong: of the 19th nothing is known yet.
        processing.import("Date,USD,MYR\n2025-11-18,1.1,4.4\n2025-11-20,11,4.4\n").await;
        assert_eq!(db.processed(&processing, CONVERSIONS).await, [
            "c1 purchase - no_click - - 110.00 2025-11-18 []",
            "c2 purchase - no_click - - 25.00 2025-11-18 []",
            "c3 purchase - no_click - - 1100.00 2025-11-20 []",
            "c4 conversion - no_click - - - - []",
        ]);
        let counted = async |date: &str, currency| db.store.count_converted(day(date), currency).await.unwrap();
        let counts = [counted("2025-11-18", None).await, counted("2025-11-18", Some("MYR")).await, counted("2025-11-18", Some("JPY")).await];
        assert_eq!(counts, [2, 1, 0], "also what happened on later days");
        assert_eq!([counted("2025-11-19", None).await, counted("2025-11-20", None).await], [0, 1]);
        let change = || Change { id: nonce(), at: now(), actor: "test".to_owned() };
        assert!(processing.shared.delete_rates(day("2025-11-20"), None, &serde_json::json!({}), &change()).await.unwrap());
        let mut keys = Vec::new();
        let apply = async |changed: Vec<(String, String)>| {
            keys.extend(changed.iter().map(|(_, key)| key.clone()));
            again::put_back(&db.store, changed, now()).await
        };
        let found = again::compare(&processing.shared, &processing.partner, &db.store, now(), |_| {}, apply).await.unwrap();
        assert_eq!(keys, ["c1", "c3"]);
        assert_eq!(found.changes.into_iter().collect::<Vec<_>>(), [("amounts", 1), ("findings", 2)]);
        assert_eq!(db.processed(&processing, CONVERSIONS).await[..3], [
            "c1 purchase - no_click - - 110.00 2025-11-18 [\"rate_provisional\"]",
            "c2 purchase - no_click - - 25.00 2025-11-18 []",
            "c3 purchase - no_click - - 110.00 2025-11-18 [\"rate_provisional\"]",
        ]);
    }

    what_a_rate_converted_is_counted_as_another_rate_would_change_it(db) {
        let processing = Processing::new();
        processing.import("Date,USD,MYR,IDR\n2025-11-19,1.15,4.8,18000\n2025-11-03,1.15,4.8,18000\n2025-11-02,1.15,4.8,18000\n").await;
        let myr = |id: &str| format!("conversion_id={id}&consent_version=1&conversion_currency=MYR");
        for query in [
            // A sale, and what was returned of it weeks later, by the sale's rate.
            format!("{}&event=purchase&sale_amount_local=96&event_time=2025-11-02+12:00:00", myr("c1")),
            format!("{}&event=refund&event_id=r1&sale_amount_local=48&event_time=2025-11-20+12:00:00", myr("c1")),
            "conversion_id=c1&event=chargeback&event_id=b1&consent_version=1&event_time=2025-11-20+13:00:00".to_owned(),
            // Stated dollars: the payout alone is converted. Returns are by the rate that the sale states.
            format!("{}&event=purchase&sale_amount_local=96&usd_sale_amount=20&event_time=2025-11-03+12:00:00", myr("c2")),
            "conversion_id=c2&payout_local=9000&conversion_currency=IDR".to_owned(),
            format!("{}&event=purchase&sale_amount_local=96&usd_sale_amount=20&event_time=2025-11-19+12:00:00", myr("c3")),
            format!("{}&event=refund&event_id=r3&sale_amount_local=48&event_time=2025-11-20+12:00:00", myr("c3")),
            // A return of which no sale is known: by its own day.
            format!("{}&event=refund&event_id=r4&sale_amount_local=48&event_time=2025-11-03+12:00:00", myr("c4")),
            "conversion_id=c5&event=purchase&consent_version=1&usd_sale_amount=5&event_time=2025-11-02+12:00:00".to_owned(),
        ] {
            assert!(matches!(db.record(&query).await, Recorded::As(Created | Revised)), "{query}");
        }
        processing.all(&db.store).await;
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let change = || Change { id: nonce(), at: now(), actor: "test".to_owned() };
        let set = async |date: &str, currency: &str, rate: &str| {
            let quote = Quote { day: day(date), currency: currency.to_owned(), rate: rate.parse().unwrap() };
            processing.shared.set_rate(&quote, &serde_json::json!({}), &change()).await.unwrap();
        };
        for (date, currency, before, expected) in [
            ("2025-11-02", "MYR", "4.8", 3), ("2025-11-02", "IDR", "18000", 0), ("2025-11-02", "USD", "1.15", 3),
            ("2025-11-03", "MYR", "4.8", 1), ("2025-11-03", "IDR", "18000", 1), ("2025-11-03", "USD", "1.15", 2),
            ("2025-11-19", "MYR", "4.8", 0), ("2025-11-19", "IDR", "18000", 0), ("2025-11-19", "USD", "1.15", 0),
        ] {
            let asked = (currency != "USD").then_some(currency);
            assert_eq!(db.store.count_converted(day(date), asked).await.unwrap(), expected, "{date} {currency}");
            set(date, currency, "2.4").await;
            let differs = async |_| Ok(());
            let found = again::compare(&processing.shared, &processing.partner, &db.store, now(), |_| {}, differs).await.unwrap();
            assert_eq!(found.changed, expected, "{date} {currency}: {found:?}");
            set(date, currency, before).await;
        }
    }

    several_events_of_one_conversion_are_judged_and_counted_once(db) {
        let processing = Processing::new();
        processing.import("Date,USD\n2025-11-20,1.5\n").await;
        let query = "conversion_id=d1&event=deposit&account_id=a1&conversion_currency=EUR&event_time=2025-11-20+12:00:00&consent_version=1";
        for (amount, status) in [("10", "Pending"), ("20", "Pending"), ("30", "Approved")] {
            db.record(&format!("{query}&sale_amount_local={amount}&status={status}")).await;
        }
        assert_eq!(db.processed(&processing, CONVERSIONS).await, ["d1 deposit approved no_click first - 45.00 2025-11-20 []"]);
        assert_eq!(db.one("select cast(sum(first_deposits) as text) from totals").await, "1");
        assert_eq!(db.store.backlog(now()).await.unwrap(), Backlog::default());
    }

    an_item_is_one_takers_until_its_lease_ends(db) {
        for number in 0..150 {
            db.record(&format!("conversion_id=c{number}")).await;
        }
        let (first, second, third) = tokio::join!(
            async { db.store.take_items(&lease(30)).await.unwrap() },
            async { db.store.take_items(&lease(30)).await.unwrap() },
            async { db.store.take_items(&lease(30)).await.unwrap() },
        );
        let mut taken: Vec<_> = [first, second, third].into_iter().flatten().map(|item| item.event_id).collect();
        assert_eq!(taken.len(), 150);
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 150, "none was taken twice");
        assert!(db.store.take_items(&lease(30)).await.unwrap().is_empty());
        let later = Lease { now: at("2025-11-21T08:00:41Z"), ..lease(60) };
        let again = db.store.take_items(&later).await.unwrap();
        assert_eq!((again.len(), again[0].attempts), (100, 0), "whoever had them is gone");
    }

    who_has_an_item_no_longer_writes_nothing(db) {
        db.record("conversion_id=c1&rewars=1").await;
        let slow = lease(1);
        let items = db.store.take_items(&slow).await.unwrap();
        let facts = db.store.facts_of(&items).await.unwrap();
        let conclusion = |state| Conclusion {
            item: items[0].clone(),
            judged: Some((facts[&items[0].event_id].clone(), Judged { attribution: state, ..Judged::default() })),
            next: Next::Done,
            others: Vec::new(),
        };
        let quick = Lease { now: at("2025-11-21T08:00:20Z"), ..lease(60) };
        assert_eq!(db.store.take_items(&quick).await.unwrap().len(), 1);
        db.store.conclude_items(&slow, vec![conclusion("clicked")]).await.unwrap();
        let state = "select coalesce(attribution, '-') || ' ' || (select cast(count(*) as text) from work_items) from conversions";
        assert_eq!(db.one(state).await, "- 1");
        db.store.conclude_items(&quick, vec![conclusion("no_click")]).await.unwrap();
        assert_eq!(db.one(state).await, "no_click 0");
    }

    what_changed_since_it_was_read_is_left_to_the_item_of_the_change(db) {
        db.record("conversion_id=c1&rewars=1").await;
        let taken = lease(30);
        let items = db.store.take_items(&taken).await.unwrap();
        let facts = db.store.facts_of(&items).await.unwrap();
        db.record("conversion_id=c1&rewars=2").await;
        let judged = (facts[&items[0].event_id].clone(), Judged { attribution: "no_click", ..Judged::default() });
        let conclusion = Conclusion { item: items[0].clone(), judged: Some(judged), next: Next::Done, others: Vec::new() };
        db.store.conclude_items(&taken, vec![conclusion]).await.unwrap();
        assert_eq!(db.one("select coalesce(attribution, '-') from conversions").await, "-");
        assert_eq!(db.store.backlog(now()).await.unwrap().waiting, 1, "the newer event's");
        let processing = Processing::new();
        assert_eq!(db.processed(&processing, FINDINGS).await, ["c1 [\"consent_missing\"]"]);
    }

    what_is_evaluated_by_older_facts_meanwhile_is_evaluated_again(db) {
        let processing = Processing::new();
        db.record("conversion_id=c1&event=purchase&usd_sale_amount=100&consent_version=1&event_id=s1").await;
        processing.all(&db.store).await;
        db.record("conversion_id=c1&event=refund&consent_version=1&event_id=r1").await;
        // The one reads the return beside the sale of 100 ...
        let slow = lease(30);
        let slow_items = db.store.take_items(&slow).await.unwrap();
        let slow_facts = db.store.facts_of(&slow_items).await.unwrap();
        db.record("conversion_id=c1&event=purchase&usd_sale_amount=150&event_id=s2").await;
        // ... the other the sale of 150 beside the return, which nobody has evaluated yet, ...
        let quick = lease(30);
        let quick_items = db.store.take_items(&quick).await.unwrap();
        assert_eq!(quick_items.iter().map(|item| item.event_id.as_str()).collect::<Vec<_>>(), ["s2"]);
        let quick_facts = db.store.facts_of(&quick_items).await.unwrap();
        let group = db.store.groups_of(&["c1".to_owned()]).await.unwrap().groups.remove("c1").unwrap();
        let back = group.iter().find(|member| member.event == "refund").unwrap();
        let others = vec![Other {
            event_id: back.event_id.clone(),
            conversion_key: back.conversion_key.clone(),
            occurrence: back.occurrence,
            processed_at: back.evaluated.processed_at,
            standing: Standing::UpToDate,
        }];
        // ... and both write.
        let conclusion = |item: &Item, facts: &HashMap<String, Facts>, others| Conclusion {
            item: item.clone(),
            judged: Some((facts[&item.event_id].clone(), Judged { attribution: "no_click", ..Judged::default() })),
            next: Next::Done,
            others,
        };
        let of_slow = conclusion(&slow_items[0], &slow_facts, Vec::new());
        db.store.conclude_items(&slow, vec![of_slow]).await.unwrap();
        let of_quick = conclusion(&quick_items[0], &quick_facts, others);
        db.store.conclude_items(&quick, vec![of_quick]).await.unwrap();
        assert_eq!(db.column("select event_id from work_items order by event_id").await, ["r1"]);
        processing.all(&db.store).await;
        let counted = "select cast(counted_usd_sale_amount as text) from conversions where event = 'refund'";
        assert_eq!(db.one(counted).await, "-150.00");
    }

    a_conversion_is_evaluated_by_the_item_of_its_last_event_alone(db) {
        let processing = Processing::new();
        db.record("conversion_id=c1&rewars=1&consent_version=1&event_id=e1").await;
        db.record("conversion_id=c1&rewars=2&event_id=e2").await;
        // The one has the item of an earlier event, and is slow; what it evaluates by changes meanwhile, without a further receipt.
        let slow = lease(30);
        let items = db.store.take_items(&slow).await.unwrap();
        let [first, last] = [&items[0], &items[1]];
        assert_eq!([first.event_id.as_str(), last.event_id.as_str()], ["e1", "e2"]);
        let facts = db.store.facts_of(&items).await.unwrap();
        assert_eq!(["e1", "e2"].map(|event| facts[event].marks.last_event_id.as_str()), ["e2", "e2"]);
        db.execute("update work_items set claim_id = null where event_id = 'e2'").await;
        db.processed(&processing, FINDINGS).await;
        let conclusion = |item: &Item| Conclusion {
            item: item.clone(),
            judged: Some((facts[&item.event_id].clone(), Judged { attribution: "by_older", ..Judged::default() })),
            next: Next::Done,
            others: Vec::new(),
        };
        db.store.conclude_items(&slow, vec![conclusion(first), conclusion(last)]).await.unwrap();
        let attribution = "select attribution || ' ' || (select cast(count(*) as text) from work_items) from conversions";
        assert_eq!(db.one(attribution).await, "no_click 1", "and the last event's is asked to see to it");
        processing.all(&db.store).await;
        assert_eq!(db.one(attribution).await, "no_click 0");
    }

    items_of_one_conversion_that_are_taken_together_evaluate_it_once(db) {
        db.record("conversion_id=c1&rewars=1&consent_version=1&event_id=e1").await;
        db.record("conversion_id=c1&rewars=2&event_id=e2").await;
        let both = lease(30);
        let items = db.store.take_items(&both).await.unwrap();
        let facts = db.store.facts_of(&items).await.unwrap();
        let conclusion = |item: &Item| Conclusion {
            item: item.clone(),
            judged: Some((facts[&item.event_id].clone(), Judged { attribution: "no_click", ..Judged::default() })),
            next: Next::Done,
            others: Vec::new(),
        };
        db.store.conclude_items(&both, items.iter().map(conclusion).collect()).await.unwrap();
        assert_eq!(db.one("select attribution || ' ' || (select cast(count(*) as text) from work_items) from conversions").await, "no_click 0");
        db.assert_totals_are_a_recount().await;
    }

    what_an_overtaken_event_adds_is_evaluated(db) {
        let processing = Processing::new();
        processing.import("Date,USD,MYR\n2025-11-21,1.5,4.5\n").await;
        db.record("conversion_id=c1&status=Approved&sale_amount_local=9&conversion_currency=MYR&event_id=e1&event_time=2025-11-21+12:00:00").await;
        processing.all(&db.store).await;
        // The payout was not known: the notice came too late for the status alone.
        db.record("conversion_id=c1&status=Pending&payout_local=45&conversion_currency=MYR&event_id=e2").await;
        let of = "select event_id || ' ' || status || ' ' || coalesce(cast(fx_payout as text), '-') from conversions";
        assert_eq!(db.one(of).await, "e1 approved -");
        assert_eq!(db.processed(&processing, of).await, ["e1 approved 15.00"]);
        assert_eq!(db.store.backlog(now()).await.unwrap(), Backlog::default());
    }

    a_finding_that_an_overtaken_event_brings_is_counted_once(db) {
        let processing = Processing::new();
        db.record("conversion_id=c1&status=Approved&rewars=1&consent_version=1&event_id=e1").await;
        processing.all(&db.store).await;
        db.record(&format!("conversion_id=c1&status=Pending&click_id={}&event_id=e2", click(1).click_id)).await;
        let platform = Platform { now, random: Platform::SYSTEM.random };
        let mut found = 0;
        loop {
            let round = process_round(&platform, &processing.shared, &processing.partner, &db.store).await.unwrap();
            found += round.found.get("unknown_click").copied().unwrap_or(0);
            if round.items == 0 {
                break;
            }
        }
        assert_eq!((found, db.column(FINDINGS).await), (1, vec!["c1 [\"unknown_click\"]".to_owned()]));
    }

    what_the_database_finds_of_deposits_is_counted_once(db) {
        let processing = Processing::new();
        db.record(&(deposit("d1", "a1", "20", "2025-11-20+09:00:00") + "&is_ftd=false&consent_version=1")).await;
        db.record(&(deposit("d2", "a2", "20", "2025-11-20+09:00:00") + "&consent_version=1")).await;
        let platform = Platform { now, random: Platform::SYSTEM.random };
        let mut found = BTreeMap::new();
        for query in ["", "conversion_id=d2&event=chargeback&account_id=a2&consent_version=1", "conversion_id=d1&status=Approved&event_id=e2"] {
            if !query.is_empty() {
                db.record(query).await;
            }
            loop {
                let round = process_round(&platform, &processing.shared, &processing.partner, &db.store).await.unwrap();
                round.found.into_iter().for_each(|(code, count)| *found.entry(code).or_default() += count);
                if round.items == 0 {
                    break;
                }
            }
        }
        let counts: Vec<_> = found.iter().map(|(code, count): (&&str, &u64)| format!("{code} {count}")).collect();
        assert_eq!(counts, ["amount_of_original 1", "first_deposit_reversed 1", "ftd_differs 1"]);
    }

    findings_stand_in_one_order_whatever_was_found_first(db) {
        let processing = Processing::new();
        let read = async || db.column("select cast(findings as text) from conversions where event = 'refund'").await.concat().replace(' ', "");
        for query in [
            "conversion_id=c1&event=purchase&event_id=p1&payout_currency=EUR&conversion_currency=EUR&usd_sale_amount=100&rewars=10&consent_version=1",
            "conversion_id=c1&event=refund&event_id=r1&usd_sale_amount=120&consent_version=1",
            "conversion_id=c1&event=purchase&event_id=p2&usd_sale_amount=50&rewars=6&consent_version=1",
        ] {
            db.record(query).await;
            processing.all(&db.store).await;
            assert_eq!(db.differences(&processing).await, [""; 0]);
        }
        assert_eq!(read().await, "[\"in_proportion\",\"refund_exceeds_sale\"]");
    }

    what_other_rules_would_change_is_told_before_it_is_changed(db) {
        let processing = Processing::new();
        for (id, account, amount, hour) in [("d1", "a1", "5", 9), ("d2", "a1", "20", 10), ("d3", "a2", "7", 9)] {
            db.record(&(deposit(id, account, amount, &format!("2025-11-20+{hour:02}:00:00")) + "&consent_version=1")).await;
        }
        db.record("conversion_id=e1&payout_local=100&conversion_currency=EUR&event_time=2025-11-20+12:00:00&consent_version=1").await;
        assert_eq!(db.processed(&processing, DEPOSITS).await, ["d1 too_small", "d2 first", "d3 too_small", "e1 -"]);
        processing.import("Date,USD\n2025-11-20,1.5\n").await;
        let rules = FirstDeposit { minimum: Amount::parse("6").unwrap(), ..processing.partner.first_deposit.clone().unwrap() };
        let other = Processing { partner: Partner { first_deposit: Some(rules), ..processing.partner.clone() }, ..processing };
        let compared = async |apply: bool| {
            let differs = async |changed| match apply {
                true => again::put_back(&db.store, changed, now()).await,
                false => Ok(()),
            };
            again::compare(&other.shared, &other.partner, &db.store, now(), |_| {}, differs).await.unwrap()
        };
        let told = compared(false).await;
        let changes: Vec<_> = told.changes.iter().map(|(what, count)| format!("{what} {count}")).collect();
        assert_eq!((told.conversions, told.changed, told.new), (4, 2, 0));
        assert_eq!(changes, ["amounts 1", "deposit 1", "findings 1"]);
        assert_eq!((told.first_deposits.before, told.first_deposits.after), (1, 2));
        assert_eq!((told.payout.before.to_string(), told.payout.after.to_string()), ("0.000000".to_owned(), "150.000000".to_owned()));
        assert_eq!(db.column(DEPOSITS).await, ["d1 too_small", "d2 first", "d3 too_small", "e1 -"], "nothing was changed");
        assert_eq!(compared(true).await, told);
        assert_eq!(db.processed(&other, DEPOSITS).await, ["d1 too_small", "d2 first", "d3 first", "e1 -"]);
        assert_eq!(db.one("select cast(fx_payout as text) from conversions where conversion_key = 'e1'").await, "150.00");
        assert_eq!(compared(false).await.changed, 0, "it is as it was told");
    }

    an_item_that_fails_is_put_off_and_holds_up_no_other(db) {
        let processing = Processing::new();
        db.record("conversion_id=good&consent_version=1").await;
        db.record("conversion_id=bad&consent_version=1").await;
        let items = db.store.take_items(&lease(0)).await.unwrap();
        let facts = db.store.facts_of(&items).await.unwrap();
        // A judgement that the database refuses, beside one that it takes.
        let conclusions: Vec<_> = items.iter().map(|item| {
            let facts = facts[&item.event_id].clone();
            let attribution = if facts.conversion.conversion_id == "bad" { "nonsense" } else { "no_click" };
            let judged = Some((facts, Judged { attribution, ..Judged::default() }));
            Conclusion { item: item.clone(), judged, next: Next::Done, others: Vec::new() }
        }).collect();
        db.store.conclude_items(&lease(0), conclusions).await.unwrap();
        assert_eq!(db.store.backlog(now()).await.unwrap().waiting, 2, "the lease was another's");
        assert_eq!(db.processed(&processing, FINDINGS).await, ["bad []", "good []"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_s_deposits_that_are_judged_at_once_have_one_first() {
    for kind in ["postgres", "sqlite", "d1"] {
        let db = crate::fresh(kind).await;
        let processing = Processing::new();
        let records: Vec<Record> = (0..60)
            .map(|n| record(&deposit(&format!("d{n:02}"), "a1", "20", &format!("2025-11-20+10:{n:02}:00"))))
            .collect();
        for record in records.into_iter().rev() {
            db.store.record(record).await.unwrap();
        }
        let platform = Platform { now, random: Platform::SYSTEM.random };
        let worker =
            async || while process(&platform, &processing.shared, &processing.partner, &db.store).await.unwrap() > 0 {};
        tokio::join!(worker(), worker(), worker());
        processing.all(&db.store).await;
        let firsts = db.column("select conversion_key from conversions where deposit = 'first'").await;
        assert_eq!(firsts, ["d00"], "{kind}");
        db.assert_totals_are_a_recount().await;
    }
}
