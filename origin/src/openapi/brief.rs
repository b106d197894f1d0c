//! Looking into the document's JSON, and what a schema says in a few words.

use super::html::{escaped, marked};
use serde_json::{Map, Value};

/// A text within a value; empty where there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A list's items; none where there is none.
pub fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

/// An object's members; none where there is none.
pub fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    value.and_then(Value::as_object).into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

/// A schema in a few words: its name, or what it says.
pub fn schema(schema: Option<&Value>) -> String {
    let Some(schema) = schema else { return String::new() };
    if let Some(name) = text(schema, "/$ref").strip_prefix("#/components/schemas/") {
        return format!("<a href=\"#schema-{name}\">{name}</a>", name = escaped(name));
    }
    // An error: its codes stand beside it, with what to do.
    if let Some(all) = list(schema.get("allOf")).next() {
        return self::schema(Some(all));
    }
    let any: Vec<_> = list(schema.get("anyOf")).map(|part| self::schema(Some(part))).collect();
    if !any.is_empty() {
        return any.join(", or ");
    }
    let code = |value: &Value| format!("<code>{}</code>", escaped(value.as_str().unwrap_or(&value.to_string())));
    let words: Vec<_> = list(schema.get("enum")).map(code).collect();
    if !words.is_empty() {
        return words.join(", ");
    }
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => "any".to_owned(),
    };
    let examples: Vec<_> = list(schema.get("examples")).map(code).collect();
    let about = match text(schema, "/description") {
        "" => String::new(),
        about => format!(": {}", marked(about)),
    };
    // An example says more to people than a pattern, which stands among the schemas in full.
    let such = if examples.is_empty() { String::new() } else { format!(", such as {}", examples.join(", ")) };
    format!("{}{such}{about}", escaped(&kinds))
}
