//! A conversion's state is a function of the set of its receipts: random histories, each stored in random orders and groupings, come to
//! what a model in memory comes to.
//!
//! `HISTORIES=10 ORDERS=10` asks for ten times as many histories, each in ten times as many orders: the long run.

use crate::model::evaluation::{self, Evaluated, Rates, Rules, Side};
use crate::model::{self, Conversion, Event, Money};
use crate::processing::{Processing, now};
use crate::{Fresh, at, fresh_with, nonce, record};
use bytec_origin::store::reader::{Span, Total};
use bytec_origin::store::rebuild::{Growth, Rebuilt};
use bytec_origin::store::{Database, Receipt, Record};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat, RefundRepeat};
use postback::money::Amount;
use postback::partner::{FirstDeposit, OnExceeding, OnReversed, OtherAmount, Partner, RefundRules};
use postback::time::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::collections::{BTreeMap, BTreeSet};

/// One receipt of a history: what is sent, when it is received, and by which request.
#[derive(Clone, Debug)]
pub struct Sent {
    pub query: String,
    pub at_ms: i64,
    pub request: String,
}

/// The tables that a history fills.
pub const TABLES: [&str; 15] = [
    "totals",
    "totals_by_hour",
    "totals_by_day",
    "links",
    "work_items",
    "revisions",
    "conversions",
    "postbacks",
    "nonces",
    "repeats",
    "rebuilds",
    "events",
    "rejections",
    "reread_requests",
    "rereads",
];

/// What is sent, but for its ids: those of the sender's, and that of the sale that it goes back of.
#[derive(Clone, Debug)]
struct Draft {
    query: String,
    has_own_id: bool,
    names: Option<prop::sample::Index>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let statuses = proptest::sample::select(vec!["", "", "", "Pending", "Approved", "Rejected", "Paid"]);
    let events = proptest::sample::select(vec!["", "purchase", "deposit", "deposit", "refund", "refund", "chargeback"]);
    let money = proptest::sample::select(vec![
        "",
        "",
        "",
        "&rewars=10",
        "&rewars=12",
        "&rewars=2",
        "&payout_local=42&conversion_currency=MYR&rewars=10",
        "&payout_local=84",
        "&payout_local=42&conversion_currency=MYR",
        "&sale_amount_local=7&conversion_currency=EUR",
        "&sale_amount_local=7.5&usd_sale_amount=9",
        "&usd_sale_amount=9",
        "&usd_sale_amount=100&rewars=10",
        "&usd_sale_amount=33.333333&rewars=0.1",
        "&sale_amount_local=470&payout_local=84&conversion_currency=MYR",
        "&sale_amount_local=100&payout_local=10&conversion_currency=MYR",
        "&payout_local=42&conversion_currency=MYR&rewars=0",
        "&sale_amount_local=50&conversion_currency=MYR",
        "&sale_amount_local=50&conversion_currency=MYR&usd_sale_amount=20",
        "&sale_amount_local=20&conversion_currency=USD",
        "&sale_amount_local=0&conversion_currency=USD",
        "&sale_amount_local=5000&conversion_currency=JPY",
        "&sale_amount_local=20&conversion_currency=MYR&usd_sale_amount=15",
        "&sale_amount_local=50&conversion_currency=MYR&usd_sale_amount=0",
        "&sale_amount_local=0&conversion_currency=MYR",
    ]);
    let texts = proptest::sample::select(vec![
        "",
        "&account_id=u1",
        "&account_id=u1&is_ftd=1",
        "&account_id=u1&is_ftd=0",
        "&account_id=u1&payment_method=Bonus",
        "&account_id=u2&sub_id=s1",
        "&sub_id=s2",
    ]);
    let clicks = proptest::sample::select(vec!["", "&click_id=k0", "&click_id=k1"]);
    let times = proptest::sample::select(vec![
        "",
        "&datetime_conversion=2025-11-20+12:13",
        "&datetime_conversion=2025-11-19+01:00",
        "&datetime_conversion=2025-11-20+01:00",
        "&event_time=2025-11-10+01:00",
    ]);
    let names = proptest::option::weighted(0.2, any::<prop::sample::Index>());
    (0..2_u8, events, statuses, money, texts, clicks, times, (0..3_u8, names)).prop_map(
        |(conversion, event, status, money, texts, click, time, (id, names))| {
            let takes_back = ["refund", "chargeback"].contains(&event);
            let event = if event.is_empty() { String::new() } else { format!("&event={event}") };
            let status = if status.is_empty() { String::new() } else { format!("&status={status}") };
            let query = format!("conversion_id=c{conversion}{event}{status}{money}{texts}{click}{time}");
            Draft { query, has_own_id: id == 0, names: names.filter(|_| takes_back) }
        },
    )
}

