//! The canonical postback: our names, UTC times, exact amounts. It is what the edge forwards and the origin stores, and
//! reading its written form again gives the same postback (R11).

#![deny(clippy::disallowed_methods)]

use crate::event::Event;
use crate::field::{Field, Kind};
use crate::id::{ContentDigest, EventId, OWN_CONVERSION_PREFIX};
use crate::money::{Amount, Currency};
use crate::status::Status;
use crate::time::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The value of one field, of the type that [`Field::kind`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An identifier.
    Id(String),
    /// Words.
    Text(String),
    /// What happened.
    Event(Event),
    /// A conversion's standing.
    Status(Status),
    /// An instant.
    Time(Timestamp),
    /// An exact decimal.
    Amount(Amount),
    /// ISO 4217.
    Currency(Currency),
    /// Yes or no.
    Flag(bool),
}

/// The canonical text.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Id(text) | Value::Text(text) => f.write_str(text),
            Value::Event(event) => event.fmt(f),
            Value::Status(status) => status.fmt(f),
            Value::Time(time) => time.fmt(f),
            Value::Amount(amount) => amount.fmt(f),
            Value::Currency(currency) => f.write_str(currency.code()),
            Value::Flag(flag) => flag.fmt(f),
        }
    }
}

impl Value {
    /// The canonical text, borrowed where the value is one.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Id(text) | Value::Text(text) => Cow::Borrowed(text),
            Value::Event(event) => Cow::Borrowed(event.name()),
            Value::Status(status) => Cow::Borrowed(status.name()),
            Value::Currency(currency) => Cow::Borrowed(currency.code()),
            Value::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Value::Time(_) | Value::Amount(_) => {
                let mut text = String::with_capacity(32);
                // Writing to a String cannot fail.
                let _ = write!(text, "{self}");
                Cow::Owned(text)
            }
        }
    }
}

/// The fields whose change under one event id is a contradiction and not an addition (R47): what happened, to whom, and
/// for how much.
const IDENTITY: [Field; 11] = [
    Field::Event,
    Field::ClickId,
    Field::ConversionId,
    Field::OriginalEventId,
    Field::AccountId,
    Field::Status,
    Field::SaleAmount,
    Field::Payout,
    Field::Currency,
    Field::UsdSaleAmount,
    Field::UsdPayout,
];

/// One event as a partner reported it, in canonical form. Made by [`crate::partner::Partner::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postback {
    event_id: EventId,
    values: BTreeMap<Field, Value>,
}

impl Postback {
    /// A postback of checked values. Its id is the one the sender gave, or follows from its content. `dropped` is what was sent and
    /// could not be read: it tells events apart that are alike in all that could be.
    ///
    /// # Errors
    /// The values, when the id that was given is none.
    pub(crate) fn new<'d>(
        partner_code: &str,
        values: BTreeMap<Field, Value>,
        dropped: impl Iterator<Item = (Field, &'d str)>,
    ) -> Result<Postback, BTreeMap<Field, Value>> {
        let event_id = match values.get(&Field::EventId) {
            Some(given) => EventId::given(&given.to_string()),
            None => {
                let mut digest = digest("bytec-event-v1", partner_code, values.iter());
                for (field, source) in dropped {
                    digest.add("dropped");
                    digest.add(field.name());
                    digest.add(source);
                }
                Some(EventId::derived(digest))
            }
        };
        match event_id {
            Some(event_id) => Ok(Postback { event_id, values }),
            None => Err(values),
        }
    }

    /// A postback whose id another party has settled.
    pub(crate) fn of_canonical(event_id: EventId, values: BTreeMap<Field, Value>) -> Postback {
        Postback { event_id, values }
    }

    /// The values without their identity.
    pub(crate) fn into_values(self) -> BTreeMap<Field, Value> {
        self.values
    }

    /// Whether all values are the same, whatever the ids of the events.
    pub fn says_the_same(&self, other: &Postback) -> bool {
        self.values == other.values
    }

