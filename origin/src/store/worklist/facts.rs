//! What a conversion is judged by, read in one statement.

use super::super::StoreError;
use super::super::reader::{flag, optional_flag};
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::totals::happened_at;
use super::take::Item;
use postback::money::Amount;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde::{Deserialize, Deserializer};
use std::collections::HashMap;

/// A conversion as it stands, and what it refers to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Facts {
    /// The conversion.
    #[serde(flatten)]
    pub conversion: Conversion,
    /// What was paid for it.
    pub money: Money,
    /// What else is known that it is evaluated by.
    pub marks: Marks,
    /// The click that it names, where that is known.
    pub click: Option<Click>,
    /// How it was judged before, if it was.
    pub judged: Option<Before>,
}

/// What is known of a conversion but for its amounts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Conversion {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
    /// How often it was revised.
    pub revision: i64,
    /// The sender's id of it.
    pub conversion_id: String,
    /// The event's canonical name.
    pub event: String,
    /// The status' canonical name.
    pub status: Option<String>,
    /// When it happened.
    #[serde(deserialize_with = "time")]
    pub happened_at: Timestamp,
    /// The click that it names.
    pub click_id: Option<String>,
    /// Whose it is.
    pub account_id: Option<String>,
    /// How it was paid.
    pub payment_method: Option<String>,
    /// The consent that it was sent with.
    pub consent_version: Option<String>,
}

/// Which sale a return goes back of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SaleId {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
}

/// A conversion's amounts, as its sender has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Money {
    /// What the customer paid.
    #[serde(deserialize_with = "amount")]
    pub sale_amount: Option<Amount>,
    /// The currency of it.
    pub currency: Option<String>,
    /// What we are paid.
    #[serde(deserialize_with = "amount")]
    pub payout: Option<Amount>,
    /// The currency of that.
    pub payout_currency: Option<String>,
    /// What the customer paid, in US dollars.
    #[serde(deserialize_with = "amount")]
    pub usd_sale_amount: Option<Amount>,
    /// What we are paid, in US dollars.
    #[serde(deserialize_with = "amount")]
    pub usd_payout: Option<Amount>,
}

/// A click as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Click {
    /// When it was made.
    #[serde(deserialize_with = "time")]
    pub clicked_at: Timestamp,
    /// The consent that it was made with.
    pub consent_version: Option<String>,
}

/// What else a conversion is evaluated by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Marks {
    /// Whether its sender calls it the account's first deposit.
    #[serde(deserialize_with = "optional_flag")]
    pub is_ftd: Option<bool>,
    /// Whether it is marked as a possible duplicate.
    #[serde(deserialize_with = "flag")]
    pub is_duplicate: bool,
    /// Whether a known event came again and revised it.
    #[serde(deserialize_with = "flag")]
    pub is_returned: bool,
    /// Whether one form of the sale amount no longer holds.
    #[serde(deserialize_with = "flag")]
    pub is_sale_amount_dropped: bool,
    /// Whether one form of the payout no longer holds.
    #[serde(deserialize_with = "flag")]
    pub is_payout_dropped: bool,
    /// When its first receipt came: of an account's deposits at one time the first received is the first.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
    /// The request of that.
    pub first_request_id: String,
    /// The conversion id of the sale whose event it names as what it goes back of, where that is known.
    pub named_conversion_id: Option<String>,
    /// Whether something goes back of it.
    #[serde(deserialize_with = "flag")]
    pub has_returns: bool,
    /// How many times its deposits' event times name: of those with event ids of the sender's.
    pub deposit_times: i64,
    /// The event that last changed it, by whose item alone it is evaluated.
    pub last_event_id: String,
}