impl Draft {
    /// With its ids. An event id of the sender's stands for one content alone: a contradiction is not about order.
    fn with_ids(&self, all: &[Draft]) -> String {
        let own = |query: &str| format!("own{:x}", digest(query));
        // One that itself names another has another id than this: no event has the one that is named then.
        let named = self.names.map(|names| names.get(all));
        let original = named.map(|named| format!("&original_event_id={}", own(&named.query)));
        let query = format!("{}{}", self.query, original.unwrap_or_default());
        let is_named = all.iter().filter_map(|draft| draft.names).any(|names| names.get(all).query == self.query);
        if self.has_own_id || is_named { format!("{query}&event_id={}", own(&query)) } else { query }
    }
}

fn digest(text: &str) -> u64 {
    text.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// A history: queries, some of them sent again, at times that may be the same.
pub fn history() -> impl Strategy<Value = Vec<Sent>> {
    let again = proptest::collection::vec((any::<prop::sample::Index>(), 0..400_000_i64), 0..8);
    (proptest::collection::vec((draft(), 0..400_000_i64), 1..12), again).prop_map(|(drafts, again)| {
        let (drafts, times): (Vec<_>, Vec<_>) = drafts.into_iter().unzip();
        let queries: Vec<_> = drafts.iter().map(|draft| draft.with_ids(&drafts)).collect();
        let repeats: Vec<_> = again.into_iter().map(|(index, at_ms)| (index.get(&queries).clone(), at_ms)).collect();
        let all = queries.into_iter().zip(times).chain(repeats).enumerate();
        // Names in no order of time, and times that meet.
        all.map(|(number, (query, at_ms))| Sent {
            query,
            at_ms: at_ms / 10_000 * 10_000,
            request: format!("{:02x}-{number}", digest(&number.to_string()) % 251),
        })
        .collect()
    })
}

pub fn received(sent: &Sent) -> Record {
    let record = record(&sent.query);
    let received_at = Timestamp::from_unix_ms(at("2025-11-20T23:58:00Z").unix_ms() + sent.at_ms).unwrap();
    Record {
        receipt: Receipt { received_at, request_id: sent.request.clone(), ..record.receipt.clone() },
        now: at("2025-11-21T08:00:00Z"),
        ..record
    }
}

fn say(money: &Money) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let dropped = if money.dropped { " dropped" } else { "" };
    format!("{} {} {}{dropped}", text(&money.local), text(&money.currency), text(&money.dollars))
}

fn model_rows(conversions: &BTreeMap<String, Vec<Conversion>>) -> Vec<String> {
    let mut rows = Vec::new();
    for (key, occurrences) in conversions {
        for (occurrence, conversion) in (1..).zip(occurrences) {
            let text = |name: &str| conversion.says.get(name).cloned().unwrap_or_else(|| "-".to_owned());
            rows.push(format!(
                "{key} {occurrence} {} {} {} {} {} {} {} {} {} | {} | {} | {}{}",
                conversion.history.len(),
                conversion.last_event,
                text("event"),
                text("status"),
                text("conversion_id"),
                text("account_id"),
                text("sub_id"),
                text("click_id"),
                text("conversion_datetime").replace("T", " ").replace("Z", ""),
                say(&conversion.sale),
                say(&conversion.payout),
                if conversion.duplicate { "d" } else { "" },
                if conversion.returned { "r" } else { "" },
            ));
            for (number, (event, status, sale, payout)) in (1..).zip(&conversion.history) {
                let status = status.clone().unwrap_or_else(|| "-".to_owned());
                let plain = |money: &Money| say(&Money { dropped: false, ..money.clone() });
                rows.push(format!(
                    "{key} {occurrence} #{number} {event} {status} | {} | {}",
                    plain(sale),
                    plain(payout)
                ));
            }
        }
    }
    rows.sort();
    rows
}

