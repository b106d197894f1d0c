//! The canonical fields as schemas: what a value has to look like for the postback to be stored. An optional field whose value cannot be read
//! costs no more than itself, so any value is valid there, and the description says which are read. What no schema can say (how many bytes,
//! which days a month has, whether a time is ahead of us) is told by the error.

use super::parts::{named, of_form, of_types, or_blank, text};
use postback::field::{Field, Kind};
use postback::limits::{ID_BYTES_MAX, JSON_STRING_BYTES_MAX, PARAM_VALUE_BYTES_MAX};
use postback::partner::{Partner, UnknownStatus};
use serde_json::json;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{ComponentsBuilder, RefOr, Schema};

/// No control characters, and no mark of damage.
pub const CLEAN: &str = r"^[^\u0000-\u001f\u007f-\u009f\ufffd]*$";
/// The same, and not only spaces.
const FILLED: &str =
    r"^[^\u0000-\u001f\u007f-\u009f\ufffd]*[^\u0000-\u0020\u007f-\u009f\ufffd][^\u0000-\u001f\u007f-\u009f\ufffd]*$";
const EVENT: &str = "^[ _.-]*[A-Za-z0-9]([A-Za-z0-9 _.-]{0,62}[A-Za-z0-9])?[ _.-]*$";
const AMOUNT: &str = r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$";
const TIME: &str = r"^(197[1-9]|19[89][0-9]|20[0-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])?)?$";
const EPOCH: &str = "^[1-3]([0-9]{9}|[0-9]{12})$";
const FLAG: &str = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|0|1)$";

/// The schemas of all kinds of fields, by the kinds' names.
pub fn components(components: ComponentsBuilder) -> ComponentsBuilder {
    let optional = |what: &str| {
        let about =
            format!("{what}; any other value, a macro that was left in, or a word for nothing, counts as absent");
        text().description(Some(about))
    };
    let bytes = |most: usize| optional(&format!("at most {most} bytes without control characters"));
    let time = AnyOfBuilder::new()
        .item(of_form(TIME).examples([json!("2025-01-01 12:00:00"), json!("2025-01-01T12:00:00Z")]))
        .item(of_form(EPOCH).examples([json!("1735732800")]))
        .description(Some(
            "a time; without an offset it is on the partner's clocks. Other ways to write one are understood: docs/api.md",
        ));
    let amount = of_form(AMOUNT).examples([json!("10.50")]);
    components
        .schema(name(Kind::Id), bytes(ID_BYTES_MAX))
        .schema(name(Kind::Text), bytes(PARAM_VALUE_BYTES_MAX))
        .schema(name(Kind::Event), event_name())
        .schema(name(Kind::Time), time)
        .schema(
            name(Kind::Amount),
            amount.description(Some("digits with a decimal point; below zero for refunds and chargebacks")),
        )
        .schema(
            name(Kind::Currency),
            text().examples([json!("USD")]).description(Some(
                "ISO 4217, of sale_amount and payout; any other value is refused where these are sent without US dollars",
            )),
        )
        .schema(name(Kind::Flag), optional("true, 1, yes, false, 0 or no").examples([json!("true")]))
}

/// The name of an event.
pub fn event_name() -> ObjectBuilder {
    of_form(EVENT).max_length(Some(PARAM_VALUE_BYTES_MAX)).examples([json!("purchase"), json!("deposit")])
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Id => "Id",
        Kind::Text => "Text",
        Kind::Event => "EventName",
        Kind::Status => "Status",
        Kind::Time => "Time",
        Kind::Amount => "Amount",
        Kind::Currency => "Currency",
        Kind::Flag => "Flag",
    }
}

/// A field's value as text: in a query or a form.
pub fn as_text(partner: &Partner, field: Field) -> RefOr<Schema> {
    if partner.required.contains(&field) || costs_itself(partner, field) {
        value(partner, field)
    } else {
        or_blank(value(partner, field)).into()
    }
}

