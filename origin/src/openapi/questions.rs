//! `/partner/{endpoint}/stats` and `/partner/{endpoint}/conversions`: what can be asked, and what is answered.

use super::answers::{of_questions, response};
use super::fields::event_name;
use super::parts::{self, get_and_head, header, in_query, named, of_form, of_types, one_of, or_blank, text};
use super::scheme;
use crate::reports::{CONVERSION, LIMIT_DEFAULT, LIMIT_MAX, SUMS as SUMS_OF_STATISTICS, Shape};
use postback::limits::ID_BYTES_MAX;
use postback::partner::Partner;
use postback::status::Status;
use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ComponentsBuilder, PathItem, Response};

const STATISTICS: &str = "Statistics";
const SUMS: &str = "Sums";
const CONVERSIONS: &str = "Conversions";
const CONVERSION_NAME: &str = "Conversion";
const CSV: &str = "text/csv";

/// A date or an instant (RFC 3339).
const WHEN: &str = r"^(19[7-9][0-9]|20[0-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$";
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f\ufffd]*$";

/// The partner's paths. A partner that sends no longer still has what it sent.
pub fn paths(partner: &Partner) -> [(String, PathItem); 2] {
    let base = format!("/partner/{}", partner.endpoint).trim_end_matches('/').to_owned();
    [(format!("{base}/stats"), statistics(partner)), (format!("{base}/conversions"), conversions(partner))]
}

/// The parameters of a question about statistics.
fn of_statistics() -> Vec<Parameter> {
    vec![
        in_query("from", "the first day, or the instant; the last 30 days where nothing is said", false, when()),
        in_query(
            "to",
            "the last day, included; or the instant, not included. At most 400 days, by the hour 31",
            false,
            when(),
        ),
        in_query("interval", "the parts that sums are told of", false, or_blank(one_of(&["day", "hour", "all"]))),
        zone(),
        form(),
    ]
}

/// Those of a question about conversions.
fn of_conversions() -> Vec<Parameter> {
    let exactly = "only those that have exactly this";
    let id = |name: &str| in_query(name, exactly, false, of_form(NO_CONTROLS).max_length(Some(ID_BYTES_MAX)));
    let limit = format!("how many on a page, 1 to {LIMIT_MAX}; {LIMIT_DEFAULT} where nothing is said");
    vec![
        in_query("from", "the first day, or the instant", false, when()),
        in_query("to", "the last day, included; or the instant, not included", false, when()),
        in_query("event", "only those of this event, by its canonical name", false, or_blank(event_name())),
        in_query("status", "only those that stand so", false, or_blank(one_of(&Status::ALL.map(Status::name)))),
        id("click_id"),
        id("conversion_id"),
        id("account_id"),
        in_query("limit", &limit, false, or_blank(of_form("^([1-9][0-9]{0,2}|1000)$").examples([json!("100")]))),
        in_query("cursor", "`next_cursor` of the page before, as it is", false, text()),
        zone(),
        form(),
    ]
}

fn statistics(partner: &Partner) -> PathItem {
    let summary = format!("What {}'s conversions come to.", partner.name);
    item(partner, "stats", &summary, of_statistics(), table(response("The sums.", named(STATISTICS))))
}

fn conversions(partner: &Partner) -> PathItem {
    let mut page = table(response("A page of them, the latest first.", named(CONVERSIONS)));
    let next = header(text(), "`next_cursor`, where there is a next page: CSV has no place for it");
    page.headers.insert("bytec-next-cursor".to_owned(), next);
    item(partner, "conversions", &format!("{}'s conversions.", partner.name), of_conversions(), page)
}

fn item(partner: &Partner, about: &str, summary: &str, parameters: Vec<Parameter>, answer: Response) -> PathItem {
    let none: [&str; 0] = [];
    let failures = of_questions(about, &parameters);
    let operation = parts::operation(parts::QUESTIONS, &format!("{}-{about}", partner.code), summary)
        .parameters(Some(parameters))
        .security(SecurityRequirement::new(scheme::API_KEY, none))
        .response("200", answer);
    get_and_head(&failures.end(operation).build())
}

/// The same as a table.
fn table(mut answer: Response) -> Response {
    let rows = text()
        .description(Some("RFC 4180; a text that a spreadsheet would take for a formula has an apostrophe in front"));
    answer.content.insert(CSV.to_owned(), ContentBuilder::new().schema(Some(rows)).build());
    answer
}