impl Fresh {
    /// As [`evaluated_rows`] has them.
    pub async fn evaluated(&self) -> Vec<String> {
        let rows = self.column(COUNTED).await.into_iter().map(|row| {
            let (row, findings) = row.split_once('[').unwrap();
            let findings: BTreeSet<String> = serde_json::from_str(&format!("[{findings}")).unwrap();
            format!("{row}{findings:?}")
        });
        rows.collect()
    }

    /// What statistics say of everything, as [`evaluation::totals`] has it.
    pub async fn statistics(&self) -> BTreeMap<&'static str, i128> {
        let span = Span { number: 0, start: at("2025-11-01T00:00:00Z"), end: at("2025-12-01T00:00:00Z") };
        let Total { counts, money, .. } = self.store.totals_of(span, &[span]).await.unwrap().parts.remove(0);
        let micros = |amount: Decimal| (amount * Decimal::from(1_000_000)).to_i128().unwrap();
        [
            ("conversions", counts.conversions.into()),
            ("sales", counts.sales.into()),
            ("registrations", counts.registrations.into()),
            ("deposits", counts.deposits.into()),
            ("refunds", counts.refunds.into()),
            ("chargebacks", counts.chargebacks.into()),
            ("rejected", counts.rejected.into()),
            ("duplicates", counts.duplicates.into()),
            ("first deposits", counts.first_deposits.into()),
            ("waiting", counts.waiting_for_rates.into()),
            ("gross sale", micros(money.gross_sale_amount().unwrap())),
            ("returned sale", micros(money.returned_sale_amount)),
            ("pending sale", micros(money.pending_sale_amount)),
            ("net sale", micros(money.reporting_sale_amount)),
            ("gross payout", micros(money.gross_payout().unwrap())),
            ("returned payout", micros(money.returned_payout)),
            ("pending payout", micros(money.pending_payout)),
            ("net payout", micros(money.reporting_payout)),
        ]
        .into()
    }

    /// As [`model_rows`] has them.
    pub async fn folded(&self) -> Vec<String> {
        let time = match self.store.database() {
            Database::Postgres(_) => "to_char(conversion_datetime at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')",
            Database::Sqlite(_) | Database::D1(_) => "replace(substr(conversion_datetime, 1, 19), 'T', ' ')",
        };
        let or_none = |column: &str| format!("coalesce(cast({column} as text), '-')");
        let join =
            |columns: &[&str]| columns.iter().map(|column| or_none(column)).collect::<Vec<_>>().join(" || ' ' || ");
        let conversions = format!(
            "select {} || ' | ' || {} || case when is_sale_amount_dropped then ' dropped' else '' end || ' | ' || {} ||
                case when is_payout_dropped then ' dropped' else '' end || ' | ' ||
                case when is_duplicate then 'd' else '' end || case when is_returned then 'r' else '' end from conversions",
            join(&[
                "conversion_key",
                "occurrence",
                "revision",
                "event_id",
                "event",
                "status",
                "conversion_id",
                "account_id",
                "sub_id",
                "click_id",
                time
            ]),
            join(&["sale_amount", "currency", "usd_sale_amount"]),
            join(&["payout", "payout_currency", "usd_payout"]),
        );
        let revisions = format!(
            "select {} || ' #' || cast(revision as text) || ' ' || {} || ' | ' || {} || ' | ' || {} from revisions",
            join(&["conversion_key", "occurrence"]),
            join(&["event_id", "status"]),
            join(&["sale_amount", "currency", "usd_sale_amount"]),
            join(&["payout", "payout_currency", "usd_payout"]),
        );
        let mut rows = self.column(conversions.leak()).await;
        rows.extend(self.column(revisions.leak()).await);
        rows.sort();
        rows
    }

    pub async fn clear(&self) {
        for table in TABLES {
            self.execute(&format!("delete from {table}")).await;
        }
    }

    /// Rebuilds what is due, until nothing is.
    pub async fn rebuilt(&self) -> usize {
        let mut written = 0;
        loop {
            let due = self.store.due_rebuilds(now()).await.unwrap();
            if due.is_empty() {
                return written;
            }
            for due in due {
                let outcome = self.store.rebuild(&due.conversion_key, Growth::Refused, now()).await.unwrap();
                assert!(matches!(outcome, Rebuilt::Written { .. }), "{outcome:?}");
                written += 1;
            }
        }
    }

    /// Stores receipts in an order of the dice, in groups of the dice, some of them twice; rebuilds and evaluates now and then.
    pub async fn store_anyhow(&self, history: &[Sent], processing: &Processing, dice: &mut StdRng) {
        let mut rest: Vec<_> = history.iter().collect();
        rest.shuffle(dice);
        while !rest.is_empty() {
            let size = dice.random_range(1..=rest.len().min(6));
            let group: Vec<_> =
                rest.drain(..size).flat_map(|sent| vec![sent; if dice.random_bool(0.2) { 2 } else { 1 }]).collect();
            let stored =
                group.into_iter().map(|sent| self.store.record(Record { receipt_id: nonce(), ..received(sent) }));
            for outcome in futures_util::future::join_all(stored).await {
                outcome.unwrap();
            }
            match dice.random_range(0..6) {
                0 => drop(self.rebuilt().await),
                1 => processing.all(&self.store).await,
                _ => {}
            }
        }
        self.rebuilt().await;
    }
}