/// Whether a value that cannot be read costs no more than the field.
fn costs_itself(partner: &Partner, field: Field) -> bool {
    let is_optional = !partner.required.contains(&field);
    match field.kind() {
        Kind::Id | Kind::Text | Kind::Flag | Kind::Currency => is_optional,
        Kind::Event | Kind::Status => is_optional && takes_any(partner, field),
        Kind::Time | Kind::Amount => false,
    }
}

fn value(partner: &Partner, field: Field) -> RefOr<Schema> {
    let is_required = partner.required.contains(&field);
    match (field.kind(), field) {
        (Kind::Status, _) => status(partner).into(),
        (Kind::Event, _) if takes_any(partner, field) => named(name(Kind::Text)),
        (Kind::Id, Field::EventId) if is_required => {
            of_form("^[!-~]{1,512}$").description(Some("your own id of the event")).into()
        }
        (Kind::Id, _) if is_required => of_form(FILLED).max_length(Some(ID_BYTES_MAX)).into(),
        (Kind::Text, _) if is_required => of_form(FILLED).max_length(Some(PARAM_VALUE_BYTES_MAX)).into(),
        (Kind::Flag, _) if is_required => of_form(FLAG).into(),
        (Kind::Currency, _) if is_required => of_form("^[A-Za-z]{3}$").into(),
        (Kind::Id | Kind::Text | Kind::Event | Kind::Time | Kind::Amount | Kind::Currency | Kind::Flag, _) => {
            named(name(field.kind()))
        }
    }
}

/// A field's value in JSON: the text, or a value that says the same; `null` counts as absent.
pub fn as_json(partner: &Partner, field: Field) -> RefOr<Schema> {
    if costs_itself(partner, field) {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        return any.description(Some("a string, a number, true or false; any other value counts as absent")).into();
    }
    let value = AnyOfBuilder::new().item(as_text(partner, field));
    let null = if partner.required.contains(&field) { None } else { Some(Type::Null) };
    let value = match field.kind() {
        // Whatever is sent is kept as it is written.
        Kind::Id => value.item(of_types(&[Type::Number, Type::Boolean])),
        Kind::Text | Kind::Event if takes_any(partner, field) => {
            value.item(long()).item(of_types(&[Type::Number, Type::Boolean]))
        }
        Kind::Text | Kind::Event => value.item(of_types(&[Type::Number, Type::Boolean])),
        Kind::Amount => value.item(of_types(&[Type::Number])),
        Kind::Time => value.item(epoch(1_000_000_000, 3_999_999_999)).item(epoch(1_000_000_000_000, 3_999_999_999_999)),
        Kind::Flag => value.item(of_types(&[Type::Boolean])).item(of_types(&[Type::Integer]).enum_values(Some([0, 1]))),
        Kind::Status if takes_any(partner, field) => value.item(long()).item(of_types(&[Type::Number, Type::Boolean])),
        Kind::Status | Kind::Currency => value,
    };
    let value = null.map(|null| of_types(&[null])).into_iter().fold(value, AnyOfBuilder::item);
    RefOr::T(Schema::AnyOf(value.build()))
}

/// Whether any text will do.
fn takes_any(partner: &Partner, field: Field) -> bool {
    match field.kind() {
        Kind::Text => true,
        Kind::Event => partner.default_event.is_some(),
        Kind::Status => partner.unknown_status == UnknownStatus::Flag,
        Kind::Id | Kind::Time | Kind::Amount | Kind::Currency | Kind::Flag => false,
    }
}

/// A text in JSON, which may be longer.
fn long() -> ObjectBuilder {
    of_form(CLEAN).max_length(Some(JSON_STRING_BYTES_MAX))
}

fn epoch(first: i64, last: i64) -> ObjectBuilder {
    of_types(&[Type::Integer]).minimum(Some(first)).maximum(Some(last))
}

/// The partner's words for where a conversion stands.
fn status(partner: &Partner) -> ObjectBuilder {
    let words = partner.statuses.keys().map(String::as_str);
    match partner.unknown_status {
        UnknownStatus::Refuse => text().enum_values(Some(words)).description(Some("in either case")),
        UnknownStatus::Flag => text()
            .examples(words.map(|word| json!(word)))
            .description(Some("any other word is stored, without a status")),
    }
}
