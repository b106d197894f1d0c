//! The canonical form of a postback: names and texts, as the edge forwards them, the queue holds them and the origin reads them. Every
//! way of writing it is exact: whatever [`crate::partner::Partner::read`] accepts comes back as the same postback (R11). A sender's
//! limits do not apply to it, and neither do the rules of a partner's file: the edge has applied both.

#![deny(clippy::disallowed_methods)]

use crate::field::Field;
use crate::id::EventId;
use crate::postback::{Postback, Value};
use crate::reading::canonical_value;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Names and texts, in canonical order. Names that this version does not know are carried on as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanonicalForm {
    pairs: Vec<(Cow<'static, str>, String)>,
}

/// Why a canonical form is no postback: another version wrote it, or a bug. It names fields, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A name that is no field's.
    Name,
    /// A text that is no value of its field.
    Value(Field),
    /// A name that is there twice.
    Repeated(Field),
    /// The event id inside is not the one that came with it.
    EventId,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Name => f.write_str("a field that this version does not know"),
            Unreadable::Value(field) => write!(f, "a text that is no {}", field.name()),
            Unreadable::Repeated(field) => write!(f, "{} twice", field.name()),
            Unreadable::EventId => f.write_str("an event_id that is not the signed one"),
        }
    }
}

impl From<Postback> for CanonicalForm {
    fn from(postback: Postback) -> Self {
        let text = |value: Value| match value {
            Value::Id(text) | Value::Text(text) => text,
            Value::Event(_)
            | Value::Status(_)
            | Value::Time(_)
            | Value::Amount(_)
            | Value::Currency(_)
            | Value::Flag(_) => value.to_string(),
        };
        let pairs = postback.into_values().into_iter();
        CanonicalForm { pairs: pairs.map(|(field, value)| (Cow::Borrowed(field.name()), text(value))).collect() }
    }
}

impl CanonicalForm {
    /// Names and texts that are canonical already.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> CanonicalForm {
        CanonicalForm { pairs: pairs.into_iter().map(|(name, text)| (Cow::Owned(name), text)).collect() }
    }

    /// Reads what [`CanonicalForm::to_query`] wrote.
    pub fn from_query(query: &str) -> CanonicalForm {
        CanonicalForm::new(form_urlencoded::parse(query.as_bytes()).into_owned())
    }

    /// The form as a query, without `?`.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::with_capacity(512));
        query.extend_pairs(self.iter());
        query.finish()
    }

    /// Names and texts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, text)| (&**name, text.as_str()))
    }

    /// The postback, under the id that the edge has settled: an id that another version derives must not become a second event.
    ///
    /// # Errors
    /// It was written by another version, or there is a bug.
    pub fn into_postback(self, event_id: EventId) -> Result<Postback, Unreadable> {
        let mut values = BTreeMap::new();
        for (name, text) in self.pairs {
            let field = Field::parse(&name).ok_or(Unreadable::Name)?;
            let value = canonical_value(field, text).ok_or(Unreadable::Value(field))?;
            if values.insert(field, value).is_some() {
                return Err(Unreadable::Repeated(field));
            }
        }
        match values.get(&Field::EventId) {
            Some(Value::Id(given)) if given != event_id.as_str() => Err(Unreadable::EventId),
            Some(_) | None => Ok(Postback::of_canonical(event_id, values)),
        }
    }
}

/// A JSON object of strings, so that no reader makes a float of an amount.
impl Serialize for CanonicalForm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.pairs.len()))?;
        for (name, text) in self.iter() {
            map.serialize_entry(name, text)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for CanonicalForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = CanonicalForm;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CanonicalForm, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry::<String, String>()? {
                    pairs.push(pair);
                }
                Ok(CanonicalForm::new(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
