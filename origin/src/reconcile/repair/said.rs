//! What a postback says, beside a row of the report.

use super::super::pairs::is_near;
use super::super::report::{MONEY, Theirs};
use postback::field::Field;
use postback::money::Amount;
use postback::reading::Reading;
use std::collections::BTreeSet;

/// What both say. What one of them does not say is in neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// In which fields they say the same.
    pub same: BTreeSet<Field>,
    /// In which they do not.
    pub other: BTreeSet<Field>,
}

impl Said {
    /// Compares event, status, amounts and their currency. An amount without a currency, or the other way round, says nothing of the
    /// currency.
    pub fn of(row: &Theirs, reading: &Reading, tolerance: Amount) -> Said {
        let postback = &reading.postback;
        let event = row.event.as_deref().filter(|_| reading.names_event);
        let is_local = postback.amount(Field::Payout).or(postback.amount(Field::SaleAmount)).is_some();
        let currency = postback.text(Field::Currency).filter(|_| is_local);
        let words = [
            (Field::Event, event.map(|event| event == postback.event().name())),
            (Field::Status, row.status.zip(postback.status()).map(|(theirs, said)| theirs == said)),
            (Field::Currency, row.local_currency().zip(currency).map(|(theirs, said)| *theirs == said)),
        ];
        let amounts = MONEY.into_iter().map(|field| {
            let both = row.money.get(&field).copied().zip(postback.amount(field));
            (field, both.map(|(theirs, said)| is_near(theirs, said, tolerance)))
        });
        let mut found = Said::default();
        for (field, is_same) in words.into_iter().chain(amounts) {
            match is_same {
                Some(true) => drop(found.same.insert(field)),
                Some(false) => drop(found.other.insert(field)),
                None => {}
            }
        }
        found
    }
}
