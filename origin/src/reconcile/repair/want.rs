//! What is wanted of an id: the report's rows of what is missing or differs.

use super::super::{Known, Pair, Reconciliation, Standing, Theirs};
use postback::event::Event;
use std::collections::BTreeMap;

/// Conversions that are missing or differ, by id.
pub type Wanted<'a> = BTreeMap<&'a str, Want<'a>>;

/// What is wanted of an id.
#[derive(Clone, Debug, Default)]
pub struct Want<'a> {
    /// What is stored under it.
    pub stands: Option<&'a Standing>,
    /// What differs, by key. Where a key has several conversions it is one of them.
    pub differs: BTreeMap<&'a str, &'a Pair>,
    /// What is missing.
    pub missing: Vec<&'a Theirs>,
}

impl<'a> Want<'a> {
    /// What is wanted of all ids.
    pub fn of(compared: &'a Reconciliation) -> Wanted<'a> {
        let mut wanted = Wanted::new();
        for pair in compared.pairs.iter().filter(|pair| pair.is_off()) {
            let want = wanted.entry(pair.conversion_id()).or_default();
            want.stands = compared.stands.get(pair.conversion_id());
            want.add(pair);
        }
        wanted
    }

    /// Adds what is missing or differs of a pair.
    pub fn add(&mut self, pair: &'a Pair) {
        match (&pair.theirs, &pair.ours) {
            (_, Some(ours)) => drop(self.differs.insert(&ours.key, pair)),
            (Some(theirs), None) => self.missing.push(theirs),
            (None, None) => {}
        }
    }

    /// What is known under a key of it.
    pub(super) fn known(&self, key: &str) -> Option<&'a Known> {
        self.stands?.keys.get(key)
    }

    /// The places of the rows that are missing and may be of an event: those that name it, or else those that name none and take money
    /// back as it does, so that no row lets in more than one class of events.
    pub(super) fn rows_of(&self, event: &Event) -> Vec<usize> {
        let places = |is: &dyn Fn(&Theirs) -> bool| {
            let places = self.missing.iter().enumerate().filter(|(_, row)| is(row)).map(|(place, _)| place);
            places.collect::<Vec<_>>()
        };
        let named = places(&|row| row.event.as_deref() == Some(event.name()));
        if named.is_empty() {
            places(&|row| row.event.is_none() && row.takes_back() == event.takes_money_back())
        } else {
            named
        }
    }
}
