//! From a field's text to its value.

use crate::event::Event;
use crate::field::{Field, Kind};
use crate::id::{EventId, is_reserved};
use crate::limits::ID_BYTES_MAX;
use crate::money::{Amount, Currency};
use crate::partner::{Partner, fold_word};
use crate::percent;
use crate::postback::Value;
use crate::rejection::Code;
use crate::status::Status;
use crate::time::Timestamp;
use crate::zone::Zone;
use std::sync::LazyLock;

/// Whose words a text uses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words<'a> {
    /// The partner's: its clocks, its vocabularies.
    Partner(&'a Partner),
    /// Ours.
    Canonical,
}

/// Why a text is no value of its field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misread {
    pub code: Code,
    pub hint: &'static str,
    /// Whether it is a name of our own, which no sender may take.
    pub is_reserved: bool,
}

impl Misread {
    pub const fn of(code: Code, hint: &'static str) -> Misread {
        Misread { code, hint, is_reserved: false }
    }
}

pub(super) const EVENT_ID: Misread = Misread::of(
    Code::InvalidId,
    "an event id is 1 to 512 printable ASCII characters without spaces, not evt_ with 32 hex digits, and does not begin \
     with cnv_ or event:",
);
const ORIGINAL_EVENT_ID: Misread = Misread::of(
    Code::InvalidId,
    "this is the event id of an earlier event: 1 to 512 printable ASCII characters without spaces",
);
const CONVERSION_ID: Misread = Misread::of(
    Code::InvalidId,
    "an id has at most 512 bytes, is no rounded number (1.23E+11) and does not begin with cnv_ or event:",
);
const ID: Misread = Misread::of(Code::InvalidId, "an id has at most 512 bytes and is no rounded number (1.23E+11)");

impl Words<'_> {
    /// Reads a text as a value, or says what it is not; percent-decodes it once more where that is the only way to read it.
    /// The flag says whether it was encoded twice.
    pub fn read(self, field: Field, text: &str) -> (Result<Value, Misread>, bool) {
        if !text.contains('%') || matches!(self, Words::Canonical) {
            return (self.value(field, text), false);
        }
        let decoded = percent::decode(text).ok().filter(|decoded| *decoded != text);
        match field.kind() {
            // A percent sign may be meant, and an id must stay what the sender will send again.
            Kind::Id | Kind::Text => (self.value(field, text), decoded.is_some()),
            // None of these has a percent sign, so there is no other way to read it.
            Kind::Event | Kind::Status | Kind::Time | Kind::Amount | Kind::Currency | Kind::Flag => match decoded {
                Some(decoded) => (self.value(field, &decoded), true),
                None => (self.value(field, text), false),
            },
        }
    }

    fn value(self, field: Field, text: &str) -> Result<Value, Misread> {
        let or = |value: Option<Value>, code: Code, hint: &'static str| value.ok_or(Misread::of(code, hint));
        match field.kind() {
            Kind::Id => id(field, text),
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
        static UTC: LazyLock<Zone> = LazyLock::new(Zone::utc);
        match self {
            Words::Partner(partner) => &partner.zone,
            Words::Canonical => &UTC,
        }
    }

    fn event(self, word: &str) -> Option<Event> {
        match self {
            Words::Partner(partner) if !partner.events.is_empty() => {
                Event::parse(partner.events.get(&fold_word(word)).map_or(word, String::as_str))
            }
            Words::Partner(_) | Words::Canonical => Event::parse(word),
        }
    }

    fn status(self, word: &str) -> Option<Status> {
        match self {
            Words::Partner(partner) => partner.statuses.get(&fold_word(word)).copied(),
            Words::Canonical => Status::parse(word),
        }
    }
}

/// Whether a text is a name of our own, which no sender may give for a field.
pub(super) fn is_reserved_for(field: Field, text: &str) -> bool {
    let is_derived = || EventId::parse(text).is_some_and(|id| id.is_derived());
    matches!(field, Field::EventId | Field::ConversionId) && is_reserved(text)
        || field == Field::EventId && is_derived()
}

/// Reads an id, which is kept as it is.
fn id(field: Field, text: &str) -> Result<Value, Misread> {
    let fits = text.len() <= ID_BYTES_MAX && !is_rounded(text);
    let (fits, misread) = if field == Field::EventId {
        (fits && EventId::given(text).is_some(), Misread { is_reserved: is_reserved_for(field, text), ..EVENT_ID })
    } else if field == Field::OriginalEventId {
        // One that we derived may be named: our replies tell it.
        (fits && EventId::parse(text).is_some(), ORIGINAL_EVENT_ID)
    } else if field == Field::ConversionId {
        (fits && !is_reserved(text), Misread { is_reserved: is_reserved_for(field, text), ..CONVERSION_ID })
    } else {
        (fits, ID)
    };
    if fits { Ok(Value::Id(text.to_owned())) } else { Err(misread) }
}

/// Whether an id went through a program that took it for a number, a spreadsheet say: `1.23457E+11` is what is left of many
/// ids, and would make one conversion of theirs. The plus may have arrived as a space.
fn is_rounded(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some(exponent) = exponent.strip_prefix(['+', ' ']) else { return false };
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    whole.len() == 1 && is_digits(whole) && is_digits(fraction) && is_digits(exponent)
}

fn flag(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match (is(["true", "1", "yes"]), is(["false", "0", "no"])) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}