/// Links, and by which event.
pub const LINKS: &str = "select click_id || ' ' || kind || ' ' || linked_id || ' ' || event_id from links order by click_id, kind, linked_id";

/// The same of the model: of those that name the same, the first received.
fn model_links(events: &BTreeMap<String, Event>, receipts: &[model::Receipt]) -> Vec<String> {
    let mut receipts = receipts.to_vec();
    receipts.sort();
    let mut links = BTreeMap::new();
    for receipt in receipts {
        let says = &events[&receipt.event].says;
        if let (Some(click), Some(account)) = (says.get("click_id"), says.get("account_id")) {
            links.entry(format!("{click} account {account}")).or_insert(receipt.event);
        }
    }
    links.into_iter().map(|(link, event)| format!("{link} {event}")).collect()
}

/// The model's events and receipts of a history.
fn modelled(policy: &DuplicatePolicy, history: &[Sent]) -> (BTreeMap<String, Event>, Vec<model::Receipt>) {
    let (mut events, mut receipts) = (BTreeMap::new(), Vec::new());
    for sent in history {
        let record = received(sent);
        let postback = &record.reading.postback;
        let id = postback.event_id().to_string();
        let says = postback.fields().map(|(field, text)| (field.name().to_owned(), text)).collect();
        let event =
            Event { id: id.clone(), key: policy.conversion_key(postback), named: record.reading.names_event, says };
        let at_ms = record.receipt.received_at.unix_ms();
        receipts.push(model::Receipt { at_ms, request: sent.request.clone(), event: id.clone() });
        events.entry(id).or_insert(event);
    }
    (events, receipts)
}

/// How many times as many are asked for, of histories or of orders.
pub fn times(variable: &str) -> u32 {
    std::env::var(variable).map_or(1, |times| times.parse().expect("a number"))
}

pub fn policies() -> [DuplicatePolicy; 7] {
    let retry_window_s = 0;
    let of =
        |key, window_s, repeat| DuplicatePolicy { key, window_s, repeat, retry_window_s, ..DuplicatePolicy::default() };
    [
        of(DuplicateKey::ConversionId, None, OnRepeat::Revise),
        DuplicatePolicy { retry_window_s: 60, ..of(DuplicateKey::ConversionIdAndEvent, Some(60), OnRepeat::Revise) },
        of(DuplicateKey::ClickIdAndEvent, Some(60), OnRepeat::Flag),
        of(DuplicateKey::ConversionId, Some(60), OnRepeat::Ignore),
        of(DuplicateKey::EventId, None, OnRepeat::Revise),
        DuplicatePolicy { refund_repeat: RefundRepeat::Add, ..of(DuplicateKey::ConversionId, None, OnRepeat::Revise) },
        DuplicatePolicy { retry_window_s: 90, ..of(DuplicateKey::ConversionId, None, OnRepeat::Revise) },
    ]
}

