//! What an event makes of its conversion: it begins one, or brings one up to date (R48, R49).

use super::super::statement::{Column, Dialect, Step};
use super::super::totals::happened_at;
use super::entry::{
    CONVERSION_ID, CONVERSION_KEY, EVENT_ID, Entry, IS_DEFERRED, LAST_RECEIVED_MS, RECEIPT_ID, RECEIVED_AT, REQUEST_ID,
};
use super::{event_is_new, of};
use postback::duplicate::{DuplicatePolicy, OnRepeat};
use postback::field::Field;
use postback::status::{Status, Transition};

/// Begins a conversion where there is none under its key yet, or where the last one is another: out of the window, or
/// because repeats are conversions of their own. A receipt that others have overtaken on the way begins none: its conversion is folded
/// again.
pub(super) fn create_conversion(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    let amounts = AMOUNTS.map(|name| dialect.amount(name));
    let amounts = amounts.each_ref().map(String::as_str);
    let names =
        [&["conversion_id", "event", "received_at", "created_at", "last_received_ms"], &CARRIED[..], &amounts].concat();
    let [sale_amount, payout, ..] = &amounts;
    let is_apart = is_apart(policy, "last");
    let is_newest = is_newest("last");
    let (is_new, is_duplicate) = match policy.repeat {
        OnRepeat::Revise | OnRepeat::Ignore => (format!("({is_newest} and {is_apart})"), "false".to_owned()),
        OnRepeat::Flag => (is_newest, format!("last.occurrence is not null and not {is_apart}")),
    };
    Step::new(
        dialect,
        CONVERSION,
        &format!(
            "insert into conversions (conversion_key, occurrence, revision, is_duplicate, currency, payout_currency,
                last_request_id, last_event_id, first_request_id, {})
             select input.conversion_key, coalesce(last.occurrence, 0) + 1, 1, {is_duplicate},
                case when input.{sale_amount} is not null then input.currency end,
                case when input.{payout} is not null then input.currency end,
                input.request_id, input.event_id, input.request_id, {}
             from input {} where {} and not input.is_deferred and (last.occurrence is null or {is_new})",
            names.join(", "),
            of("input", &names),
            left_join_last(dialect, "last"),
            event_is_new(dialect),
        ),
    )
}

/// That the last receipt about a conversion is longer ago than the window.
pub(super) fn is_apart(policy: DuplicatePolicy, conversion: &str) -> String {
    match policy.window_s {
        Some(window_s) => {
            let window_ms = i64::from(window_s).saturating_mul(1000);
            format!("(input.last_received_ms - {conversion}.last_received_ms > {window_ms})")
        }
        None => "false".to_owned(),
    }
}

/// That a row is to be applied, and was received later than all that a conversion is known by: by milliseconds, then by the bytes of the request id, then of
/// the event id.
pub(super) fn is_newest(conversion: &str) -> String {
    format!(
        "(not input.is_deferred and (input.last_received_ms, input.request_id, input.event_id)
            > ({conversion}.last_received_ms, {conversion}.last_request_id, {conversion}.last_event_id))"
    )
}

/// That a row is the last receipt that a conversion is known by: it was applied, and nothing after it.
pub(super) fn is_last_receipt(conversion: &str) -> String {
    format!(
        "({conversion}.last_received_ms = input.last_received_ms and {conversion}.last_request_id = input.request_id
            and {conversion}.last_event_id = input.event_id)"
    )
}

/// Brings a conversion up to date by an event that did not begin it. What the notice says replaces, what it does not say
/// stays; a notice that a later decision overtook only adds what was not known. The same as
/// [`postback::conversion::fold`] does to the newest receipt.
pub(super) fn revise_conversion(dialect: Dialect, policy: DuplicatePolicy) -> Option<Step<Entry>> {
    let last_receipt = "last_received_ms = input.last_received_ms, last_request_id = input.request_id,
        last_event_id = input.event_id";
    let assignments = match policy.repeat {
        // Each begins one.
        OnRepeat::Flag => return None,
        OnRepeat::Ignore => last_receipt.to_owned(),
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
                statement(dialect, &late, &SALE),
                statement(dialect, &late, &PAYOUT),
                last_receipt.to_owned(),
            ]
            .join(", ")
        }
    };
    let (rows, is_last) = match dialect {
        // Both columns of its key are there before the table is looked into: it is found by its key, however small it was when the plan
        // was made.
        Dialect::Postgres => (
            format!(
                "(select input.*, (select max(any_one.occurrence) from conversions as any_one
                    where any_one.conversion_key = input.conversion_key) as occurrence from input{}) as input",
                dialect.by_key()
            ),
            "known.conversion_key = input.conversion_key and known.occurrence = input.occurrence".to_owned(),
        ),
        Dialect::Sqlite => ("input".to_owned(), is_last("known")),
    };
    Some(Step::new(
        dialect,
        CONVERSION,
        &format!(
            "update conversions as known set {assignments} from {rows}
             where {is_last} and {} and {}",
            is_newest("known"),
            event_is_new(dialect),
        ),
    ))
}

