//! `/postback/{endpoint}` and `/partner/{endpoint}` of one partner: its names, what it must send, what it is answered.

use super::answers::{of_postbacks, response};
use super::fields::{self, as_json, as_text};
use super::parts::{self, empty, header, in_query, named, one_of, text};
use super::scheme;
use postback::field::Field;
use postback::limits::{PARAM_NAME_BYTES_MAX, PARAMS_MAX};
use postback::message_signature::header as names;
use postback::partner::{AuthMode, Partner};
use postback::reply::Format;
use postback::verdict::Verdict;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ComponentsBuilder, HttpMethod, PathItem, RefOr, Required, Schema};

const STORED: &str = "Stored";
const FORM: &str = "application/x-www-form-urlencoded";

/// The partner's paths: the one for now, and the one of older links.
pub fn paths(partner: &Partner) -> Vec<(String, PathItem)> {
    if !partner.is_active {
        return Vec::new();
    }
    let prefixes: &[&str] = if partner.endpoint.is_empty() { &["postback"] } else { &["postback", "partner"] };
    let path = |prefix: &str| format!("/{prefix}/{}", partner.endpoint).trim_end_matches('/').to_owned();
    prefixes.iter().map(|prefix| (path(prefix), item(partner, prefix))).collect()
}

/// The bodies that the partner may send, and what is answered.
pub fn components(components: ComponentsBuilder, partner: &Partner) -> ComponentsBuilder {
    let verdicts = [Verdict::Created, Verdict::Duplicate, Verdict::Revised].map(Verdict::name);
    let stored = ObjectBuilder::new()
        .property("status", one_of(&["ok"]))
        .property(
            "idempotent",
            ObjectBuilder::new().schema_type(Type::Boolean).description(Some("whether it was known")),
        )
        .property("verdict", one_of(&verdicts))
        .property("event_id", text())
        .property("request_id", named("RequestId"));
    let stored =
        ["status", "idempotent", "verdict", "event_id", "request_id"].into_iter().fold(stored, ObjectBuilder::required);
    let components = of_postbacks(partner.reply).components(components.schema(STORED, stored));
    if !partner.is_active {
        return components;
    }
    components
        .schema(
            body(partner, "Json"),
            object(partner, as_json).description(Some("objects and arrays only under names that are ignored")),
        )
        .schema(
            body(partner, "Form"),
            object(partner, as_text).additional_properties(Some(Schema::Object(text().build()))),
        )
}

/// The name of a body's schema.
fn body(partner: &Partner, form: &str) -> String {
    format!("{}.{form}", partner.code)
}

fn object(partner: &Partner, schema: fn(&Partner, Field) -> RefOr<Schema>) -> ObjectBuilder {
    let fields = Field::ALL.iter().map(|field| (name_of(partner, *field), schema(partner, *field)));
    let object = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .max_properties(Some(PARAMS_MAX))
        .property_names(Some(a_name()));
    let object = fields.fold(object, |object, (name, schema)| object.property(name, schema));
    partner.required.iter().fold(object, |object, field| object.required(name_of(partner, *field)))
}

/// What any parameter may be called.
fn a_name() -> Object {
    parts::of_form(fields::CLEAN).max_length(Some(PARAM_NAME_BYTES_MAX)).build()
}

/// The name of a field at this partner: the canonical one, unless the partner's file gives that another meaning.
fn name_of(partner: &Partner, field: Field) -> &str {
    if partner.field_of(field.name()) == Some(field) {
        return field.name();
    }
    partner.aliases.iter().find(|(_, meant)| **meant == field).map_or(field.name(), |(name, _)| name)
}

fn item(partner: &Partner, prefix: &str) -> PathItem {
    let get = Field::ALL.iter().fold(operation(partner, prefix, "get"), |operation, field| {
        let (name, schema) = (name_of(partner, *field), as_text(partner, *field));
        operation.parameter(in_query(name, &about(partner, *field), partner.required.contains(field), schema))
    });
    let content = |form| ContentBuilder::new().schema(Some(named(&body(partner, form)))).build();
    let sent = RequestBodyBuilder::new()
        .description(Some("The query may have parameters, too, and wins where a name stands in both."))
        .required(Some(Required::True))
        .content(Format::Json.media_type(), content("Json"))
        .content(FORM, content("Form"))
        .build();
    let post = operation(partner, prefix, "post").request_body(Some(sent));
    let probe = parts::operation(parts::POSTBACKS, &id(partner, prefix, "head"), "A probe: records nothing.")
        .response("200", empty("the endpoint is there"));
    let mut item = PathItem::new(HttpMethod::Get, get);
    item.post = Some(post.build());
    item.head = Some(probe.build());
    item
}

fn id(partner: &Partner, prefix: &str, method: &str) -> String {
    format!("{}-{prefix}-{method}", partner.code)
}

fn operation(partner: &Partner, prefix: &str, method: &str) -> OperationBuilder {
    let summary = match prefix {
        "partner" => format!("An event of {}'s, at the path of older links.", partner.name),
        _ => format!("An event of {}'s.", partner.name),
    };
    let operation = parts::operation(parts::POSTBACKS, &id(partner, prefix, method), &summary)
        .description(Some(
            "Stored once, however often it is sent. Names that mean nothing are kept and have no effect. From the edge, the answer \
             carries `Bytec-Ack`, and of `Prefer: return=minimal` no body.",
        ))
        .securities(Some(proofs(partner)));
    of_postbacks(partner.reply).end(operation.response("200", stored(partner)))
}

fn stored(partner: &Partner) -> utoipa::openapi::Response {
    let mut stored = response("Committed in the partner's database.", named(STORED));
    if partner.reply == Format::Text {
        let ok = ContentBuilder::new().schema(Some(one_of(&["OK"]))).build();
        stored.content.insert(Format::Text.media_type().to_owned(), ok);
    }
    stored
        .headers
        .insert(names::EVENT_ID.to_owned(), header(text(), "the event's id: yours, or the one that we derived"));
    let verdicts = [Verdict::Created, Verdict::Duplicate, Verdict::Revised].map(Verdict::name);
    stored.headers.insert(names::VERDICT.to_owned(), header(one_of(&verdicts), "what became of it"));
    stored
}

/// What proves a sender: any one of these.
fn proofs(partner: &Partner) -> Vec<SecurityRequirement> {
    let none: [&str; 0] = [];
    let with_token = |token: &str| {
        let requirement = SecurityRequirement::new(token, none);
        let signs = partner.auth.contains(&AuthMode::Signature);
        if signs { requirement.add(scheme::PARTNER_SIGNATURE, none) } else { requirement }
    };
    vec![
        with_token(scheme::TOKEN),
        with_token(scheme::TOKEN_PARAM),
        SecurityRequirement::new(scheme::EDGE_SIGNATURE, none),
    ]
}

/// What a field means, and by which other names the partner may call it.
fn about(partner: &Partner, field: Field) -> String {
    let also =
        partner.aliases.iter().filter(|(name, meant)| **meant == field && name.as_str() != name_of(partner, field));
    let also: Vec<_> = also.map(|(name, _)| format!("`{name}`")).collect();
    match (partner.constants.get(&field), also.is_empty()) {
        (Some(value), _) => format!("{} Always `{value}` here, whatever is sent.", field.about()),
        (None, true) => field.about().to_owned(),
        (None, false) => format!("{} Also read from {}.", field.about(), also.join(", ")),
    }
}
