//! Conversions by the page.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Statement, Step, read_json};
use super::super::totals::{happened_at, in_reporting_currency};
use super::super::worklist::{amount, time};
use super::{flag, optional_flag, optional_time};
use postback::money::Amount;
use postback::time::Timestamp;
use serde::Deserialize;

/// Which conversions are meant: all that what is given lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// They happened at this instant or later.
    pub from: Option<Timestamp>,
    /// They happened before this instant.
    pub to: Option<Timestamp>,
    /// The event's canonical name.
    pub event: Option<String>,
    /// The status' canonical name.
    pub status: Option<String>,
    /// The click that they name.
    pub click_id: Option<String>,
    /// The sender's id of them.
    pub conversion_id: Option<String>,
    /// Whose they are.
    pub account_id: Option<String>,
}

/// The place of a conversion in the order of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// When it happened.
    pub happened_at: Timestamp,
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
}

/// Conversions that are answered at once where they are asked for by their ids.
pub(super) const NAMED_MAX: usize = 5_000;

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What is on it.
    pub filter: Filter,
    /// Behind which conversion it begins; None: with the latest.
    pub after: Option<Position>,
    /// How many are on it at most.
    pub limit: u32,
}

/// A conversion as it stands. Amounts and instants are null where nobody said them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Conversion {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
    /// The sender's id of it.
    pub conversion_id: String,
    /// How often it was revised.
    pub revision: i64,
    /// The last event that made it what it is.
    pub event_id: String,
    /// What happened.
    pub event: String,
    /// Where it stands.
    pub status: Option<String>,
    /// When it happened: as it says itself, or else when its event did, or else when it was received.
    #[serde(deserialize_with = "time")]
    pub happened_at: Timestamp,
    /// When its first postback was received.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
    /// When it last changed.
    #[serde(deserialize_with = "time")]
    pub updated_at: Timestamp,
    /// Whether it is marked as a possible duplicate.
    #[serde(deserialize_with = "flag")]
    pub is_duplicate: bool,
    /// Whether it was judged since its last change.
    #[serde(deserialize_with = "flag")]
    pub is_processed: bool,
    /// Why it could not be.
    pub processing_error: Option<String>,
    /// Whose it is and where it came from.
    pub origin: Origin,
    /// What was paid.
    pub money: Money,
    /// What it was judged to be.
    pub judged: Judged,
}

/// Whose a conversion is and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Origin {
    pub click_id: Option<String>,
    pub media_id: Option<String>,
    pub sub_id: Option<String>,
    pub offer_id: Option<String>,
    pub offer_name: Option<String>,
    pub order_id: Option<String>,
    pub account_id: Option<String>,
    pub campaign: Option<String>,
    pub geo: Option<String>,
    pub device: Option<String>,
    pub payment_method: Option<String>,
    #[serde(deserialize_with = "optional_flag")]
    pub is_ftd: Option<bool>,
    /// When its last postback was received, in Unix milliseconds.
    pub last_received_ms: i64,
}

/// What was paid for a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Money {
    #[serde(deserialize_with = "amount")]
    pub sale_amount: Option<Amount>,
    #[serde(deserialize_with = "amount")]
    pub payout: Option<Amount>,
    /// Of the sale.
    pub currency: Option<String>,
    /// Of the payout.
    pub payout_currency: Option<String>,
    /// Of a refund or chargeback that was evaluated: what it counts for.
    #[serde(deserialize_with = "amount")]
    pub counted_sale_amount: Option<Amount>,
    /// The same of its payout.
    #[serde(deserialize_with = "amount")]
    pub counted_payout: Option<Amount>,
    /// In which currency its sale amount counts.
    pub counted_currency: Option<String>,
    /// In which currency its payout counts.
    pub counted_payout_currency: Option<String>,
    #[serde(deserialize_with = "amount")]
    pub usd_sale_amount: Option<Amount>,
    #[serde(deserialize_with = "amount")]
    pub usd_payout: Option<Amount>,
    /// In the reporting currency, whoever reckoned it.
    #[serde(flatten)]
    pub reporting: Reporting,
}

/// What was paid, in the reporting currency.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reporting {
    /// What the customer paid.
    #[serde(deserialize_with = "amount")]
    pub reporting_sale_amount: Option<Amount>,
    /// What we are paid.
    #[serde(deserialize_with = "amount")]
    pub reporting_payout: Option<Amount>,
    /// By which rate, where it was converted.
    pub fx_rate: Option<String>,
    /// Of which day.
    pub fx_rate_date: Option<String>,
}

/// What a conversion was judged to be: docs/processing.md.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Judged {
    /// When.
    #[serde(deserialize_with = "optional_time")]
    pub processed_at: Option<Timestamp>,
    /// How it is joined to a click.
    pub attribution: Option<String>,
    /// What it counts as, where it is a deposit.
    pub deposit: Option<String>,
    /// The key of what it goes back of ...
    pub refund_of: Option<String>,
    /// ... and which under that.
    pub refund_of_occurrence: Option<i64>,
    /// The consent that holds.
    pub consent: Option<String>,
    /// Codes of what is odd, a list in JSON.
    pub findings: String,
}