/// How a conversion was judged before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Before {
    /// How it was joined to a click.
    pub attribution: Option<String>,
    /// What was said of a deposit.
    pub deposit: Option<String>,
    /// Whose deposit it was, where it counted.
    pub deposit_account: Option<String>,
    /// What it was found to go back of.
    pub refund_of: Option<SaleId>,
    /// What the customer paid, in the reporting currency, where the sender did not say.
    #[serde(deserialize_with = "amount")]
    pub fx_sale_amount: Option<Amount>,
    /// What we are paid, in the reporting currency, where the sender did not say.
    #[serde(deserialize_with = "amount")]
    pub fx_payout: Option<Amount>,
    /// By which rate.
    pub fx_rate: Option<String>,
    /// Of which day.
    pub fx_rate_date: Option<String>,
    /// The consent that was found to hold.
    pub consent: Option<String>,
    /// What was found to be odd, as a list in JSON.
    pub findings: String,
    /// What it was found to count for, where it is a return.
    pub counted: Counted,
    /// Whether chargebacks were found to have left nothing of it.
    #[serde(deserialize_with = "flag")]
    pub is_charged_back: bool,
}

/// What a refund or chargeback counts for in the balance of its sale: zero or below. Nothing of any other conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counted {
    /// Of what the customer paid.
    #[serde(deserialize_with = "amount")]
    pub sale_amount: Option<Amount>,
    /// The currency of that.
    pub currency: Option<String>,
    /// The same in US dollars.
    #[serde(deserialize_with = "amount")]
    pub usd_sale_amount: Option<Amount>,
    /// Of what we are paid.
    #[serde(deserialize_with = "amount")]
    pub payout: Option<Amount>,
    /// The currency of that.
    pub payout_currency: Option<String>,
    /// The same in US dollars.
    #[serde(deserialize_with = "amount")]
    pub usd_payout: Option<Amount>,
}

pub(in crate::store) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    Timestamp::parse(&text, &Zone::utc()).ok_or_else(|| serde::de::Error::custom("not an instant"))
}

/// An amount travels in micro-units.
pub(in crate::store) fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Amount>, D::Error> {
    Ok(Option::<i64>::deserialize(from)?.and_then(Amount::from_micros))
}

/// Reads what items' conversions are judged by.
pub(super) fn facts(dialect: Dialect) -> Step<Item> {
    const COLUMNS: &[Column<Item>] = &[
        Column::text("event_id", |item| Some(item.event_id.clone())),
        Column::text("conversion_key", |item| Some(item.conversion_key.clone())),
    ];
    // A return to an earlier state is a further revision by the same event, of the same conversion.
    let own = "made.conversion_key = input.conversion_key and made.event_id = input.event_id and not made.is_return";
    let conversion = "known.conversion_key = made.conversion_key and known.occurrence = made.occurrence";
    let from = format!(
        "input {} {}",
        dialect.left_join_by_key("revisions", "made", own),
        dialect.left_join_by_key("conversions", "known", conversion),
    );
    Step::new(dialect, COLUMNS, &select(dialect, "input.event_id", &from, "known.conversion_key is not null", ""))
        .answering()
}

/// Where a page of conversions begins.
#[derive(Clone, Debug, Default)]
pub struct After {
    /// Behind the conversion of this key ...
    pub conversion_key: String,
    /// ... and occurrence.
    pub occurrence: i64,
}

/// Conversions of a page.
pub const PAGE: usize = 500;

/// Reads what conversions are judged by, and how they were judged, a page at a time.
pub(super) fn page(dialect: Dialect) -> Step<After> {
    const COLUMNS: &[Column<After>] = &[
        Column::text("conversion_key", |after| Some(after.conversion_key.clone())),
        Column::number("occurrence", |after| after.occurrence),
    ];
    let from = format!(
        "(select conversions.* from conversions, input
          where (conversions.conversion_key, conversions.occurrence) > (input.conversion_key, input.occurrence)
          order by conversions.conversion_key, conversions.occurrence limit {PAGE}) as known"
    );
    let order = "order by known.conversion_key, known.occurrence";
    Step::new(dialect, COLUMNS, &select(dialect, "known.event_id", &from, "true", order)).answering()
}

