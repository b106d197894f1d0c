//! `/partner/{endpoint}/stats`, `conversions`, `postbacks`, `rejections` and `trace`: what can be asked, and what is answered.

use super::answers::{of_questions, response};
use super::fields::event_name;
use super::parts::{self, get_and_head, header, in_query, named, of_form, of_types, one_of, or_blank, text};
use super::scheme;
use crate::reports::{
    CONVERSION, KINDS, LIMIT_DEFAULT, LIMIT_MAX, REJECTION, REQUEST, SUMS as SUMS_OF_STATISTICS, Shape,
};
use crate::store::Via;
use postback::limits::ID_BYTES_MAX;
use postback::partner::Partner;
use postback::status::Status;
use postback::verdict::Verdict;
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
const POSTBACKS: &str = "Postbacks";
const POSTBACK: &str = "Postback";
const REJECTIONS: &str = "Rejections";
const REJECTED: &str = "RejectedRequest";
const TRACE: &str = "Trace";
const ENTRY: &str = "TraceEntry";
const TRACED: &str = "TracedConversion";
const CSV: &str = "text/csv";

/// A date or an instant (RFC 3339).
const WHEN: &str = r"^(19[7-9][0-9]|20[0-9][0-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$";
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f\ufffd]*$";
/// The same, and not spaces alone.
const ID: &str =
    r"^[^\u0000-\u001f\u007f-\u009f\ufffd]*[^\u0000-\u0020\u007f-\u009f\ufffd][^\u0000-\u001f\u007f-\u009f\ufffd]*$";

