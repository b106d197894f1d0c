//! Responses, as `crate::api` gives them: status codes, codes and headers of errors are asked of the errors themselves.

use super::parts::{header, named, one_of, text};
use crate::api::error::Error;
use crate::quota::{OverDailyLimit, OverRate};
use crate::reports::Problem;
use crate::store::StoreError;
use crate::verify::Disbelief;
use postback::message_signature::header as names;
use postback::rejection::{Code, Rejection};
use postback::reply::Format;
use postback::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{OperationBuilder, Parameter};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder};
use utoipa::openapi::{ComponentsBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};

/// What every error's body has.
pub const ERROR: &str = "Error";

/// The schemas that errors refer to, and the two answers that belong to no listed operation.
pub fn components(components: ComponentsBuilder) -> ComponentsBuilder {
    let error = ObjectBuilder::new()
        .property("error", text().description(Some("the code, which is stable: branch on it")))
        .required("error")
        .property(
            "field",
            text().description(Some("what is at fault, in the sender's own name for it, where one thing is")),
        )
        .property("hint", text().description(Some("what to do; its words may change")))
        .required("hint")
        .property("verdict", one_of(&[Verdict::Rejected.name(), Verdict::Conflict.name()]))
        .property("event_id", text().description(Some("the event, where it is known")))
        .property("request_id", named("RequestId"))
        .required("request_id");
    let mut components = components.schema(ERROR, error);
    let elsewhere = [Error::PartnerNotFound, Error::MethodNotAllowed { allow: "" }];
    for (name, error) in ["NotFound", "MethodNotAllowed"].into_iter().zip(&elsewhere) {
        components = components.response(name, failure(&[error], Format::Json));
    }
    components
}

/// What a postback can end in beside being stored.
pub fn of_postbacks(format: Format) -> Failures {
    let unsignable = [Code::BadPath, Code::TwoSignatures];
    let read = Code::ALL.into_iter().filter(|code| !unsignable.contains(code));
    let read = read.map(|code| Error::Rejected(Rejection::of(code, "")));
    let unsigned = unsignable.map(|code| Error::Disbelieved(Disbelief::Unsignable(Rejection::of(code, ""))));
    let others = [
        Error::PartnerNotFound,
        Error::UrlTooLong,
        Error::BodyTooLarge,
        Error::UnsupportedEncoding,
        Error::BodyIncomplete,
        Error::Disbelieved(Disbelief::TokenMissing),
        Error::Disbelieved(Disbelief::TokenInvalid),
        Error::Disbelieved(Disbelief::NotAccepted),
        Error::Disbelieved(Disbelief::SignatureMissing),
        Error::Disbelieved(Disbelief::SignatureInvalid { cause: "" }),
        Error::Replay,
        Error::Malformed(String::new()),
        Error::Conflict,
        Error::RateLimited(OverRate { retry_after_s: 1 }),
        Error::DailyLimit(OverDailyLimit { retry_after_s: 1 }),
        Error::Overloaded,
        Error::Store(StoreError::Unavailable(String::new())),
        Error::Internal(""),
    ];
    Failures::of("postback", read.chain(unsigned).chain(others).collect(), format)
}

/// What a question can end in beside an answer, where these are the parameters it takes.
pub fn of_questions(name: &str, parameters: &[Parameter]) -> Failures {
    let asks = |field: &str| field.is_empty() || parameters.iter().any(|parameter| parameter.name == field);
    let unread = Problem::ALL.into_iter().filter(|problem| asks(problem.field)).map(Error::Question);
    let others = [
        Error::KeyMissing,
        Error::KeyInvalid,
        Error::UrlTooLong,
        Error::Overloaded,
        Error::Store(StoreError::Unavailable(String::new())),
        Error::Internal(""),
    ];
    Failures::of(name, unread.chain(others).collect(), Format::Json)
}

/// What asking for metrics can end in beside them.
pub fn of_metrics() -> Failures {
    let unavailable = Error::Store(StoreError::Unavailable(String::new()));
    let errors = vec![Error::KeyMissing, Error::KeyInvalid, unavailable, Error::Internal("")];
    Failures::of("metrics", errors, Format::Json)
}

/// What the requests of one kind can end in, in the form in which it is told. Stands in the document once, under its name.
pub struct Failures {
    name: String,
    format: Format,
    by_status: BTreeMap<u16, Vec<Error>>,
}

impl Failures {
    /// The failures of a name.
    pub fn of(name: &str, errors: Vec<Error>, format: Format) -> Failures {
        let mut by_status: BTreeMap<u16, Vec<Error>> = BTreeMap::new();
        for error in errors {
            by_status.entry(error.status()).or_default().push(error);
        }
        let name = match format {
            Format::Json => name.to_owned(),
            Format::Text => format!("{name}.text"),
        };
        Failures { name, format, by_status }
    }

    /// Adds them to what the document's operations refer to.
    pub fn components(&self, components: ComponentsBuilder) -> ComponentsBuilder {
        self.by_status.iter().fold(components, |components, (status, errors)| {
            components.response(self.name_of(*status), failure(&errors.iter().collect::<Vec<_>>(), self.format))
        })
    }

    /// An operation that can end in them.
    pub fn end(&self, operation: OperationBuilder) -> OperationBuilder {
        let responses =
            self.by_status.keys().map(|status| (status.to_string(), Ref::from_response_name(self.name_of(*status))));
        responses.fold(operation, |operation, (status, response)| operation.response(status, response))
    }

    fn name_of(&self, status: u16) -> String {
        format!("{}.{status}", self.name)
    }
}

/// The response of the errors of one status code.
fn failure(errors: &[&Error], format: Format) -> Response {
    let mut told: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for failure in errors.iter().map(|error| error.failure()) {
        let hints = told.entry(failure.code).or_default();
        if !failure.hint.is_empty() {
            hints.insert(failure.hint);
        }
    }
    let lines = told.iter().map(|(code, hints)| {
        let hints: Vec<_> = hints.iter().copied().collect();
        if hints.is_empty() { format!("- `{code}`") } else { format!("- `{code}`: {}", hints.join("; or ")) }
    });
    let codes: Vec<_> = told.keys().copied().collect();
    let schema = AllOfBuilder::new().item(named(ERROR)).item(ObjectBuilder::new().property("error", one_of(&codes)));
    let mut response = response(&lines.collect::<Vec<_>>().join("\n"), Schema::AllOf(schema.build()));
    if format == Format::Text {
        let codes = codes.join("|");
        let line = text().pattern(Some(format!("^ERROR ({codes}) "))).description(Some("one line"));
        response.content.insert(Format::Text.media_type().to_owned(), ContentBuilder::new().schema(Some(line)).build());
    }
    for (name, _) in errors.iter().filter_map(|error| error.header()) {
        response.headers.insert(name.to_owned(), header(text(), about(name)));
    }
    response
}

/// A response with a JSON body, and the headers that all of them have.
pub fn response(about: &str, schema: impl Into<RefOr<Schema>>) -> Response {
    ResponseBuilder::new()
        .description(about)
        .content(Format::Json.media_type(), ContentBuilder::new().schema(Some(schema)).build())
        .header(names::REQUEST_ID, header(named("RequestId"), "our name of the request"))
        .build()
}

fn about(header: &str) -> &'static str {
    match header {
        "retry-after" => "seconds after which the same request may succeed",
        "www-authenticate" => "how to prove oneself",
        "allow" => "the methods of the path",
        _ => "",
    }
}