/// The columns of a statement of money.
struct Money {
    amount: &'static str,
    currency: &'static str,
    dollars: &'static str,
    is_dropped: &'static str,
    /// The currency of the other statement, which is inherited where there is no other.
    others_currency: &'static str,
}

const SALE: Money = Money {
    amount: "sale_amount",
    currency: "currency",
    dollars: "usd_sale_amount",
    is_dropped: "is_sale_amount_dropped",
    others_currency: "payout_currency",
};
const PAYOUT: Money = Money {
    amount: "payout",
    currency: "payout_currency",
    dollars: "usd_payout",
    is_dropped: "is_payout_dropped",
    others_currency: "currency",
};

/// The assignments of a statement of money, where a notice does not create it: [`postback::conversion::Statement`] has the rule.
fn statement(dialect: Dialect, late: &str, money: &Money) -> String {
    let Money { currency, is_dropped, others_currency, .. } = money;
    let [amount, dollars] = [money.amount, money.dollars].map(|name| dialect.amount(name));
    let is_said = format!("(input.{amount} is not null or input.{dollars} is not null)");
    let is_bare = format!("(known.{amount} is null and known.{dollars} is null)");
    let said_currency = format!(
        "case when input.{amount} is not null
            then coalesce(input.currency, known.{currency}, known.{others_currency}) end"
    );
    let repeats_amount = format!(
        "(input.{dollars} is null and input.{amount} = known.{amount}
            and coalesce({said_currency}, '') = coalesce(known.{currency}, ''))"
    );
    let repeats_dollars = format!("(input.{amount} is null and input.{dollars} = known.{dollars})");
    // Where a side is not known, a comparison is null, and `coalesce` makes it the answer no.
    let is_taken = format!(
        "({is_said} and (not {late} or {is_bare}) and not coalesce({repeats_amount}, false)
            and not coalesce({repeats_dollars}, false))"
    );
    let drops = format!(
        "(known.{amount} is not null and input.{amount} is null
            or known.{dollars} is not null and input.{dollars} is null)"
    );
    let dropped = format!("(input.{amount} is null or input.{dollars} is null) and ({drops} or known.{is_dropped})");
    let taken = |name: &str, said: &str| format!("{name} = case when {is_taken} then {said} else known.{name} end");
    [
        taken(&amount, &format!("input.{amount}")),
        // Dollars alone leave it: it is that of the next amount without one.
        taken(
            currency,
            &format!("(case when input.{amount} is not null then {said_currency} else known.{currency} end)"),
        ),
        taken(&dollars, &format!("input.{dollars}")),
        taken(is_dropped, &format!("({dropped})")),
    ]
    .join(", ")
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

/// Notes which event made which revision, and what the conversion states behind it: the first, and each further one, late ones
/// too. An event that was ignored made none.
pub(super) fn note_revision(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] =
        &[RECEIPT_ID, EVENT_ID, CONVERSION_KEY, RECEIVED_AT, REQUEST_ID, LAST_RECEIVED_MS];
    let made_one = is_of_the_event(policy);
    let amounts = AMOUNTS.map(|name| dialect.amount(name));
    let stated = [&["status", "currency", "payout_currency"][..], &amounts.each_ref().map(String::as_str)].concat();
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into revisions (conversion_key, occurrence, revision, event_id, received_at, effective_at, {})
             select known.conversion_key, known.occurrence, known.revision, input.event_id, input.received_at, {}, {}
             from input {} where {} and {made_one}",
            stated.join(", "),
            happened_at("known"),
            of("known", &stated),
            left_join_last(dialect, "known"),
            event_is_new(dialect),
        ),
    )
}

/// That the last conversion under a row's key is as the row's new event has left it. One that was ignored left nothing.
pub(super) fn is_of_the_event(policy: DuplicatePolicy) -> String {
    match policy.repeat {
        OnRepeat::Revise => is_last_receipt("known"),
        OnRepeat::Ignore | OnRepeat::Flag => "known.event_id = input.event_id".to_owned(),
    }
}

/// That a conversion is the last one under a row's key: with a window, or where repeats are marked, there are several.
pub(super) fn is_last(conversion: &str) -> String {
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
    Column::text("original_event_id", |entry| entry.postback().text(Field::OriginalEventId)),
    LAST_RECEIVED_MS,
    REQUEST_ID,
    IS_DEFERRED,
];

/// Columns of a conversion that a further notice replaces where it has a value.
const CARRIED: [&str; 19] = [
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
    "original_event_id",
    "updated_at",
];

/// A conversion's amounts.
const AMOUNTS: [&str; 4] = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"];
