//! From a sender's names to our fields: aliases, names in another case, names that an HTML decoder damaged, and values
//! that are none.

use super::Text;
use super::values::Words;
use super::warning::{Warning, WarningCode};
use crate::field::{Field, Kind};
use crate::html;
use crate::invisible::trimmed;
use crate::limits::{PARAM_VALUE_BYTES_MAX, PARAMS_MAX};
use crate::macros::{Unfilled, is_percent_macro, unfilled};
use crate::params::{ParamValue, Params, Unreadable, glued_credential, is_proof, shown};
use crate::partner::Partner;
use crate::percent::damage;
use crate::rejection::{Code, Rejection};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A request's parameters, sorted.
#[derive(Debug, Default)]
pub(super) struct Names<'p> {
    /// What was sent for each field.
    pub sent: BTreeMap<Field, Text<'p>>,
    /// What was sent for a field and is no value.
    pub unfilled: BTreeMap<Field, (Unfilled, Text<'p>)>,
    /// Names that mean nothing to the partner.
    pub ignored: Vec<String>,
    pub warnings: Vec<Warning>,
    /// What was sent for a field and cannot be read, in the order of the request.
    pub faults: Vec<Fault<'p>>,
}

/// A fault in what was sent for a field.
#[derive(Debug)]
pub(super) struct Fault<'p> {
    pub field: Field,
    /// The refusal, should the field be one that must be read.
    pub refusal: Rejection,
    /// What was sent.
    pub sources: BTreeSet<Cow<'p, str>>,
}

impl<'p> Names<'p> {
    /// Sorts parameters. Empty values count as absent.
    pub fn of(partner: &Partner, params: &'p Params<'_>) -> Names<'p> {
        let mut names = Names::default();
        for (name, value) in params.iter() {
            match value {
                ParamValue::Text(text) => names.sort(partner, name, text, params.unencoded_equals(name)),
                ParamValue::Unreadable(unreadable) => names.sort_unreadable(partner, name, unreadable),
            }
        }
        names
    }

    /// Sorts a parameter whose value cannot be read, and those that were glued to it: what can be read of these costs nothing.
    fn sort_unreadable(&mut self, partner: &Partner, name: &'p str, unreadable: &'p Unreadable<'_>) {
        let Unreadable { refusal, sources } = unreadable;
        let is_repeated = refusal.code() == Code::DuplicateParam;
        let may_be_glued = find(partner, name).is_some_and(|found| found.field.kind() != Kind::Text);
        let mut is_glued = false;
        // In JSON nothing is glued.
        for source in sources.iter().filter(|source| may_be_glued && !source.starts_with(['"', '{', '['])) {
            let mut part: (Cow<'p, str>, &'p str) = (Cow::Borrowed(name), source);
            for _ in 0..PARAMS_MAX {
                let equals: Vec<_> = part.1.match_indices('=').map(|(place, _)| place).collect();
                let glued = html::glued(part.1, &equals, &html::SEPARATORS, |name| is_known(partner, name));
                let Some(glued) = glued else { break };
                is_glued = true;
                let before = std::mem::replace(&mut part, (Cow::Owned(glued.name), glued.value));
                self.sort_raw(partner, before.0, glued.before, refusal, is_repeated);
                if let Some(found) = find(partner, &part.0) {
                    self.warn(WarningCode::GluedParameter, found.field);
                }
            }
            if is_glued {
                self.sort_raw(partner, part.0, part.1, refusal, is_repeated);
            }
        }
        if !is_glued {
            self.put_unreadable(
                partner,
                name,
                refusal.clone(),
                sources.iter().map(|source| Cow::Borrowed(&**source)).collect(),
            );
        }
    }

    /// Sorts a part of a value that could not be read: it may be the one that can.
    fn sort_raw(
        &mut self,
        partner: &Partner,
        name: Cow<'p, str>,
        raw: &'p str,
        refusal: &Rejection,
        is_repeated: bool,
    ) {
        let is_plain = !raw.contains(['%', '+']) && raw.len() <= PARAM_VALUE_BYTES_MAX && damage(raw).is_none();
        if is_proof(&name) {
        } else if !is_repeated && (is_plain || is_percent_macro(raw)) {
            self.sort_one(partner, name, raw);
        } else {
            let refusal = Rejection::at(refusal.code(), &name, refusal.hint().to_owned());
            self.put_unreadable(partner, &name, refusal, BTreeSet::from([Cow::Borrowed(raw)]));
        }
    }

    /// Sorts a parameter whose value cannot be read. Under a name that means nothing, its value means nothing either.
    fn put_unreadable(&mut self, partner: &Partner, name: &str, refusal: Rejection, sources: BTreeSet<Cow<'p, str>>) {
        match find(partner, name).filter(|found| !partner.constants.contains_key(&found.field)) {
            Some(found) => {
                let field = found.field;
                found.warning.into_iter().for_each(|code| self.warn(code, field));
                self.faults.push(Fault { field, refusal, sources });
            }
            None => self.ignore(name),
        }
    }

    fn ignore(&mut self, name: &str) {
        self.ignored.push(shown(name));
    }

    /// Sorts one parameter of the partner's, and those that were glued to the end of its value.
    fn sort(&mut self, partner: &Partner, name: &'p str, value: &'p str, equals: &[usize]) {
        let mut name = Cow::Borrowed(name);
        let mut value = value;
        let mut equals = equals.to_vec();
        loop {
            // Texts may be sentences and addresses of pages, which have such characters of their own.
            let may_be_glued = find(partner, &name).is_some_and(|found| found.field.kind() != Kind::Text);
            let separators = if may_be_glued { &html::SEPARATORS[..] } else { &[] };
            let glued = html::glued(value, &equals, separators, |name| is_known(partner, name));
            let text = glued.as_ref().map_or(value, |glued| glued.before);
            // What proves who sends is no data, also where it was glued to some.
            if !is_proof(&name) {
                self.sort_one(partner, name, text);
            }
            let Some(glued) = glued else { return };
            if let Some(found) = find(partner, &glued.name) {
                let code = if glued.is_html { WarningCode::HtmlDamage } else { WarningCode::GluedParameter };
                self.warn(code, found.field);
            }
            // The places that are left are behind the one that was found; they begin anew with the value.
            let begin = glued.place.saturating_add(1);
            equals = equals.into_iter().filter_map(|place| place.checked_sub(begin)).collect();
            (name, value) = (Cow::Owned(glued.name), glued.value);
        }
    }

    fn sort_one(&mut self, partner: &Partner, name: Cow<'p, str>, text: &'p str) {
        let Some(Found { field, name: known, warning }) = find(partner, &name) else {
            self.ignore(&name);
            return;
        };
        let credential = glued_credential(text).and_then(|(separator, _)| text.get(..separator));
        if credential.is_some() {
            self.warn(WarningCode::GluedParameter, field);
        }
        let (text, had_invisible) = trimmed(credential.unwrap_or(text));
        if text.is_empty() {
            return;
        }
        if partner.constants.contains_key(&field) {
            self.ignore(&name);
            return;
        }
        if let Some(code) = warning {
            self.warn(code, field);
        }
        if had_invisible {
            self.warn(WarningCode::InvisibleCharacters, field);
        }
        let name = if known == name { name } else { Cow::Owned(known.into_owned()) };
        let own_name = is_name_of(partner, field, text).then_some(Unfilled::Placeholder);
        match unfilled(&name, text, &partner.placeholders).or(own_name) {
            Some(why) => drop(self.unfilled.insert(field, (why, Text { name, text }))),
            None => self.put(partner, field, Text { name, text }),
        }
    }

    /// Notes a warning once.
    fn warn(&mut self, code: WarningCode, field: Field) {
        let warning = Warning::at(code, field);
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn put(&mut self, partner: &Partner, field: Field, text: Text<'p>) {
        if text.text.is_empty() {
            return;
        }
        match self.sent.get(&field) {
            Some(known) if known.text != text.text && !is_same(partner, field, known.text, text.text) => {
                let hint = format!("two of the names sent mean {} and differ; send one of them", field.name());
                let refusal = Rejection::at(Code::ConflictingValues, &text.name, hint);
                let sources = BTreeSet::from([known.text, text.text].map(Cow::Borrowed));
                self.faults.push(Fault { field, refusal, sources });
            }
            Some(_) => {}
            None => drop(self.sent.insert(field, text)),
        }
    }
}