fn when() -> utoipa::openapi::Schema {
    or_blank(of_form(WHEN).examples([json!("2025-01-01"), json!("2025-01-01T00:00:00Z")]))
}

fn zone() -> Parameter {
    let name = text().examples([json!("Asia/Kuala_Lumpur")]);
    in_query("tz", "IANA time zone of days and of the times that are shown; UTC where nothing is said", false, name)
}

fn form() -> Parameter {
    in_query("format", "`Accept: text/csv` says the same", false, or_blank(one_of(&["json", "csv"])))
}

/// The schemas of the answers.
pub fn components(components: ComponentsBuilder) -> ComponentsBuilder {
    let components = of_questions("stats", &of_statistics()).components(components);
    let components = of_questions("conversions", &of_conversions()).components(components);
    let conversion = CONVERSION
        .iter()
        .fold(ObjectBuilder::new(), |object, (name, shape)| object.property(*name, of_shape(*shape)).required(*name));
    let list = |of: &str| ArrayBuilder::new().items(named(of)).build();
    let page = all_required([
        ("partner", of_shape(Shape::Text)),
        ("time_zone", of_shape(Shape::Text)),
        ("currency", of_shape(Shape::Text)),
        ("next_cursor", of_shape(Shape::TextOrNull)),
    ]);
    let page = page.property("conversions", list(CONVERSION_NAME)).required("conversions");
    let sums = all_required(SUMS_OF_STATISTICS.map(|(name, shape)| (name, of_shape(shape))));
    let sums = sums.property("start", of_shape(Shape::Time)).property("end", of_shape(Shape::Time));
    let kind = [
        ("event", Shape::Text),
        ("status", Shape::TextOrNull),
        ("currency", Shape::TextOrNull),
        ("payout_currency", Shape::TextOrNull),
        ("is_duplicate", Shape::Flag),
        ("conversions", Shape::Count),
        ("first_deposits", Shape::Count),
        ("waiting_for_rates", Shape::Count),
        ("sale_amount", Shape::Amount),
        ("payout", Shape::Amount),
        ("reporting_sale_amount", Shape::Amount),
        ("reporting_payout", Shape::Amount),
    ];
    let waiting = [
        ("currency", Shape::Text),
        ("conversions", Shape::Count),
        ("sale_amount", Shape::Amount),
        ("payout", Shape::Amount),
    ];
    let statistics = [
        ("partner", Shape::Text),
        ("from", Shape::Time),
        ("to", Shape::Time),
        ("time_zone", Shape::Text),
        ("interval", Shape::Text),
        ("currency", Shape::Text),
    ];
    let statistics = all_required(statistics.map(|(name, shape)| (name, of_shape(shape))))
        .property("total", named(SUMS))
        .property("waiting", list("Waiting"))
        .property("periods", list(SUMS))
        .property("kinds", list("Kind"));
    components
        .schema(CONVERSION_NAME, conversion)
        .schema(CONVERSIONS, page)
        .schema(SUMS, sums)
        .schema("Kind", all_required(kind.map(|(name, shape)| (name, of_shape(shape)))))
        .schema("Waiting", all_required(waiting.map(|(name, shape)| (name, of_shape(shape)))))
        .schema(
            STATISTICS,
            ["total", "waiting", "periods", "kinds"].into_iter().fold(statistics, ObjectBuilder::required),
        )
}

fn all_required(properties: impl IntoIterator<Item = (&'static str, ObjectBuilder)>) -> ObjectBuilder {
    properties
        .into_iter()
        .fold(ObjectBuilder::new(), |object, (name, schema)| object.property(name, schema).required(name))
}

fn of_shape(shape: Shape) -> ObjectBuilder {
    let amount = "^-?[0-9]+\\.[0-9]{2,}$";
    let time = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}$";
    match shape {
        Shape::Text => text(),
        Shape::TextOrNull => of_types(&[Type::String, Type::Null]),
        Shape::Time => of_form(time),
        Shape::Amount => of_form(amount).description(Some("an exact decimal")),
        Shape::AmountOrNull => of_types(&[Type::String, Type::Null]).pattern(Some(amount)),
        Shape::Count => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)),
        Shape::CountOrNull => of_types(&[Type::Integer, Type::Null]).minimum(Some(0)),
        Shape::Flag => ObjectBuilder::new().schema_type(Type::Boolean),
        Shape::FlagOrNull => of_types(&[Type::Boolean, Type::Null]),
        Shape::List => ObjectBuilder::new().schema_type(Type::Array),
    }
}
