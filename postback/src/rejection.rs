//! What is wrong with a sender's input: a stable code, the field in the sender's own words, and a hint to act on.
//! Knows nothing of HTTP; edge and origin each map a rejection to a status in one file of theirs.

use std::borrow::Cow;
use std::fmt;

/// Stands for the field where a name cannot be told because the name itself is wrong.
pub(crate) const NAME_ITSELF: &str = "(name)";

/// Why input was refused. The text form is a promise to partners: it may be added to, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A `%` that two hexadecimal digits do not follow.
    BadPercent,
    /// Bytes that are not UTF-8 once decoded.
    BadUtf8,
    /// A control character, such as a line feed.
    ControlChar,
    /// One name with two different values.
    DuplicateParam,
    /// More parameters than [`crate::limits::PARAMS_MAX`].
    TooManyParams,
    /// A name longer than [`crate::limits::PARAM_NAME_BYTES_MAX`].
    NameTooLong,
    /// A value longer than [`crate::limits::PARAM_VALUE_BYTES_MAX`].
    ValueTooLong,
    /// A body that is neither form nor JSON.
    UnsupportedBody,
    /// A body that says it is JSON and is not one JSON object.
    MalformedJson,
    /// A JSON body nested deeper than [`crate::limits::JSON_DEPTH_MAX`].
    JsonTooDeep,
    /// An object or array where a single value is meant.
    NotScalar,
    /// A field that this partner must send is absent or empty.
    MissingField,
    /// A field that this partner must send holds a macro that was not expanded, or a word for nothing.
    MacroNotReplaced,
    /// A path that cannot be signed, because it could be read two ways.
    BadPath,
    /// A signature in headers and another in the query.
    TwoSignatures,
    /// Two names of the sender's mean the same field and carry different values.
    ConflictingValues,
    /// An identifier that is too long or, for an event id, not printable ASCII.
    InvalidId,
    /// A text that is no time, or a time that does not exist.
    InvalidTime,
    /// A time more than [`crate::limits::TIME_AHEAD_S_MAX`] ahead of its arrival.
    TimeInFuture,
    /// An amount that is not plain decimal digits with an optional point.
    InvalidAmount,
    /// An amount below zero where neither event nor partner allows it.
    NegativeAmount,
    /// An amount of a larger magnitude than the partner's file allows.
    AmountTooLarge,
    /// Not an ISO 4217 currency code.
    InvalidCurrency,
    /// A status word that the partner's file does not translate.
    UnknownStatus,
    /// An event word that cannot be an event's name.
    InvalidEvent,
    /// Not one of `true`, `false`, `1`, `0`, `yes`, `no`.
    InvalidFlag,
}

impl Code {
    /// Every code, for documentation and tests that hold the two together.
    pub const ALL: [Code; 26] = [
        Code::BadPercent,
        Code::BadUtf8,
        Code::ControlChar,
        Code::DuplicateParam,
        Code::TooManyParams,
        Code::NameTooLong,
        Code::ValueTooLong,
        Code::UnsupportedBody,
        Code::MalformedJson,
        Code::JsonTooDeep,
        Code::NotScalar,
        Code::MissingField,
        Code::MacroNotReplaced,
        Code::BadPath,
        Code::TwoSignatures,
        Code::ConflictingValues,
        Code::InvalidId,
        Code::InvalidTime,
        Code::TimeInFuture,
        Code::InvalidAmount,
        Code::NegativeAmount,
        Code::AmountTooLarge,
        Code::InvalidCurrency,
        Code::UnknownStatus,
        Code::InvalidEvent,
        Code::InvalidFlag,
    ];

    /// The code as it stands in replies, logs and docs/api.md.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::BadPercent => "bad_percent",
            Code::BadUtf8 => "bad_utf8",
            Code::ControlChar => "control_char",
            Code::DuplicateParam => "duplicate_param",
            Code::TooManyParams => "too_many_params",
            Code::NameTooLong => "name_too_long",
            Code::ValueTooLong => "value_too_long",
            Code::UnsupportedBody => "unsupported_body",
            Code::MalformedJson => "malformed_json",
            Code::JsonTooDeep => "json_too_deep",
            Code::NotScalar => "not_scalar",
            Code::MissingField => "missing_field",
            Code::MacroNotReplaced => "macro_not_replaced",
            Code::BadPath => "bad_path",
            Code::TwoSignatures => "two_signatures",
            Code::ConflictingValues => "conflicting_values",
            Code::InvalidId => "invalid_id",
            Code::InvalidTime => "invalid_time",
            Code::TimeInFuture => "time_in_future",
            Code::InvalidAmount => "invalid_amount",
            Code::NegativeAmount => "negative_amount",
            Code::AmountTooLarge => "amount_too_large",
            Code::InvalidCurrency => "invalid_currency",
            Code::UnknownStatus => "unknown_status",
            Code::InvalidEvent => "invalid_event",
            Code::InvalidFlag => "invalid_flag",
        }
    }
}

/// Input refused: nothing of it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    code: Code,
    field: Option<String>,
    hint: Cow<'static, str>,
}

impl Rejection {
    /// A refusal of the request as a whole.
    pub fn of(code: Code, hint: impl Into<Cow<'static, str>>) -> Self {
        Rejection { code, field: None, hint: hint.into() }
    }

    /// A refusal of one field, named as the sender named it. A name that is not plain is not repeated to the sender.
    pub fn at(code: Code, field: &str, hint: impl Into<Cow<'static, str>>) -> Self {
        let plain = field == NAME_ITSELF || field.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let field = if plain && field.len() <= crate::limits::PARAM_NAME_BYTES_MAX { field } else { "(unprintable)" };
        Rejection { code, field: Some(field.to_owned()), hint: hint.into() }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sender's name of the field, where one field is at fault.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What to do about it, without anything the sender sent.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{} in {field}: {}", self.code.as_str(), self.hint),
            None => write!(f, "{}: {}", self.code.as_str(), self.hint),
        }
    }
}

impl std::error::Error for Rejection {}