/// The statement for a page: only what the filter has stands in it, so that each text has one plan.
pub(super) fn select(dialect: Dialect, page: &Page) -> Statement {
    let filter = &page.filter;
    let equal = |name: &str, is_given: bool| is_given.then(|| format!("known.{name} = (select {name} from input)"));
    // A return has its sale's where it names none. It is found by keys, so that each part has an index.
    let inherited = |name: &str, is_given: bool| {
        is_given.then(|| {
            let asked = format!("(select {name} from input)");
            format!(
                "known.conversion_key in (
                    select own.conversion_key from conversions as own where own.{name} = {asked}
                    union select back.conversion_key from conversions as own
                        join conversions as back on back.refund_of = own.conversion_key where own.{name} = {asked})
                 and coalesce(known.{name}, sale.{name}) = {asked}"
            )
        })
    };
    let at = happened_at("known");
    let conditions = [
        filter.from.map(|_| format!("{at} >= (select from_at from input)")),
        filter.to.map(|_| format!("{at} < (select to_at from input)")),
        equal("event", filter.event.is_some()),
        equal("status", filter.status.is_some()),
        inherited("click_id", filter.click_id.is_some()),
        equal("conversion_id", filter.conversion_id.is_some()),
        inherited("account_id", filter.account_id.is_some()),
        page.after.as_ref().map(|_| {
            format!(
                "({at}, known.conversion_key, known.occurrence) < ((select after_at from input),
                    (select after_key from input), (select after_occurrence from input))"
            )
        }),
    ];
    let conditions: Vec<_> = conditions.into_iter().flatten().collect();
    let conditions = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") };
    let statement = format!(
        "select known.conversion_key as id, {} as answer from conversions as known {} where {conditions}
         order by {at} desc, known.conversion_key desc, known.occurrence desc limit {}",
        object(dialect),
        join_sale(dialect),
        page.limit,
    );
    Step::new(dialect, COLUMNS, &statement).answering().over(std::slice::from_ref(page))
}

const COLUMNS: &[Column<Page>] = &[
    Column::time("from_at", |page| page.filter.from),
    Column::time("to_at", |page| page.filter.to),
    Column::text("event", |page| page.filter.event.clone()),
    Column::text("status", |page| page.filter.status.clone()),
    Column::text("click_id", |page| page.filter.click_id.clone()),
    Column::text("conversion_id", |page| page.filter.conversion_id.clone()),
    Column::text("account_id", |page| page.filter.account_id.clone()),
    Column::time("after_at", |page| page.after.as_ref().map(|after| after.happened_at)),
    Column::text("after_key", |page| page.after.as_ref().map(|after| after.conversion_key.clone())),
    Column::number("after_occurrence", |page| page.after.as_ref().map_or(0, |after| after.occurrence)),
];

/// The statement for conversions of these ids, whatever they are.
pub(super) fn named(dialect: Dialect) -> Step<String> {
    const IDS: &[Column<String>] = &[Column::text("conversion_id", |id| Some(id.clone()))];
    Step::new(
        dialect,
        IDS,
        &format!(
            "select known.conversion_key as id, {} as answer
             from input join conversions as known on known.conversion_id = input.conversion_id {}
             order by known.conversion_id, known.conversion_key, known.occurrence limit {NAMED_MAX}",
            object(dialect),
            join_sale(dialect),
        ),
    )
    .answering()
}

/// A return's sale, or nothing.
pub(super) fn join_sale(dialect: Dialect) -> String {
    dialect.left_join_by_key(
        "conversions",
        "sale",
        "sale.conversion_key = known.refund_of and sale.occurrence = known.refund_of_occurrence",
    )
}

/// A conversion in JSON: a return has its sale's click, account and dimensions where it states none. D1 takes sixteen members in an object, so there are several.
pub(super) fn object(dialect: Dialect) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let time = |name: &'static str| (name, dialect.time_text(&format!("known.{name}")));
    let text = |name: &'static str| (name, format!("cast(known.{name} as text)"));
    let amount = |name: &'static str| (name, dialect.micros(&format!("known.{}", dialect.amount(name))));
    let reporting = |name: &'static str, of: &str| (name, dialect.micros(&in_reporting_currency(dialect, "known", of)));
    let inherited = |name: &'static str| (name, format!("coalesce(known.{name}, sale.{name})"));
    // A statement in dollars alone keeps the currency of the amount that it had before.
    let currency_of = |name: &'static str, of: &str| {
        (name, format!("case when known.{} is not null then known.{name} end", dialect.amount(of)))
    };
    let origin = [
        inherited("click_id"),
        inherited("media_id"),
        inherited("sub_id"),
        inherited("offer_id"),
        inherited("offer_name"),
        inherited("order_id"),
        inherited("account_id"),
        inherited("campaign"),
        inherited("geo"),
        inherited("device"),
        column("payment_method"),
        column("is_ftd"),
        column("last_received_ms"),
    ];
    let money = [
        amount("sale_amount"),
        amount("payout"),
        currency_of("currency", "sale_amount"),
        currency_of("payout_currency", "payout"),
        amount("counted_sale_amount"),
        amount("counted_payout"),
        column("counted_currency"),
        column("counted_payout_currency"),
        amount("usd_sale_amount"),
        amount("usd_payout"),
        reporting("reporting_sale_amount", "sale_amount"),
        reporting("reporting_payout", "payout"),
        text("fx_rate"),
        text("fx_rate_date"),
    ];
    let judged = [
        time("processed_at"),
        column("attribution"),
        column("deposit"),
        column("refund_of"),
        column("refund_of_occurrence"),
        column("consent"),
        text("findings"),
    ];
    dialect.json_object(&[
        column("conversion_key"),
        column("occurrence"),
        column("conversion_id"),
        column("revision"),
        column("event_id"),
        column("event"),
        column("status"),
        ("happened_at", dialect.time_text(&happened_at("known"))),
        time("received_at"),
        time("updated_at"),
        column("is_duplicate"),
        column("is_processed"),
        column("processing_error"),
        ("origin", dialect.json_members(&origin)),
        ("money", dialect.json_members(&money)),
        ("judged", dialect.json_members(&judged)),
    ])
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<Conversion>, StoreError> {
    let conversion = |(_, answer): (String, String)| read_json("a conversion", &answer);
    done.into_iter().flat_map(|done| done.answers).map(conversion).collect()
}
