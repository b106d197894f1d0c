//! Reading: from a request's parameters to the canonical postback, or to the reason why not. The one place where a
//! partner's names and words become ours.

use crate::event::Event;
use crate::field::{Field, Kind};
use crate::id::EventId;
use crate::limits::{ID_BYTES_MAX, TIME_AHEAD_S_MAX, TIME_OLD_S};
use crate::money::{Amount, Currency};
use crate::params::{ParamValue, Params};
use crate::partner::{Partner, fold_word};
use crate::postback::{Postback, Value};
use crate::rejection::{Code, Rejection};
use crate::status::Status;
use crate::time::Timestamp;
use crate::zone::Zone;
use std::collections::BTreeMap;

/// Whose names and words a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The partner's, as its file describes them.
    Partner,
    /// Ours: what the edge forwards.
    Canonical,
}

/// Something odd that does not stop a postback; stored with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A time lies more than 180 days back.
    OldTime(Field),
    /// The sender's word for the event cannot be a name; the partner's default event stands in its place.
    UnnamedEvent,
    /// The origin cannot read the original that came beside a canonical postback: edge and origin differ in version.
    UnreadableOriginal,
}

impl Warning {
    /// Stable text: code and field.
    pub fn text(self) -> String {
        match self {
            Warning::OldTime(field) => format!("old_time:{}", field.name()),
            Warning::UnnamedEvent => "unnamed_event:event".to_owned(),
            Warning::UnreadableOriginal => "unreadable_original".to_owned(),
        }
    }
}

/// A postback as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The canonical record.
    pub postback: Postback,
    /// Names that mean nothing to this partner's file: kept in the raw record, never merged.
    pub ignored: Vec<String>,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

impl Partner {
    /// Reads one request that arrived at `received_at`.
    ///
    /// (1) each name finds its field; (2) each text becomes a value; (3) what is absent and has a default gets it;
    /// (4) what must be there is there; (5) amounts and times are possible.
    ///
    /// # Errors
    /// The first thing wrong, with the field under the sender's own name.
    pub fn read(&self, params: &Params, dialect: Dialect, received_at: Timestamp) -> Result<Reading, Rejection> {
        // (1)
        let (sent, ignored) = self.map_names(params, dialect)?;
        // (2)
        let reader = Reader { partner: self, dialect };
        let mut values = BTreeMap::new();
        let mut warnings = Vec::new();
        for (field, (name, text)) in &sent {
            match reader.value(*field, name, text) {
                Ok(value) => drop(values.insert(*field, value)),
                // What a publisher wrote into a free field must not cost a conversion where the partner has a default.
                Err(problem) if problem.code() == Code::InvalidEvent && self.default_event.is_some() => {
                    warnings.push(Warning::UnnamedEvent);
                }
                Err(problem) => return Err(problem),
            }
        }
        // (3)
        self.fill_in(&mut values)?;
        // (4)
        let sender_name = |field: Field| sent.get(&field).map_or(field.name(), |(name, _)| *name);
        if let Some(field) = self.required.iter().find(|field| !values.contains_key(field)) {
            let hint = "this partner's postbacks must carry this field, not empty";
            return Err(Rejection::at(Code::MissingField, self.expected_name(*field, params), hint));
        }
        let postback = Postback::new(&self.code, values)
            .ok_or_else(|| Rejection::at(Code::InvalidId, sender_name(Field::EventId), EVENT_ID_HINT))?;
        // (5)
        warnings.extend(self.check(&postback, received_at, sender_name)?);
        Ok(Reading { postback, ignored, warnings })
    }

