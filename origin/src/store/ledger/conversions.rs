//! What an event makes of its conversion: it begins one, or brings one up to date (R48, R49).

use super::super::statement::{Column, Dialect, Step};
use super::entry::{CONVERSION_ID, CONVERSION_KEY, EVENT_ID, Entry, RECEIPT_ID, RECEIVED_AT};
use super::{event_is_new, of};
use postback::duplicate::{DuplicatePolicy, OnRepeat};
use postback::field::Field;
use postback::status::{Status, Transition};

/// Begins a conversion where there is none under its key yet, or where the last one is another: out of the window, or
/// because repeats are conversions of their own.
pub(super) fn create_conversion(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    let amounts = AMOUNTS.map(|name| dialect.amount(name));
    let amounts = amounts.each_ref().map(String::as_str);
    let names = [
        &["conversion_id", "event", "received_at", "created_at", "currency", "last_received_s"],
        &CARRIED[..],
        &amounts,
    ]
    .concat();
    let out_of_window = out_of_window(policy, "last");
    let is_repeat = format!("last.occurrence is not null and not {out_of_window}");
    let (is_new, is_duplicate) = match policy.repeat {
        OnRepeat::Revise | OnRepeat::Ignore => {
            (format!("(last.occurrence is null or {out_of_window})"), "false".to_owned())
        }
        OnRepeat::Flag => ("true".to_owned(), is_repeat),
    };
    Step::new(
        dialect,
        CONVERSION,
        &format!(
            "insert into conversions (conversion_key, occurrence, revision, is_duplicate, {})
             select input.conversion_key, coalesce(last.occurrence, 0) + 1, 1, {is_duplicate}, {}
             from input {} where {} and {is_new}",
            names.join(", "),
            of("input", &names),
            left_join_last(dialect, "last"),
            event_is_new(dialect),
        ),
    )
}

/// That the last postback about a conversion is longer ago than the window, or longer to come: order is not promised.
pub(super) fn out_of_window(policy: DuplicatePolicy, conversion: &str) -> String {
    match policy.window_s {
        Some(window_s) => format!("(abs(input.last_received_s - {conversion}.last_received_s) > {window_s})"),
        None => "false".to_owned(),
    }
}

/// Brings a conversion up to date by an event that did not begin it. What the notice says replaces, what it does not say
/// stays; a notice that was overtaken only adds what was not known.
pub(super) fn revise_conversion(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    let last_received = "last_received_s = case when input.last_received_s > known.last_received_s
                                                then input.last_received_s else known.last_received_s end";
    let assignments = match policy.repeat {
        OnRepeat::Ignore | OnRepeat::Flag => last_received.to_owned(),
        OnRepeat::Revise => {
            let late = late();
            // A notice that names no event says nothing about which event is known.
            let keeps_event = format!("({late} or not input.names_event)");
            let carried = CARRIED.map(|name| {
                format!(
                    "{name} = case when {late} then coalesce(known.{name}, input.{name})
                              else coalesce(input.{name}, known.{name}) end"
                )
            });
            [
                "revision = known.revision + 1".to_owned(),
                format!("is_processed = case when {late} then known.is_processed else false end"),
                format!("event = case when {keeps_event} then known.event else input.event end"),
                carried.join(", "),
                money(dialect, &late),
                last_received.to_owned(),
            ]
            .join(", ")
        }
    };
    Step::new(
        dialect,
        CONVERSION,
        &format!(
            "update conversions as known set {assignments} from input
             where {}{} and {} and known.event_id <> input.event_id",
            is_last("known"),
            dialect.among(CONVERSION, "known.conversion_key", "conversion_key"),
            event_is_new(dialect),
        ),
    )
}

/// The assignments of a conversion's amounts and their currency, where a notice does not create it.
///
/// A currency without an amount says nothing, and an amount of before is not carried over into another currency. A late
/// notice changes none of them; it brings amount and currency where none was known.
fn money(dialect: Dialect, late: &str) -> String {
    let [sale_amount, payout, usd_sale_amount, usd_payout] = AMOUNTS.map(|name| dialect.amount(name));
    let has_amount = format!("(input.{sale_amount} is not null or input.{payout} is not null)");
    let other_currency = format!("({has_amount} and input.currency <> known.currency)");
    let is_bare = format!("coalesce(known.{sale_amount}, known.{payout}) is null and known.currency is null");
    let local = |name: &str| {
        format!(
            "{name} = case when {late} and not ({is_bare}) then known.{name} when {other_currency} then input.{name}
                      else coalesce(input.{name}, known.{name}) end"
        )
    };
    let dollars = |name: &str| {
        format!(
            "{name} = case when {late} then coalesce(known.{name}, input.{name})
                      else coalesce(input.{name}, known.{name}) end"
        )
    };
    let currency = format!(
        "currency = case when {has_amount} and (not {late} or {is_bare}) then coalesce(input.currency, known.currency)
                         else known.currency end"
    );
    [local(&sale_amount), local(&payout), currency, dollars(&usd_sale_amount), dollars(&usd_payout)].join(", ")
}