/// Selects the facts of the conversions that are `known`. D1 takes sixteen members in an object, so there are several.
fn select(dialect: Dialect, id: &str, from: &str, condition: &str, order: &str) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let amount = |table: &str, name: &str| dialect.micros(&format!("{table}.{}", dialect.amount(name)));
    let text = |name: &'static str| (name, format!("cast(known.{name} as text)"));
    let money = money(dialect, "known");
    // Of a click that is there no longer, the conversion has kept what matters here.
    let is_dropped = "clicks.click_id is null and known.dropped_click_id = known.click_id";
    let of_click =
        |column: &str, kept: &str| format!("case when {is_dropped} then known.{kept} else clicks.{column} end");
    let clicked_at = of_click("clicked_at", "dropped_clicked_at");
    let click = dialect.json_members(&[
        ("clicked_at", dialect.time_text(&format!("({clicked_at})"))),
        ("consent_version", of_click("consent_version", "dropped_click_consent")),
    ]);
    let by_key = dialect.by_key();
    // Money may go back before the sale is known, so what names one of its events is looked for as well. Most senders name none.
    let has_returns = format!(
        "(exists (select 1 from conversions as others where others.conversion_id = known.conversion_id and {RETURNS}{by_key})
          or (exists (select 1 from conversions as others where others.original_event_id is not null{by_key})
              and exists (select 1 from events join conversions as others on others.original_event_id = events.event_id
                          where events.conversion_key = known.conversion_key{by_key}))
          or exists (select 1 from conversions as others where others.refund_of = known.conversion_key{by_key}))"
    );
    // Of the few that name one, it is looked for.
    let named = format!(
        "case when known.original_event_id is not null then
            (select sale.conversion_id from (select known.original_event_id as event_id) as asked {}) end",
        named_sale(dialect, "asked.event_id")
    );
    // An id of ours is `evt_` and 32 hexadecimal digits.
    let deposits = dialect.join_by_key(
        "events",
        "events",
        "events.event_id = made.event_id and events.event = 'deposit'
            and not (length(events.event_id) = 36 and substr(events.event_id, 1, 4) = 'evt_'
                and ltrim(substr(events.event_id, 5), '0123456789abcdef') = '')",
    );
    let deposit_times = format!(
        "case when known.event = 'deposit' and known.revision > 1 then
            (select count(distinct coalesce(events.content ->> 'conversion_datetime', events.content ->> 'ts_event'))
             from revisions as made {deposits}
             where made.conversion_key = known.conversion_key and made.occurrence = known.occurrence) else 0 end"
    );
    let marks = dialect.json_members(&[
        column("is_ftd"),
        column("is_duplicate"),
        column("is_returned"),
        column("is_sale_amount_dropped"),
        column("is_payout_dropped"),
        ("received_at", dialect.time_text("known.received_at")),
        column("first_request_id"),
        ("named_conversion_id", named),
        ("has_returns", has_returns),
        ("deposit_times", deposit_times),
        ("last_event_id", "known.event_id".to_owned()),
    ]);
    let judged = dialect.json_members(&[
        column("attribution"),
        column("deposit"),
        column("deposit_account"),
        ("refund_of", refund_of(dialect, "known")),
        ("fx_sale_amount", amount("known", "fx_sale_amount")),
        ("fx_payout", amount("known", "fx_payout")),
        text("fx_rate"),
        text("fx_rate_date"),
        column("consent"),
        text("findings"),
        ("counted", counted(dialect, "known")),
        column("is_charged_back"),
    ]);
    let answer = dialect.json_object(&[
        column("conversion_key"),
        column("occurrence"),
        column("revision"),
        column("conversion_id"),
        column("event"),
        column("status"),
        ("happened_at", dialect.time_text(&happened_at("known"))),
        column("click_id"),
        column("account_id"),
        column("payment_method"),
        column("consent_version"),
        ("money", money),
        ("marks", marks),
        ("click", dialect.json_or_null(&of_click("click_id", "dropped_click_id"), &click)),
        ("judged", dialect.json_or_null("known.processed_at", &judged)),
    ]);
    format!(
        "select {id} as id, {answer} as answer from {from} {} where {condition} {order}",
        dialect.left_join_by_key("clicks", "clicks", "clicks.click_id = known.click_id"),
    )
}

