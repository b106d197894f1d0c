//! The checks of a partner's names and words: aliases, constants, vocabularies, placeholders.

use super::checks::Checks;
use crate::event::Event;
use crate::field::{Field, Kind};
use crate::limits::{PARAM_NAME_BYTES_MAX, PARAM_VALUE_BYTES_MAX};
use crate::macros::unfilled;
use crate::money::Amount;
use crate::params::is_proof;
use crate::partner::fold_word;
use crate::reading::canonical_text;
use crate::status::Status;
use std::collections::BTreeMap;

impl Checks<'_> {
    pub(super) fn aliases(
        &mut self,
        written: &BTreeMap<String, Vec<String>>,
        constants: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Field> {
        let mut aliases: BTreeMap<String, Field> = BTreeMap::new();
        for (field_name, names) in written {
            let key = format!("aliases.{field_name}");
            let Some(field) = self.field(&key, field_name) else { continue };
            if constants.contains_key(field_name) {
                self.wrong(&key, "is a constant as well; nothing that is sent can mean it");
            }
            for name in names {
                if name.is_empty() {
                    self.wrong(&key, "holds an empty name");
                } else if name.len() > PARAM_NAME_BYTES_MAX
                    || name.chars().any(char::is_control)
                    || name.trim_matches(' ') != name
                {
                    self.wrong(&key, format!("{name:?} is no name that a request can have"));
                } else if is_proof(name) {
                    self.wrong(&key, format!("{name:?} proves who sends and is never read as data"));
                } else if name == field.name() {
                    self.wrong(&key, format!("{name:?} means itself already; leave it out"));
                }
                let canonical = Field::parse(&name.to_ascii_lowercase()).filter(|_| Field::parse(name).is_none());
                if let Some(other) = canonical.filter(|other| *other != field) {
                    let reason = format!("{name:?} is {} but for its case; it cannot mean another field", other.name());
                    self.wrong(&key, reason);
                }
                // Names that differ in case alone are one name to a sender who is careless about case.
                let same = |(known, other): (&String, &Field)| known.eq_ignore_ascii_case(name).then_some(*other);
                if let Some(other) = aliases.iter().find_map(same) {
                    self.wrong(&key, format!("{name:?} already means {}", other.name()));
                }
                aliases.insert(name.clone(), field);
            }
        }
        aliases
    }

    pub(super) fn constants(
        &mut self,
        written: &BTreeMap<String, String>,
        amount_max: Amount,
    ) -> BTreeMap<Field, String> {
        let mut constants = BTreeMap::new();
        for (field_name, text) in written {
            let key = format!("constants.{field_name}");
            let Some(field) = self.field(&key, field_name) else { continue };
            match canonical_text(field, text) {
                _ if matches!(field, Field::EventId | Field::ConversionId | Field::ClickId) => {
                    self.wrong(&key, "tells one event from another; as a constant it would make one of all");
                }
                Some(_) if field.kind() == Kind::Time => self.wrong(&key, "is a time, which no two events share"),
                Some(canonical)
                    if canonical != *text
                        || text.trim_matches(' ') != text
                        || text.len() > PARAM_VALUE_BYTES_MAX
                        || text.chars().any(char::is_control) =>
                {
                    self.wrong(&key, format!("{text:?} is not written as it is stored, such as {canonical:?}"));
                }
                Some(canonical)
                    if field.kind() == Kind::Amount
                        && Amount::parse(&canonical).is_some_and(|amount| amount.magnitude() > amount_max) =>
                {
                    self.wrong(&key, format!("is more than amount_max, {amount_max}; every postback would be refused"));
                }
                Some(canonical) if canonical.starts_with('-') && field.kind() == Kind::Amount => {
                    self.wrong(&key, "is below zero; amounts of refunds are made negative anyway");
                }
                Some(canonical) => drop(constants.insert(field, canonical)),
                None => self.wrong(&key, format!("{text:?} is no value of this field")),
            }
        }
        constants
    }

    pub(super) fn events(
        &mut self,
        written: &BTreeMap<String, String>,
        placeholders: &[String],
    ) -> BTreeMap<String, String> {
        let mut events = BTreeMap::new();
        for (word, event) in written {
            let key = format!("events.{word}");
            self.word(&key, word, placeholders);
            match Event::parse(event) {
                Some(event) => {
                    if events.insert(fold_word(word), event.name().to_owned()).is_some() {
                        self.wrong(&key, "stands twice, but for case and joints");
                    }
                }
                None => self.wrong(&key, format!("{event:?} is no event's name")),
            }
        }
        events
    }

    pub(super) fn statuses(
        &mut self,
        written: &BTreeMap<String, String>,
        placeholders: &[String],
    ) -> BTreeMap<String, Status> {
        let mut statuses = BTreeMap::new();
        for (word, status) in written {
            let key = format!("statuses.{word}");
            self.word(&key, word, placeholders);
            match Status::parse(status) {
                Some(status) => {
                    if statuses.insert(fold_word(word), status).is_some() {
                        self.wrong(&key, "stands twice, but for case and joints");
                    }
                }
                None => self.wrong(&key, format!("{status:?} is not pending, approved, rejected or paid")),
            }
        }
        statuses
    }

    /// The default is a canonical name, so that reading the canonical form again adds nothing.
    pub(super) fn default_event(&mut self, name: &str) -> String {
        if Event::parse(name).is_none_or(|event| event.name() != name) {
            self.wrong("default_event", format!("{name:?} is no event's canonical name, such as \"conversion\""));
        }
        name.to_owned()
    }

    /// A word that counts as no value, or as no word at all, would never be looked up.
    fn word(&mut self, key: &str, word: &str, placeholders: &[String]) {
        if fold_word(word).is_empty() {
            self.wrong(key, "is an empty word; empty values count as absent");
        } else if unfilled("", word, placeholders).is_some()
            || placeholders.iter().any(|placeholder| fold_word(placeholder) == fold_word(word))
        {
            self.wrong(key, "is a placeholder or a macro, which counts as absent");
        }
    }

    pub(super) fn placeholders(&mut self, words: Vec<String>) -> Vec<String> {
        if words.iter().any(|word| word.trim().is_empty()) {
            self.wrong("placeholders", "holds an empty word; empty values count as absent anyway");
        }
        if let Some(word) = words.iter().find(|word| word.trim_matches(' ') != *word) {
            self.wrong("placeholders", format!("{word:?} has outer spaces, which values never have"));
        }
        words
    }
}