/// Where a conversion stands already so that a notice came too late (R48), as a condition on both rows. In the statement
/// itself, because two notices at once must not both believe what they read before.
fn late() -> String {
    let pairs = Status::ALL.into_iter().flat_map(|known| Status::ALL.into_iter().map(move |notice| (known, notice)));
    let late = pairs.filter(|(known, notice)| Status::transition(Some(*known), Some(*notice)) == Transition::Late);
    let late: Vec<_> = late.map(|(known, notice)| format!("('{known}', '{notice}')")).collect();
    // Where either is not known, the comparison is null, and `coalesce` makes it the answer no.
    format!("coalesce((known.status, input.status) in (values {}), false)", late.join(", "))
}

/// Notes which event made which revision: the first, and each further one, late ones too. An event that was ignored made
/// none.
pub(super) fn note_revision(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[RECEIPT_ID, EVENT_ID, CONVERSION_KEY, RECEIVED_AT];
    let made_one = is_of_the_event(policy);
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into revisions (conversion_key, occurrence, revision, event_id, received_at)
             select known.conversion_key, known.occurrence, known.revision, input.event_id, input.received_at
             from input {} where {} and {made_one}",
            left_join_last(dialect, "known"),
            event_is_new(dialect),
        ),
    )
}

/// That the last conversion under a row's key is as the row's new event has left it. One that was ignored left nothing.
pub(super) fn is_of_the_event(policy: DuplicatePolicy) -> &'static str {
    match policy.repeat {
        OnRepeat::Revise => "known.revision is not null",
        OnRepeat::Ignore | OnRepeat::Flag => "known.event_id = input.event_id",
    }
}

/// That a conversion is the last one under a row's key: with a window, or where repeats are marked, there are several.
fn is_last(conversion: &str) -> String {
    format!(
        "{conversion}.conversion_key = input.conversion_key and {conversion}.occurrence =
            (select max(any_one.occurrence) from conversions as any_one where any_one.conversion_key = input.conversion_key)"
    )
}

/// A join of each row with the last conversion under its key, or with nothing.
pub(super) fn left_join_last(dialect: Dialect, conversion: &str) -> String {
    match dialect {
        // One look into the index in place of two.
        Dialect::Postgres => format!(
            "left join lateral (select * from conversions as {conversion}
                where {conversion}.conversion_key = input.conversion_key
                order by {conversion}.occurrence desc limit 1) as {conversion} on true"
        ),
        Dialect::Sqlite => dialect.left_join_by_key("conversions", conversion, &is_last(conversion)),
    }
}

/// What a postback says of its conversion.
const CONVERSION: &[Column<Entry>] = &[
    RECEIPT_ID,
    EVENT_ID,
    CONVERSION_KEY,
    CONVERSION_ID,
    RECEIVED_AT,
    Column::text("event", |entry| Some(entry.postback().event().name().to_owned())),
    Column::flag("names_event", |entry| Some(entry.record.reading.names_event)),
    Column::text("click_id", |entry| entry.postback().text(Field::ClickId)),
    Column::text("order_id", |entry| entry.postback().text(Field::OrderId)),
    Column::text("media_id", |entry| entry.postback().text(Field::MediaId)),
    Column::text("sub_id", |entry| entry.postback().text(Field::SubId)),
    Column::text("offer_id", |entry| entry.postback().text(Field::OfferId)),
    Column::text("offer_name", |entry| entry.postback().text(Field::OfferName)),
    Column::text("account_id", |entry| entry.postback().text(Field::AccountId)),
    Column::text("payment_method", |entry| entry.postback().text(Field::PaymentMethod)),
    Column::text("consent_version", |entry| entry.postback().text(Field::ConsentVersion)),
    Column::text("campaign", |entry| entry.postback().text(Field::Campaign)),
    Column::text("geo", |entry| entry.postback().text(Field::Geo)),
    Column::text("device", |entry| entry.postback().text(Field::Device)),
    Column::text("status", |entry| entry.postback().text(Field::Status)),
    Column::time("ts_event", |entry| entry.postback().time(Field::TsEvent)),
    Column::time("conversion_datetime", |entry| entry.postback().time(Field::ConversionDatetime)),
    Column::amount("sale_amount", |entry| entry.postback().amount(Field::SaleAmount)),
    Column::amount("payout", |entry| entry.postback().amount(Field::Payout)),
    Column::text("currency", |entry| entry.postback().text(Field::Currency)),
    Column::amount("usd_sale_amount", |entry| entry.postback().amount(Field::UsdSaleAmount)),
    Column::amount("usd_payout", |entry| entry.postback().amount(Field::UsdPayout)),
    Column::flag("is_ftd", |entry| entry.postback().flag(Field::IsFtd)),
    Column::time("created_at", |entry| Some(entry.record.now)),
    Column::time("updated_at", |entry| Some(entry.record.now)),
    Column::number("last_received_s", |entry| entry.record.receipt.received_at.unix_s()),
];

/// Columns of a conversion that a further notice replaces where it has a value.
const CARRIED: [&str; 18] = [
    "event_id",
    "click_id",
    "order_id",
    "media_id",
    "sub_id",
    "offer_id",
    "offer_name",
    "account_id",
    "payment_method",
    "consent_version",
    "campaign",
    "geo",
    "device",
    "status",
    "ts_event",
    "conversion_datetime",
    "is_ftd",
    "updated_at",
];

/// A conversion's amounts.
const AMOUNTS: [&str; 4] = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"];
