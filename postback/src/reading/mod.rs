//! Reading: from a request's parameters to the canonical postback, or to the reasons why not. The one place where a
//! partner's names and words become ours.

#![deny(clippy::disallowed_methods)]

mod names;
mod values;
mod warning;

pub use warning::{Warning, WarningCode};

use crate::field::{Field, Kind};
use crate::limits::{TIME_AHEAD_S_MAX, TIME_OLD_S};
use crate::macros::Unfilled;
use crate::params::Params;
use crate::partner::{Partner, UnknownStatus};
use crate::postback::{Postback, Value};
use crate::rejection::{Code, Rejection};
use crate::time::Timestamp;
use names::{Fault, Names, holds_a_parameter};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use values::{EVENT_ID, Misread, Words};

/// A postback as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The canonical record.
    pub postback: Postback,
    /// The sender's own words for event and status, where ours are others (R6).
    pub words: BTreeMap<Field, String>,
    /// Whether the sender, or a constant of the partner's file, says which event it is. Otherwise the event is the partner's
    /// default, which says nothing about a conversion that is known.
    pub names_event: bool,
    /// Names that mean nothing to this partner's file: kept in the raw record, never merged.
    pub ignored: Vec<String>,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

impl Reading {
    /// Of a canonical postback alone. It does not show the sender's own names and words.
    pub fn of_canonical(postback: Postback, names_event: bool) -> Reading {
        Reading { postback, words: BTreeMap::new(), names_event, ignored: Vec::new(), warnings: Vec::new() }
    }
}

/// What was sent for a field: under which name, and the text without outer spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'p> {
    /// The sender's name, repaired where it was damaged.
    pub name: Cow<'p, str>,
    /// The text.
    pub text: &'p str,
}

/// What was sent for a field, could not be read, and costs no more than the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped<'p> {
    /// Why, as it would be refused.
    pub refusal: Rejection,
    /// What was sent.
    pub sources: BTreeSet<Cow<'p, str>>,
}

/// A request looked at to its end, whatever is wrong with it: what [`Partner::read`] decides by, and what a person is
/// shown who asks why.
#[derive(Debug)]
pub struct Examination<'p> {
    /// What was sent for each field.
    pub sent: BTreeMap<Field, Text<'p>>,
    /// What was sent for a field and is no value.
    pub unfilled: BTreeMap<Field, (Unfilled, Text<'p>)>,
    /// The canonical record; when something is wrong, the values that could be read.
    pub outcome: Result<Postback, BTreeMap<Field, Value>>,
    /// As in [`Reading`].
    pub words: BTreeMap<Field, String>,
    /// As in [`Reading`].
    pub ignored: Vec<String>,
    /// As in [`Reading`].
    pub warnings: Vec<Warning>,
    /// What was sent for a field and was left out.
    pub dropped: BTreeMap<Field, Dropped<'p>>,
    /// All that is wrong; the first is what a sender is told.
    pub problems: Vec<Rejection>,
}

impl Examination<'_> {
    /// The canonical text of a field, whether or not something else is wrong.
    pub fn text(&self, field: Field) -> Option<String> {
        match &self.outcome {
            Ok(postback) => postback.text(field),
            Err(values) => values.get(&field).map(ToString::to_string),
        }
    }
}

/// The value of a canonical text. None when it is no value of the field.
pub(crate) fn canonical_value(field: Field, text: String) -> Option<Value> {
    match field.kind() {
        Kind::Text => Some(Value::Text(text)),
        Kind::Id | Kind::Event | Kind::Status | Kind::Time | Kind::Amount | Kind::Currency | Kind::Flag => {
            Words::Canonical.read(field, &text).0.ok()
        }
    }
}

/// The canonical form of a field's text. None when it is no value of the field.
#[cfg(feature = "files")]
pub(crate) fn canonical_text(field: Field, text: &str) -> Option<String> {
    canonical_value(field, text.to_owned()).map(|value| value.to_string())
}