/// An id is its own field's name from this length on.
const FIELD_NAME_BYTES_MIN: usize = 4;

/// Whether an id is one of its field's names: `clickid=click_id` is `clickid={click_id}` whose braces a shell has eaten.
fn is_name_of(partner: &Partner, field: Field, text: &str) -> bool {
    field.kind() == Kind::Id && text.len() >= FIELD_NAME_BYTES_MIN && partner.field_of(text) == Some(field)
}

/// A sender's name that means a field.
struct Found<'n> {
    field: Field,
    /// The name, repaired where it was damaged.
    name: Cow<'n, str>,
    /// Why it had to be looked for.
    warning: Option<WarningCode>,
}

/// Whether a name is a field's, or of what proves who sends.
fn is_known(partner: &Partner, name: &str) -> bool {
    is_proof(name) || find(partner, name).is_some()
}

/// Whether a text has what looks like another parameter of the partner's.
pub(super) fn holds_a_parameter(partner: &Partner, text: &str) -> bool {
    if !text.contains('=') {
        return false;
    }
    let names = text.split(html::SEPARATORS).skip(1).filter_map(|piece| piece.split_once('=')).map(|(name, _)| name);
    names.map(|name| name.trim_matches(' ')).any(|name| find(partner, name).is_some())
}

/// The field of a name: as the partner's file has it, or but for an HTML decoder, or but for its case.
fn find<'n>(partner: &Partner, name: &'n str) -> Option<Found<'n>> {
    let as_sent = |field, warning| Found { field, name: Cow::Borrowed(name), warning };
    if let Some(field) = partner.field_of(name) {
        return Some(as_sent(field, None));
    }
    if let Some(repaired) = html::repaired_name(name)
        && let Some(field) = partner.field_of(&repaired).or_else(|| partner.field_of_any_case(&repaired))
    {
        return Some(Found { field, name: Cow::Owned(repaired), warning: Some(WarningCode::HtmlDamage) });
    }
    partner.field_of_any_case(name).map(|field| as_sent(field, Some(WarningCode::NameCase)))
}

/// Whether two texts for one field say the same: an amount under two names may be written in two ways.
fn is_same(partner: &Partner, field: Field, one: &str, other: &str) -> bool {
    let value = |text: &str| Words::Partner(partner).read(field, text).0.ok();
    matches!((value(one), value(other)), (Some(one), Some(other)) if one == other)
}