/// The partner's paths. A partner that sends no longer still has what it sent.
pub fn paths(partner: &Partner) -> [(String, PathItem); 5] {
    let base = format!("/partner/{}", partner.endpoint).trim_end_matches('/').to_owned();
    [
        ("stats", statistics(partner)),
        ("conversions", conversions(partner)),
        ("postbacks", postbacks(partner)),
        ("rejections", rejections(partner)),
        ("trace", trace(partner)),
    ]
    .map(|(about, item)| (format!("{base}/{about}"), item))
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

fn id(name: &str) -> Parameter {
    in_query(name, "only those that have exactly this", false, of_form(NO_CONTROLS).max_length(Some(ID_BYTES_MAX)))
}

/// What each list has: its span of time, what it is filtered by, and its pages.
fn of_list(filters: Vec<Parameter>) -> Vec<Parameter> {
    let limit = format!("how many on a page, 1 to {LIMIT_MAX}; {LIMIT_DEFAULT} where nothing is said");
    let span = [
        in_query("from", "the first day, or the instant", false, when()),
        in_query("to", "the last day, included; or the instant, not included", false, when()),
    ];
    let pages = [
        in_query("limit", &limit, false, or_blank(of_form("^([1-9][0-9]{0,2}|1000)$").examples([json!("100")]))),
        in_query("cursor", "`next_cursor` of the page before, as it is", false, text()),
        zone(),
        form(),
    ];
    span.into_iter().chain(filters).chain(pages).collect()
}

/// The ids that lists of requests are filtered by.
const IDS: [&str; 6] = ["request_id", "event_id", "conversion_id", "order_id", "click_id", "account_id"];

/// Those of a question about requests.
fn of_postbacks() -> Vec<Parameter> {
    let verdicts = [Verdict::Created, Verdict::Duplicate, Verdict::Revised, Verdict::Conflict].map(Verdict::name);
    let verdict = in_query("verdict", "only those that this became of", false, or_blank(one_of(&verdicts)));
    of_list(std::iter::once(verdict).chain(IDS.map(id)).collect())
}

/// Those of a question about rejected requests.
fn of_rejections() -> Vec<Parameter> {
    let ways = [Via::Direct, Via::Edge].map(Via::name);
    let filters = [
        in_query("code", "only those that were rejected with this code", false, or_blank(of_form("^[a-z0-9_]{1,64}$"))),
        in_query("via", "only those that came this way", false, or_blank(one_of(&ways))),
        in_query(
            "authenticated",
            "only those whose sender was authenticated, or was not",
            false,
            or_blank(one_of(&["true", "false"])),
        ),
    ];
    of_list(filters.into_iter().chain(IDS.map(id)).collect())
}

/// Those of a question about an id.
fn of_trace() -> Vec<Parameter> {
    let id = of_form(ID).max_length(Some(ID_BYTES_MAX));
    let about = "the id of a request, event, conversion, order, click or account";
    vec![in_query("id", about, true, id), zone()]
}

/// Those of a question about conversions.
fn of_conversions() -> Vec<Parameter> {
    of_list(vec![
        in_query("event", "only those of this event, by its canonical name", false, or_blank(event_name())),
        in_query("status", "only those that stand so", false, or_blank(one_of(&Status::ALL.map(Status::name)))),
        id("click_id"),
        id("conversion_id"),
        id("account_id"),
    ])
}

fn statistics(partner: &Partner) -> PathItem {
    let summary = format!("What {}'s conversions come to.", partner.name);
    item(partner, "stats", &summary, of_statistics(), table(response("The sums.", named(STATISTICS))))
}

fn conversions(partner: &Partner) -> PathItem {
    item(partner, "conversions", &format!("{}'s conversions.", partner.name), of_conversions(), page(CONVERSIONS))
}

fn postbacks(partner: &Partner) -> PathItem {
    let summary = format!("{}'s requests that reached a verdict.", partner.name);
    item(partner, "postbacks", &summary, of_postbacks(), page(POSTBACKS))
}

fn rejections(partner: &Partner) -> PathItem {
    item(partner, "rejections", &format!("{}'s rejected requests.", partner.name), of_rejections(), page(REJECTIONS))
}

fn trace(partner: &Partner) -> PathItem {
    let summary = format!("Everything of {}'s that is stored about an id.", partner.name);
    item(partner, "trace", &summary, of_trace(), response("What happened, and what it comes to now.", named(TRACE)))
}

fn page(list: &str) -> Response {
    let mut page = table(response("A page of them, the latest first.", named(list)));
    let next = header(text(), "`next_cursor`, where there is a next page: CSV has no place for it");
    page.headers.insert("bytec-next-cursor".to_owned(), next);
    page
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
    let components = of_questions("postbacks", &of_postbacks()).components(components);
    let components = of_questions("rejections", &of_rejections()).components(components);
    let components = of_questions("trace", &of_trace()).components(components);
    let components = traces(lists(components));
    let conversion = of_shapes(&CONVERSION);
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

/// The schemas of lists of requests.
fn lists(components: ComponentsBuilder) -> ComponentsBuilder {
    let page = |name: &str, of: &str| {
        let page = [("partner", Shape::Text), ("time_zone", Shape::Text), ("next_cursor", Shape::TextOrNull)];
        of_shapes(&page).property(name, ArrayBuilder::new().items(named(of)).build()).required(name)
    };
    components
        .schema(POSTBACK, of_shapes(&REQUEST))
        .schema(POSTBACKS, page("postbacks", POSTBACK))
        .schema(REJECTED, of_shapes(&REJECTION))
        .schema(REJECTIONS, page("rejections", REJECTED))
}

/// The schemas of a trace.
fn traces(components: ComponentsBuilder) -> ComponentsBuilder {
    let list = |of: &str| ArrayBuilder::new().items(named(of)).build();
    let words = |words: &[&str]| ArrayBuilder::new().items(one_of(words)).build();
    let matches = || words(&IDS);
    let entry = of_shapes(&[("at", Shape::Time)])
        .description(Some("one thing that happened; what else it has follows from its kind"))
        .property("kind", one_of(&KINDS))
        .required("kind")
        .property("matches", matches())
        .required("matches");
    let conversion = of_shapes(&CONVERSION);
    let more = [
        ("conversion_key", Shape::Text),
        ("is_counted", Shape::Flag),
        ("is_charged_back", Shape::Flag),
        ("is_pending", Shape::Flag),
        ("jobs", Shape::List),
        ("rebuild_due_at", Shape::TextOrNull),
    ];
    let conversion = more
        .into_iter()
        .fold(conversion, |object, (name, shape)| object.property(name, of_shape(shape)).required(name))
        .property("matches", matches())
        .required("matches");
    let total = of_shapes(&[
        ("conversions", Shape::Count),
        ("reporting_sale_amount", Shape::Amount),
        ("reporting_payout", Shape::Amount),
        ("waiting_for_rates", Shape::Count),
    ]);
    let cut = ["clicks", "conversions", "events", "rejections", "requests", "rereads", "revisions"];
    let trace = of_shapes(&[
        ("partner", Shape::Text),
        ("id", Shape::Text),
        ("found", Shape::Flag),
        ("time_zone", Shape::Text),
        ("currency", Shape::Text),
    ]);
    let trace = trace
        .property("found_as", matches())
        .property("cut", words(&cut))
        .property("timeline", list(ENTRY))
        .property("conversions", list(TRACED))
        .property("total", total);
    let trace =
        ["found_as", "cut", "timeline", "conversions", "total"].into_iter().fold(trace, ObjectBuilder::required);
    components.schema(ENTRY, entry).schema(TRACED, conversion).schema(TRACE, trace)
}

fn of_shapes(shapes: &[(&'static str, Shape)]) -> ObjectBuilder {
    all_required(shapes.iter().map(|(name, shape)| (*name, of_shape(*shape))))
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