impl Partner {
    /// Reads one request that arrived at `received_at`.
    ///
    /// # Errors
    /// The first thing wrong, with the field under the sender's own name.
    pub fn read(&self, params: &Params<'_>, received_at: Timestamp) -> Result<Reading, Rejection> {
        let Examination { sent, outcome, words, ignored, warnings, problems, .. } = self.examine(params, received_at);
        let is_unnamed = warnings.iter().any(|warning| warning.code == WarningCode::UnnamedEvent);
        let names_event = sent.contains_key(&Field::Event) && !is_unnamed || self.constants.contains_key(&Field::Event);
        match outcome {
            Ok(postback) => Ok(Reading { postback, words, names_event, ignored, warnings }),
            // There is none only where something is wrong.
            Err(_) => Err(problems.into_iter().next().unwrap_or_else(|| Rejection::of(EVENT_ID.code, EVENT_ID.hint))),
        }
    }

    /// Examines one request that arrived at `received_at`, to its end:
    ///
    /// (1) each name finds its field
    /// (2) each text becomes a value
    /// (3) what is constant, or absent and has a default, is filled in
    /// (4) what must be there is there
    /// (5) amounts and times are possible
    pub fn examine<'p>(&self, params: &'p Params<'_>, received_at: Timestamp) -> Examination<'p> {
        // (1)
        let Names { sent, unfilled, ignored, warnings, faults } = Names::of(self, params);
        let mut reader = Reader {
            partner: self,
            sent,
            warnings,
            problems: Vec::new(),
            words: BTreeMap::new(),
            dropped: BTreeMap::new(),
            refused: BTreeSet::new(),
        };
        faults.into_iter().for_each(|fault| reader.take_fault(fault));
        // (2)
        let mut values = reader.values();
        reader.drop_amounts_of_unknown_currency(&mut values);
        reader.warn_of_unfilled(&unfilled);
        // (3)
        reader.fill_in(&mut values);
        // (4)
        reader.require(&values, &unfilled, params);
        self.take_back_refunds(&mut values);
        // (5)
        let dropped = reader.dropped.iter();
        let dropped = dropped.flat_map(|(field, dropped)| dropped.sources.iter().map(|source| (*field, &**source)));
        let outcome = Postback::new(&self.code, values, dropped);
        match &outcome {
            Ok(postback) => reader.check(postback, received_at),
            Err(_) => reader.refuse(Field::EventId, EVENT_ID),
        }
        let Reader { sent, warnings, problems, words, dropped, .. } = reader;
        let outcome =
            outcome.and_then(|postback| if problems.is_empty() { Ok(postback) } else { Err(postback.into_values()) });
        Examination { sent, unfilled, outcome, words, ignored, warnings, dropped, problems }
    }

    /// Makes the amounts of refunds and chargebacks negative, with or without the sign they were written with: money that
    /// goes back must never count as money that came (R49).
    fn take_back_refunds(&self, values: &mut BTreeMap<Field, Value>) {
        let takes_back = matches!(values.get(&Field::Event), Some(Value::Event(event)) if event.takes_money_back());
        if takes_back {
            for value in values.values_mut() {
                if let Value::Amount(amount) = value {
                    *amount = amount.taken_back();
                }
            }
        }
    }

    /// The name under which a sender most likely knows a field: the one it sent (empty), or the canonical one.
    fn expected_name<'n>(&self, field: Field, params: &'n Params<'_>) -> &'n str {
        let sent = params.iter().map(|(name, _)| name).find(|name| self.field_of(name) == Some(field));
        sent.unwrap_or(field.name())
    }
}

/// Amounts in `currency`.
const LOCAL_AMOUNTS: [Field; 2] = [Field::SaleAmount, Field::Payout];
/// Amounts in US dollars.
const DOLLARS: [Field; 2] = [Field::UsdSaleAmount, Field::UsdPayout];

/// One examination on its way.
struct Reader<'a, 'p> {
    partner: &'a Partner,
    sent: BTreeMap<Field, Text<'p>>,
    words: BTreeMap<Field, String>,
    warnings: Vec<Warning>,
    problems: Vec<Rejection>,
    dropped: BTreeMap<Field, Dropped<'p>>,
    /// Fields whose fault was told before any value was looked at.
    refused: BTreeSet<Field>,
}