/// That a conversion that is one of `others` takes money back.
pub(super) const RETURNS: &str = "others.event in ('refund', 'chargeback')";

/// Joins the event of an id as `named`, what it did as `effect`, and the `sale` that it is of. One that was ignored is of the conversion
/// under its key that was the last one when it was first received. An event of what takes money back is no sale's.
pub(super) fn named_sale(dialect: Dialect, event_id: &str) -> String {
    let named = dialect.left_join_by_key("events", "named", &format!("named.event_id = {event_id}"));
    let effect = dialect.left_join_by_key(
        "revisions",
        "effect",
        "effect.conversion_key = named.conversion_key and effect.event_id = named.event_id and not effect.is_return",
    );
    let sale = dialect.left_join_by_key(
        "conversions",
        "sale",
        "sale.conversion_key = named.conversion_key and sale.event not in ('refund', 'chargeback')
            and sale.occurrence = coalesce(effect.occurrence, (
                select max(last.occurrence) from conversions as last where last.conversion_key = named.conversion_key
                    and (last.received_at, last.first_request_id) <= (named.received_at, named.request_id)
                    and not exists (select 1 from repeats where repeats.event_id = named.event_id
                        and (repeats.received_at, repeats.request_id) < (last.received_at, last.first_request_id))))",
    );
    format!("{named} {effect} {sale}")
}

/// A conversion's amounts as its sender has them: [`Money`].
pub(super) fn money(dialect: Dialect, table: &str) -> String {
    let amount = |name: &str| dialect.micros(&format!("{table}.{}", dialect.amount(name)));
    dialect.json_members(&[
        ("sale_amount", amount("sale_amount")),
        ("currency", format!("{table}.currency")),
        ("payout", amount("payout")),
        ("payout_currency", format!("{table}.payout_currency")),
        ("usd_sale_amount", amount("usd_sale_amount")),
        ("usd_payout", amount("usd_payout")),
    ])
}

/// What a conversion was found to go back of: [`SaleId`], or nothing.
pub(super) fn refund_of(dialect: Dialect, table: &str) -> String {
    let sale = dialect.json_members(&[
        ("conversion_key", format!("{table}.refund_of")),
        ("occurrence", format!("{table}.refund_of_occurrence")),
    ]);
    dialect.json_or_null(&format!("{table}.refund_of"), &sale)
}

/// What a return counts for: [`Counted`].
pub(super) fn counted(dialect: Dialect, table: &str) -> String {
    let amount = |name: &str| dialect.micros(&format!("{table}.{}", dialect.amount(name)));
    dialect.json_members(&[
        ("sale_amount", amount("counted_sale_amount")),
        ("currency", format!("{table}.counted_currency")),
        ("usd_sale_amount", amount("counted_usd_sale_amount")),
        ("payout", amount("counted_payout")),
        ("payout_currency", format!("{table}.counted_payout_currency")),
        ("usd_payout", amount("counted_usd_payout")),
    ])
}

/// The facts that a statement answers, by event.
pub(super) fn by_event(done: Vec<Done>) -> Result<HashMap<String, Facts>, StoreError> {
    Ok(read(done)?.into_iter().collect())
}

/// The facts that a statement answers, each with its event, in their order.
pub(super) fn read(done: Vec<Done>) -> Result<Vec<(String, Facts)>, StoreError> {
    let facts = |(event_id, answer): (String, String)| Ok((event_id, read_json("a conversion", &answer)?));
    done.into_iter().flat_map(|done| done.answers).map(facts).collect()
}