    /// The identity of the event within its partner.
    pub fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// The conversion that the event belongs to: the partner's id, or, where it names none, one that stands for the event
    /// alone. Kept apart by its beginning, because a partner may count events and conversions alike.
    pub fn conversion_id(&self) -> Cow<'_, str> {
        match self.id(Field::ConversionId) {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(format!("{OWN_CONVERSION_PREFIX}{}", self.event_id)),
        }
    }

    /// What happened.
    pub fn event(&self) -> &Event {
        match self.values.get(&Field::Event) {
            Some(Value::Event(event)) => event,
            // Reading puts an event into every postback that a partner's file lets through without one.
            Some(_) | None => &Event::Conversion,
        }
    }

    /// Where the conversion stands.
    pub fn status(&self) -> Option<Status> {
        match self.values.get(&Field::Status) {
            Some(Value::Status(status)) => Some(*status),
            Some(_) | None => None,
        }
    }

    /// The canonical text of a field.
    pub fn text(&self, field: Field) -> Option<String> {
        self.values.get(&field).map(ToString::to_string)
    }

    /// An identifier.
    pub fn id(&self, field: Field) -> Option<&str> {
        match self.values.get(&field) {
            Some(Value::Id(text) | Value::Text(text)) => Some(text),
            Some(_) | None => None,
        }
    }

    /// An amount.
    pub fn amount(&self, field: Field) -> Option<Amount> {
        match self.values.get(&field) {
            Some(Value::Amount(amount)) => Some(*amount),
            Some(_) | None => None,
        }
    }

    /// An instant.
    pub fn time(&self, field: Field) -> Option<Timestamp> {
        match self.values.get(&field) {
            Some(Value::Time(time)) => Some(*time),
            Some(_) | None => None,
        }
    }

    /// A yes or no.
    pub fn flag(&self, field: Field) -> Option<bool> {
        match self.values.get(&field) {
            Some(Value::Flag(flag)) => Some(*flag),
            Some(_) | None => None,
        }
    }

    /// Canonical names and texts, in canonical order.
    pub fn fields(&self) -> impl Iterator<Item = (Field, String)> {
        self.values.iter().map(|(field, value)| (*field, value.to_string()))
    }

    /// The canonical form as a query, without `?`.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::with_capacity(512));
        for (field, value) in &self.values {
            query.append_pair(field.name(), &value.text());
        }
        query.finish()
    }

    /// The canonical form as a JSON object; every value is a string, so that no reader makes a float of an amount.
    pub fn to_json(&self) -> serde_json::Value {
        self.fields().map(|(field, text)| (field.name().to_owned(), serde_json::Value::String(text))).collect()
    }

    /// What must not differ between two requests of one event id: lower-case hex SHA-256.
    pub fn fingerprint(&self) -> String {
        let identity = self.values.iter().filter(|(field, _)| IDENTITY.contains(field));
        digest("bytec-fingerprint-v1", "", identity).into_hex()
    }

    /// The amounts it names.
    pub(crate) fn amounts(&self) -> impl Iterator<Item = (Field, Amount)> {
        self.values.iter().filter_map(|(field, value)| match value {
            Value::Amount(amount) => Some((*field, *amount)),
            Value::Id(_)
            | Value::Text(_)
            | Value::Event(_)
            | Value::Status(_)
            | Value::Time(_)
            | Value::Currency(_)
            | Value::Flag(_) => None,
        })
    }

    /// The instants it names.
    pub(crate) fn times(&self) -> impl Iterator<Item = (Field, Timestamp)> {
        Field::ALL
            .iter()
            .filter(|field| field.kind() == Kind::Time)
            .filter_map(|field| self.time(*field).map(|time| (*field, time)))
    }
}

/// A digest of fields and their canonical texts.
fn digest<'a>(purpose: &str, scope: &str, values: impl Iterator<Item = (&'a Field, &'a Value)>) -> ContentDigest {
    let mut digest = ContentDigest::of(purpose);
    digest.add(scope);
    for (field, value) in values {
        digest.add(field.name());
        digest.add(&value.text());
    }
    digest
}
