//! What is odd about a postback without stopping it. Warnings are stored with the postback, and operators and partners
//! read them: a stable code, the field, and what to do.

use crate::field::Field;
use std::fmt;

/// Why a postback is worth a second look. The text form is stable, as that of [`crate::rejection::Code`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningCode {
    /// A time lies more than 180 days back.
    OldTime,
    /// The sender's word for the event cannot be a name; the partner's default event stands in its place.
    UnnamedEvent,
    /// The sender's word for the status is not in the partner's file; the status counts as absent.
    UnknownStatus,
    /// A macro was left where a value should be, which counts as absent.
    MacroNotReplaced,
    /// A word for "nothing" was left where a value should be, which counts as absent.
    Placeholder,
    /// A name was damaged by an HTML decoder and has been turned back.
    HtmlDamage,
    /// A value was percent-encoded twice.
    DoubleEncoded,
    /// A name was written in another case than the partner's file has it.
    NameCase,
    /// A value of an optional field could not be read, and counts as absent.
    ValueDropped,
    /// The currency is unknown; amounts in it were left out, beside the dollars that were sent.
    UnknownCurrency,
    /// Invisible characters around a value were taken off.
    InvisibleCharacters,
    /// A parameter was glued to the end of another's value, and was taken apart from it.
    GluedParameter,
    /// An id holds what looks like another parameter, and was kept.
    ParameterInId,
    /// The origin cannot read the original that came beside a canonical postback: edge and origin differ in version.
    UnreadableOriginal,
}

impl WarningCode {
    /// Every code, for documentation and tests that hold the two together.
    pub const ALL: [WarningCode; 14] = [
        WarningCode::OldTime,
        WarningCode::UnnamedEvent,
        WarningCode::UnknownStatus,
        WarningCode::MacroNotReplaced,
        WarningCode::Placeholder,
        WarningCode::HtmlDamage,
        WarningCode::DoubleEncoded,
        WarningCode::NameCase,
        WarningCode::ValueDropped,
        WarningCode::UnknownCurrency,
        WarningCode::InvisibleCharacters,
        WarningCode::GluedParameter,
        WarningCode::ParameterInId,
        WarningCode::UnreadableOriginal,
    ];

    /// The code as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            WarningCode::OldTime => "old_time",
            WarningCode::UnnamedEvent => "unnamed_event",
            WarningCode::UnknownStatus => "unknown_status",
            WarningCode::MacroNotReplaced => "macro_not_replaced",
            WarningCode::Placeholder => "placeholder",
            WarningCode::HtmlDamage => "html_damage",
            WarningCode::DoubleEncoded => "double_encoded",
            WarningCode::NameCase => "name_case",
            WarningCode::ValueDropped => "value_dropped",
            WarningCode::UnknownCurrency => "unknown_currency",
            WarningCode::InvisibleCharacters => "invisible_characters",
            WarningCode::GluedParameter => "glued_parameter",
            WarningCode::ParameterInId => "parameter_in_id",
            WarningCode::UnreadableOriginal => "unreadable_original",
        }
    }

    /// What it means and what to do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            WarningCode::OldTime => "the time lies more than 180 days back; is it the right field, zone and unit?",
            WarningCode::UnnamedEvent => "this word cannot be an event's name; the partner's default event was taken",
            WarningCode::UnknownStatus => {
                "this status word is not in the partner's file, so the status was left open; ask for it to be added"
            }
            WarningCode::MacroNotReplaced => {
                "a macro was left where a value should be, and counts as nothing; check its spelling in the network's list"
            }
            WarningCode::Placeholder => "a word for nothing was left where a value should be, and counts as nothing",
            WarningCode::HtmlDamage => {
                "an HTML decoder took & and the letters behind it for a symbol; it was turned back. Write &amp; where the \
                 URL stands in HTML"
            }
            WarningCode::DoubleEncoded => "the value is percent-encoded twice; encode it once",
            WarningCode::NameCase => "the name was matched without regard to case; write it as documented",
            WarningCode::ValueDropped => {
                "the value could not be read, and the field is optional: it was left out, and the rest counts"
            }
            WarningCode::UnknownCurrency => {
                "the currency could not be read, so amounts in it were left out; the dollars that were sent count"
            }
            WarningCode::InvisibleCharacters => {
                "spaces or characters without a shape around the value were taken off; do not send them"
            }
            WarningCode::GluedParameter => {
                "the parameter stood at the end of another's value and was taken apart from it; separate parameters with &"
            }
            WarningCode::ParameterInId => {
                "the id holds what looks like another parameter. It was kept as it was sent; separate parameters with &"
            }
            WarningCode::UnreadableOriginal => "edge and origin differ in version; deploy both",
        }
    }
}

/// A warning about one field, or about the whole postback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Why.
    pub code: WarningCode,
    /// Where.
    pub field: Option<Field>,
}

impl Warning {
    /// A warning about a field.
    pub fn at(code: WarningCode, field: Field) -> Warning {
        Warning { code, field: Some(field) }
    }
}

/// The stable text, `code` or `code:field`.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "{}:{}", self.code.as_str(), field.name()),
            None => f.write_str(self.code.as_str()),
        }
    }
}