    /// Sorts parameters into fields and the rest. Empty values count as absent.
    fn map_names<'p>(&self, params: &'p Params, dialect: Dialect) -> Result<(Sent<'p>, Vec<String>), Rejection> {
        let mut sent = Sent::new();
        let mut ignored = Vec::new();
        for (name, value) in params.iter() {
            let field = match dialect {
                Dialect::Partner => self.field_of(name),
                Dialect::Canonical => Field::parse(name),
            };
            let Some(field) = field else {
                ignored.push(name.to_owned());
                continue;
            };
            let text = match value {
                ParamValue::Text(text) => text.trim_matches(' '),
                ParamValue::Nested => {
                    return Err(Rejection::at(Code::NotScalar, name, "send a string, a number, true or false"));
                }
            };
            if text.is_empty() {
                continue;
            }
            match sent.insert(field, (name, text)) {
                Some((_, other)) if other != text => {
                    let hint = format!("two of the names sent mean {} and differ; send one of them", field.name());
                    return Err(Rejection::at(Code::ConflictingValues, name, hint));
                }
                Some(_) | None => {}
            }
        }
        Ok((sent, ignored))
    }

    fn fill_in(&self, values: &mut BTreeMap<Field, Value>) -> Result<(), Rejection> {
        let canonical = Reader { partner: self, dialect: Dialect::Canonical };
        if let Some(name) = &self.default_event
            && !values.contains_key(&Field::Event)
        {
            values.insert(Field::Event, canonical.value(Field::Event, Field::Event.name(), name)?);
        }
        let has_local_amount = values.contains_key(&Field::SaleAmount) || values.contains_key(&Field::Payout);
        if has_local_amount && let Some(currency) = self.default_currency() {
            values.entry(Field::Currency).or_insert(Value::Currency(currency));
        }
        Ok(())
    }

    fn check<'n>(
        &self,
        postback: &Postback,
        received_at: Timestamp,
        sender_name: impl Fn(Field) -> &'n str,
    ) -> Result<Vec<Warning>, Rejection> {
        let may_be_negative = self.negative_amounts || postback.event().takes_money_back();
        if !may_be_negative && let Some(field) = postback.negative_amounts().next() {
            let hint = "amounts below zero are for refunds and chargebacks";
            return Err(Rejection::at(Code::NegativeAmount, sender_name(field), hint));
        }
        let mut warnings = Vec::new();
        for (field, time) in postback.times() {
            let age_s = received_at.unix_s().saturating_sub(time.unix_s());
            if age_s < TIME_AHEAD_S_MAX.saturating_neg() {
                let hint = "this time is more than 24 hours ahead of now; is its zone or its unit right?";
                return Err(Rejection::at(Code::TimeInFuture, sender_name(field), hint));
            }
            if age_s > TIME_OLD_S {
                warnings.push(Warning::OldTime(field));
            }
        }
        Ok(warnings)
    }

    /// The name under which a sender most likely knows a field: the one it sent (empty), or the first of the file's.
    fn expected_name<'n>(&'n self, field: Field, params: &'n Params) -> &'n str {
        let sent = params.iter().map(|(name, _)| name).find(|name| self.field_of(name) == Some(field));
        sent.unwrap_or(field.name())
    }
}

/// The parameters that mean something: the sender's name and text of each field.
type Sent<'p> = BTreeMap<Field, (&'p str, &'p str)>;

const EVENT_ID_HINT: &str =
    "an event id is 1 to 128 printable ASCII characters without spaces, and not evt_ with 32 hex digits";

/// Turns texts into values, by one dialect.
struct Reader<'a> {
    partner: &'a Partner,
    dialect: Dialect,
}

impl Reader<'_> {
    /// # Errors
    /// The code for what the text is not, under the sender's `name` of the field.
    fn value(&self, field: Field, name: &str, text: &str) -> Result<Value, Rejection> {
        let or =
            |value: Option<Value>, code: Code, hint: &'static str| value.ok_or_else(|| Rejection::at(code, name, hint));
        match field.kind() {
            Kind::Id if field == Field::EventId => {
                or(EventId::given(text).map(|id| Value::Id(id.to_string())), Code::InvalidId, EVENT_ID_HINT)
            }
            Kind::Id => {
                let fits = text.len() <= ID_BYTES_MAX;
                or(fits.then(|| Value::Id(text.to_owned())), Code::InvalidId, "an id has at most 128 bytes")
            }
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Event => or(
                self.event(text).map(Value::Event),
                Code::InvalidEvent,
                "an event's name is letters, digits, spaces, '_', '-' and '.', at most 64",
            ),
            Kind::Status => or(
                self.status(text).map(Value::Status),
                Code::UnknownStatus,
                "this status word is not in the partner's file; ask for it to be added",
            ),
            Kind::Time => or(
                Timestamp::parse(text, self.zone()).map(Value::Time),
                Code::InvalidTime,
                "write a time that exists, such as 2025-01-01 12:00:00 or 2025-01-01T12:00:00Z",
            ),
            Kind::Amount => or(
                Amount::parse(text).map(Value::Amount),
                Code::InvalidAmount,
                "write digits with a decimal point, such as 1234.50: no comma, currency sign or exponent",
            ),
            Kind::Currency => or(
                Currency::parse(text).map(Value::Currency),
                Code::InvalidCurrency,
                "write a three-letter ISO 4217 code, such as USD",
            ),
            Kind::Flag => or(flag(text).map(Value::Flag), Code::InvalidFlag, "write true or false"),
        }
    }

    fn zone(&self) -> &Zone {
        // Canonical times carry `Z`, so the zone decides nothing there.
        &self.partner.zone
    }

    fn event(&self, word: &str) -> Option<Event> {
        let known = match self.dialect {
            Dialect::Partner => self.partner.events.get(&fold_word(word)),
            Dialect::Canonical => None,
        };
        Event::parse(known.map_or(word, String::as_str))
    }

    fn status(&self, word: &str) -> Option<Status> {
        match self.dialect {
            Dialect::Partner => self.partner.statuses.get(&fold_word(word)).copied(),
            Dialect::Canonical => Status::parse(word),
        }
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}