impl<'p> Reader<'_, 'p> {
    /// A fault that came before any value was looked at. What the same field was sent under another name stays, unless the two differ.
    fn take_fault(&mut self, Fault { field, refusal, sources }: Fault<'p>) {
        let is_conflict = refusal.code() == Code::ConflictingValues;
        let is_reserved = sources.iter().any(|source| values::is_reserved_for(field, source));
        let forgiven = self.forgiven(field, refusal.code()).filter(|_| !is_reserved);
        if let Some(code) = forgiven {
            self.warn(code, field);
        }
        // Whether a currency costs more than itself depends on the amounts.
        if forgiven.is_some() || field == Field::Currency {
            if is_conflict {
                self.sent.remove(&field);
            }
            self.drop_field(field, refusal, sources);
        } else {
            self.refused.insert(field);
            self.problems.push(refusal);
        }
    }

    fn drop_field(&mut self, field: Field, refusal: Rejection, sources: impl IntoIterator<Item = Cow<'p, str>>) {
        let dropped = self.dropped.entry(field).or_insert(Dropped { refusal, sources: BTreeSet::new() });
        dropped.sources.extend(sources);
    }

    fn warn(&mut self, code: WarningCode, field: Field) {
        let warning = Warning::at(code, field);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn values(&mut self) -> BTreeMap<Field, Value> {
        let words = Words::Partner(self.partner);
        let mut values = BTreeMap::new();
        let sent = std::mem::take(&mut self.sent);
        for (&field, Text { name, text }) in &sent {
            let (value, encoded_twice) = words.read(field, text);
            if encoded_twice {
                self.warn(WarningCode::DoubleEncoded, field);
            }
            let misread = match value {
                Ok(value) => {
                    if is_other_word(&value, text) {
                        self.words.insert(field, (*text).to_owned());
                    }
                    if field.kind() == Kind::Id && holds_a_parameter(self.partner, text) {
                        self.warn(WarningCode::ParameterInId, field);
                    }
                    values.insert(field, value);
                    continue;
                }
                Err(misread) => misread,
            };
            let refusal = Rejection::at(misread.code, name, misread.hint);
            match self.forgiven(field, misread.code).filter(|_| !misread.is_reserved) {
                Some(code) => {
                    self.warn(code, field);
                    if code == WarningCode::ValueDropped {
                        self.drop_field(field, refusal, [Cow::Borrowed(*text)]);
                    } else {
                        self.words.insert(field, (*text).to_owned());
                    }
                }
                None if field == Field::Currency => self.drop_field(field, refusal, [Cow::Borrowed(*text)]),
                None => self.problems.push(refusal),
            }
        }
        self.sent = sent;
        values
    }

    /// An unknown currency costs the amounts in it where dollars were sent, and nothing where there are no such amounts. Elsewhere nobody
    /// knows what the amounts are.
    fn drop_amounts_of_unknown_currency(&mut self, values: &mut BTreeMap<Field, Value>) {
        let Some(Dropped { refusal, .. }) = self.dropped.get(&Field::Currency).cloned() else { return };
        let local: Vec<_> = LOCAL_AMOUNTS.into_iter().filter(|field| values.contains_key(field)).collect();
        let has_dollars = DOLLARS.iter().any(|field| values.contains_key(field));
        let is_required = |field: &Field| self.partner.required.contains(field);
        if is_required(&Field::Currency) || !local.is_empty() && !has_dollars || local.iter().any(is_required) {
            self.problems.push(refusal);
            return;
        }
        self.warn(
            if local.is_empty() { WarningCode::ValueDropped } else { WarningCode::UnknownCurrency },
            Field::Currency,
        );
        // One that was sent under another name may be the wrong one.
        values.remove(&Field::Currency);
        for field in local {
            let source = values.remove(&field).map(|value| Cow::Owned(value.to_string()));
            self.drop_field(field, refusal.clone(), source);
            self.warn(WarningCode::UnknownCurrency, field);
        }
    }

    /// The warning that a word of the sender's costs instead of the postback: what a publisher wrote into a free field,
    /// or a status that a network invented yesterday, must not cost a conversion where the partner's file says so.
    fn forgiven(&self, field: Field, code: Code) -> Option<WarningCode> {
        let partner = self.partner;
        let is_optional = !partner.required.contains(&field);
        // Two events, or two states, are a contradiction that nobody but the sender can solve.
        let is_contradiction = matches!(code, Code::ConflictingValues | Code::DuplicateParam);
        match field.kind() {
            Kind::Id | Kind::Text | Kind::Flag => is_optional.then_some(WarningCode::ValueDropped),
            Kind::Event => (partner.default_event.is_some() && !is_contradiction).then_some(WarningCode::UnnamedEvent),
            Kind::Status => {
                let flags = partner.unknown_status == UnknownStatus::Flag && is_optional && !is_contradiction;
                flags.then_some(WarningCode::UnknownStatus)
            }
            Kind::Time | Kind::Amount | Kind::Currency => None,
        }
    }

    fn warn_of_unfilled(&mut self, unfilled: &BTreeMap<Field, (Unfilled, Text<'_>)>) {
        for (field, (why, _)) in unfilled {
            // Refused in a moment, and told once.
            if self.partner.required.contains(field) && !self.sent.contains_key(field) {
                continue;
            }
            let code = match why {
                Unfilled::Macro => WarningCode::MacroNotReplaced,
                Unfilled::Placeholder => WarningCode::Placeholder,
            };
            self.warnings.push(Warning::at(code, *field));
        }
    }

    fn fill_in(&mut self, values: &mut BTreeMap<Field, Value>) {
        let fill = |values: &mut BTreeMap<Field, Value>, field: Field, text: &str| {
            // The file's texts were read when the program was built.
            if let (false, (Ok(value), _)) = (values.contains_key(&field), Words::Canonical.read(field, text)) {
                values.insert(field, value);
            }
        };
        for (field, text) in &self.partner.constants {
            fill(values, *field, text);
        }
        if let Some(name) = &self.partner.default_event {
            fill(values, Field::Event, name);
        }
        let has_local_amount = values.contains_key(&Field::SaleAmount) || values.contains_key(&Field::Payout);
        if has_local_amount && let Some(currency) = &self.partner.currency {
            // A currency that was sent and could not be read is not replaced by another.
            if !self.sent.contains_key(&Field::Currency) && !self.dropped.contains_key(&Field::Currency) {
                fill(values, Field::Currency, currency);
            }
        }
    }

    fn require(
        &mut self,
        values: &BTreeMap<Field, Value>,
        unfilled: &BTreeMap<Field, (Unfilled, Text<'_>)>,
        params: &Params<'_>,
    ) {
        for field in &self.partner.required {
            // What was sent and could not be read has been told already.
            if values.contains_key(field) || self.sent.contains_key(field) || self.refused.contains(field) {
                continue;
            }
            self.problems.push(match unfilled.get(field) {
                Some((_, Text { name, .. })) => Rejection::at(
                    Code::MacroNotReplaced,
                    name,
                    "a macro or placeholder was left where this partner's postbacks need a value; check its spelling in the \
                     network's list of macros",
                ),
                None => Rejection::at(
                    Code::MissingField,
                    self.partner.expected_name(*field, params),
                    "this partner's postbacks must carry this field, not empty",
                ),
            });
        }
    }

    fn check(&mut self, postback: &Postback, received_at: Timestamp) {
        let may_be_negative = self.partner.negative_amounts || postback.event().takes_money_back();
        for (field, amount) in postback.amounts() {
            if amount.is_negative() && !may_be_negative {
                let hint = "amounts below zero are for refunds and chargebacks";
                self.refuse(field, Misread::of(Code::NegativeAmount, hint));
            }
            if amount.magnitude() > self.partner.amount_max {
                let hint =
                    "this amount is larger than any of this partner's can be; is its unit right, and its currency?";
                self.refuse(field, Misread::of(Code::AmountTooLarge, hint));
            }
        }
        for (field, time) in postback.times() {
            let age_s = received_at.unix_s().saturating_sub(time.unix_s());
            if age_s < TIME_AHEAD_S_MAX.saturating_neg() {
                let hint = "this time is more than 24 hours ahead of now; is its zone or its unit right?";
                self.refuse(field, Misread::of(Code::TimeInFuture, hint));
            }
            if age_s > TIME_OLD_S {
                self.warnings.push(Warning::at(WarningCode::OldTime, field));
            }
        }
    }

    /// Notes a problem under the sender's name of the field.
    fn refuse(&mut self, field: Field, Misread { code, hint, .. }: Misread) {
        let name = self.sent.get(&field).map_or(field.name(), |text| &text.name);
        self.problems.push(Rejection::at(code, name, hint));
    }
}

/// Whether a sender's word for an event or a status is not ours.
fn is_other_word(value: &Value, text: &str) -> bool {
    match value {
        Value::Event(event) => event.name() != text,
        Value::Status(status) => status.name() != text,
        Value::Id(_) | Value::Text(_) | Value::Time(_) | Value::Amount(_) | Value::Currency(_) | Value::Flag(_) => {
            false
        }
    }
}