/// What conversions count for, and what is odd about them, as [`evaluated_rows`] has them.
const COUNTED: &str =
    "select conversion_key || ' ' || cast(occurrence as text) || ' ' || coalesce(attribution, '-') || ' ' ||
    coalesce(deposit, '-') || ' ' || coalesce(deposit_account, '-') || ' of ' ||
    coalesce(refund_of || ' ' || cast(refund_of_occurrence as text), '-') || ' | ' ||
    case when event in ('refund', 'chargeback') then
        coalesce(cast(counted_sale_amount as text), '-') || ' ' || coalesce(counted_currency, '-') || ' ' ||
        coalesce(cast(counted_usd_sale_amount as text), '-') || ' | ' || coalesce(cast(counted_payout as text), '-') || ' ' ||
        coalesce(counted_payout_currency, '-') || ' ' || coalesce(cast(counted_usd_payout as text), '-')
    else
        coalesce(cast(sale_amount as text), '-') || ' ' || coalesce(currency, '-') || ' ' ||
        coalesce(cast(usd_sale_amount as text), cast(fx_sale_amount as text), '-') || ' | ' ||
        coalesce(cast(payout as text), '-') || ' ' || coalesce(payout_currency, '-') || ' ' ||
        coalesce(cast(usd_payout as text), cast(fx_payout as text), '-')
    end || ' | ' || case when is_charged_back then 'charged back ' else '' end || cast(findings as text)
    from conversions order by conversion_key, occurrence";

/// The same of the model.
fn evaluated_rows(all: &[Evaluated<'_>]) -> Vec<String> {
    let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let amount = |micros: Option<i128>| match micros {
        Some(micros) => Amount::from_micros(micros.try_into().unwrap()).unwrap().to_string(),
        None => "-".to_owned(),
    };
    let side =
        |side: &Side| format!("{} {} {}", amount(side.local), or_none(side.currency.as_deref()), amount(side.dollars));
    let rows = all.iter().map(|one| {
        format!(
            "{} {} {} {} {} of {} | {} | {} | {}{:?}",
            one.key,
            one.occurrence,
            one.attribution,
            or_none(one.deposit),
            or_none(one.deposit_account()),
            one.sale.map_or("-".to_owned(), |(key, occurrence)| format!("{key} {occurrence}")),
            side(&one.sides[0]),
            side(&one.sides[1]),
            if one.is_charged_back { "charged back " } else { "" },
            one.findings,
        )
    });
    rows.collect()
}

/// What conversions were evaluated to.
pub const EVALUATED: &str =
    "select conversion_key || ' ' || cast(occurrence as text) || ' ' || coalesce(attribution, '-') || ' ' ||
    coalesce(deposit, '-') || ' ' || coalesce(deposit_account, '-') || ' ' ||
    coalesce(refund_of || ' ' || cast(refund_of_occurrence as text), '-') || ' fx ' ||
    coalesce(cast(fx_sale_amount as text), '-') || ' ' || coalesce(cast(fx_payout as text), '-') || ' ' ||
    coalesce(cast(fx_rate_date as text), '-') || ' counted ' ||
    coalesce(cast(counted_sale_amount as text), '-') || ' ' || coalesce(counted_currency, '-') || ' ' ||
    coalesce(cast(counted_usd_sale_amount as text), '-') || ' ' || coalesce(cast(counted_payout as text), '-') || ' ' ||
    coalesce(counted_payout_currency, '-') || ' ' || coalesce(cast(counted_usd_payout as text), '-') || ' ' ||
    case when is_charged_back then 'charged back ' else '' end || replace(cast(findings as text), ' ', '')
    from conversions order by conversion_key, occurrence";

/// Shows what differs, and not what else there is.
pub fn assert_same(found: &[String], expected: &[String], told: &str) {
    let only = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter().filter(|row| !others.contains(row)).cloned().collect()
    };
    let differ = [only(found, expected), only(expected, found)];
    assert!(found == expected, "{told}\nfound, and expected: {differ:#?}");
}

