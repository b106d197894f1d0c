//! What the document is made of, in short words.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue};
use utoipa::openapi::{Header, HttpMethod, PathItem, Ref, RefOr, Required, Response, ResponseBuilder, Schema};

/// The tags, in the document's order.
pub const POSTBACKS: &str = "postbacks";
pub const QUESTIONS: &str = "questions";
pub const STANDING: &str = "standing";

/// A text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A text of this form (ECMA 262).
pub fn of_form(pattern: &str) -> ObjectBuilder {
    text().pattern(Some(pattern))
}

/// One of these texts.
pub fn one_of(words: &[&str]) -> ObjectBuilder {
    text().enum_values(Some(words.iter().copied()))
}

/// A value of any of these types.
pub fn of_types(types: &[Type]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter(types.iter().cloned()))
}

/// A value, or a text of nothing but spaces, which counts as absent.
pub fn or_blank(value: impl Into<RefOr<Schema>>) -> Schema {
    Schema::AnyOf(
        AnyOfBuilder::new()
            .item(value)
            .item(of_form("^ *$").description(Some("nothing, which counts as absent")))
            .build(),
    )
}

/// The schema of a name.
pub fn named(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// A parameter of the query.
pub fn in_query(name: &str, about: &str, is_required: bool, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(if is_required { Required::True } else { Required::False })
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

/// A header of a response.
pub fn header(schema: impl Into<RefOr<Schema>>, about: &str) -> Header {
    HeaderBuilder::new().schema(schema).description(Some(about)).build()
}

/// A secret in a header.
pub fn header_key(name: &str, about: &str) -> ApiKey {
    ApiKey::Header(ApiKeyValue::with_description(name, about))
}

/// A secret in the query.
pub fn query_key(name: &str, about: &str) -> ApiKey {
    ApiKey::Query(ApiKeyValue::with_description(name, about))
}

/// A path's GET, and its HEAD, which is answered with the head of what GET gets.
pub fn get_and_head(operation: &Operation) -> PathItem {
    let mut head = operation.clone();
    head.operation_id = head.operation_id.map(|id| format!("{id}-head"));
    head.summary = head.summary.map(|summary| format!("{summary} The head alone."));
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    let mut item = PathItem::new(HttpMethod::Get, operation.clone());
    item.head = Some(head);
    item
}

/// An operation without parameters and answers.
pub fn operation(tag: &str, id: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().tag(tag).operation_id(Some(id)).summary(Some(summary))
}

/// A response without a body.
pub fn empty(about: &str) -> Response {
    ResponseBuilder::new().description(about).build()
}