/// The partner, with a file of these rules.
fn partner_of(rules: &Rules, known: &Partner) -> Partner {
    let exceeding = if rules.caps { OnExceeding::Cap } else { OnExceeding::Flag };
    let other_amount = if rules.is_in_proportion { OtherAmount::InProportion } else { OtherAmount::Stated };
    let reversed = if rules.is_next_first { OnReversed::Next } else { OnReversed::Stays };
    let first_deposit = known.first_deposit.clone().map(|known| FirstDeposit { reversed, ..known });
    let refunds = RefundRules { exceeding, other_amount, ..RefundRules::default() };
    Partner { first_deposit, refunds, ..known.clone() }
}

/// Partners' files in turn: whether excess counts, whether the other amount goes back, and what becomes of a reversed first deposit.
fn rules_of(history: u32) -> Rules {
    let is = |every: u32| history / every % 2 == 1;
    let (caps, is_in_proportion, is_next_first) = (is(1), !is(2), is(4));
    Rules { rates: Rates::new(), minimum: 10_000_000, bonus: "bonus", caps, is_in_proportion, is_next_first }
}

fn every_order_comes_to_what_the_model_says(kind: &str, histories: u32, orders: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let policies = policies();
    let mut processing = Processing::new();
    // The partner's clocks are eight hours ahead: conversions fall on days with rates, and on some that have provisional ones.
    runtime.block_on(processing.import("Date,USD,MYR\n2025-11-18,1.1520,4.7790\n2025-11-20,1.1333,4.9\n"));
    // Of one day a single currency is known.
    runtime.block_on(processing.import("Date,MYR\n2025-11-21,4.95\n"));
    let rates = [
        ("2025-11-18", vec![("USD", 1_152_000), ("MYR", 4_779_000)]),
        ("2025-11-20", vec![("USD", 1_133_300), ("MYR", 4_900_000)]),
        ("2025-11-21", vec![("MYR", 4_950_000)]),
    ];
    let rates = rates.map(|(day, rates)| (day.parse().unwrap(), rates.into_iter().collect()));
    let orders = orders * times("ORDERS");
    let each = (histories * times("HISTORIES")).div_ceil(u32::try_from(policies.len()).unwrap());
    for (number, policy) in (0_u8..).zip(policies) {
        let db = runtime.block_on(fresh_with(kind, policy));
        let mut runner =
            TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[number; 32]));
        for at in 0..each {
            let history = history().new_tree(&mut runner).unwrap().current();
            let (events, receipts) = modelled(&policy, &history);
            let conversions = model::conversions(&policy, &events, &receipts);
            let expected = model_rows(&conversions);
            let rules = Rules { rates: rates.clone().into(), ..rules_of(at + u32::from(number)) };
            processing.partner = partner_of(&rules, &processing.partner);
            let evaluation = evaluation::evaluated(&rules, &events, &conversions);
            let mut evaluated = None;
            for order in 0..orders {
                let mut dice = StdRng::seed_from_u64(u64::from(at) * 1000 + u64::from(order));
                runtime.block_on(async {
                    db.clear().await;
                    db.store_anyhow(&history, &processing, &mut dice).await;
                    let told = format!("{policy:?}, history {at}, order {order}: {history:#?}");
                    let found = db.folded().await;
                    assert_same(&found, &expected, &told);
                    processing.all(&db.store).await;
                    assert_same(&db.evaluated().await, &evaluated_rows(&evaluation), &told);
                    assert_eq!(db.statistics().await, evaluation::totals(&evaluation), "{told}");
                    let found = db.column(EVALUATED).await;
                    assert_eq!(evaluated.get_or_insert_with(|| found.clone()), &found, "{told}");
                    assert_eq!(db.column(LINKS).await, model_links(&events, &receipts), "{told}");
                    assert_eq!(db.totals().await, db.recount().await, "{told}");
                });
            }
        }
        runtime.block_on(db.store.close());
    }
}

#[test]
fn sqlite_comes_to_the_same_in_every_order() {
    every_order_comes_to_what_the_model_says("sqlite", 100, 5);
}

#[test]
fn postgres_comes_to_the_same_in_every_order() {
    every_order_comes_to_what_the_model_says("postgres", 20, 4);
}

#[test]
fn d1_comes_to_the_same_in_every_order() {
    every_order_comes_to_what_the_model_says("d1", 5, 4);
}
