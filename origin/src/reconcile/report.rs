//! A report, its conversions, and ours beside them.

use super::day_of;
use super::days::Says;
use crate::store::reader::Conversion;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::event::Event;
use postback::field::Field;
use postback::money::Amount;
use postback::status::Status;
use postback::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As the partner's file says.
    #[default]
    Partner,
    /// As our own export is.
    Export,
}

impl Form {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Partner => "partner",
            Form::Export => "export",
        }
    }
}

/// A report that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How it is written.
    pub form: Form,
    /// The rows that could be.
    pub rows: Vec<Theirs>,
    /// Those that could not.
    pub unread: Vec<Unread>,
    /// How many rows of our own export are marked as possible duplicates: they count for nothing.
    pub marked: u64,
    /// Columns that mean nothing to the partner's file.
    pub ignored: Vec<String>,
    /// Status words that the partner's file does not know, and how many rows have each: their status is not compared.
    pub unknown_statuses: BTreeMap<String, u64>,
}

/// A conversion as the partner has it. What the report does not say is None and is not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// The line that it begins on.
    pub line: u64,
    /// The partner's id of it.
    pub conversion_id: String,
    /// The event's canonical name.
    pub event: Option<String>,
    /// Where it stands.
    pub status: Option<Status>,
    /// When it happened; of a date without a time, when that begins on the report's clocks.
    pub happened_at: Option<Timestamp>,
    /// The date, where it has no time: it is the same on every clock.
    pub date: Option<Date>,
    /// Its amounts, of those in [`MONEY`].
    pub money: BTreeMap<Field, Amount>,
    /// ISO 4217, of those that are not in US dollars.
    pub currency: Option<String>,
    /// What the partner's file takes for that where the report does not say it: sums are in it, and it is not compared.
    pub assumed_currency: Option<String>,
}

/// A conversion as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// The partner's id of it.
    pub conversion_id: String,
    /// The event's canonical name.
    pub event: String,
    /// Where it stands.
    pub status: Option<Status>,
    /// When it happened, as statistics have it.
    pub happened_at: Timestamp,
    /// Its amounts, of those in [`MONEY`].
    pub money: BTreeMap<Field, Amount>,
    /// ISO 4217, of those that are not in US dollars.
    pub currency: Option<String>,
    /// What the customer paid and what we are paid, in the reporting currency, by the fields of US dollars.
    pub reporting: BTreeMap<Field, Amount>,
    /// What makes postbacks be about it (R48).
    pub key: String,
    /// What is known last of it.
    pub last: Last,
    /// Whether it is marked as a possible duplicate: then it counts for nothing.
    pub is_duplicate: bool,
}

/// The last that is known of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// When its last postback was received, in Unix seconds.
    pub received_s: i64,
    /// When it was last written.
    pub changed_at: Timestamp,
}

impl Last {
    /// Whether what was received at an instant came before it. Within its second, what was written later is taken for later.
    pub fn is_after(self, received_at: Timestamp) -> bool {
        let at_s = received_at.unix_s();
        at_s < self.received_s || at_s == self.received_s && received_at < self.changed_at
    }

    /// The later of both.
    #[must_use]
    pub fn or_later(self, other: Last) -> Last {
        Last { received_s: self.received_s.max(other.received_s), changed_at: self.changed_at.max(other.changed_at) }
    }
}

/// A row that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    /// The line that it begins on.
    pub line: u64,
    /// As of a postback; `malformed_row` where it is no row at all.
    pub code: String,
    /// The column that is at fault.
    pub column: Option<String>,
    /// What to do.
    pub hint: String,
    /// Of which conversion it is, where that can be told: ours is not compared, either.
    pub conversion_id: Option<String>,
}

/// Amounts that are compared.
pub const MONEY: [Field; 4] = [Field::SaleAmount, Field::Payout, Field::UsdSaleAmount, Field::UsdPayout];

impl Report {
    /// The first and the last day of its rows, on a zone's clocks.
    pub fn days(&self, zone: &TimeZone) -> Option<(Date, Date)> {
        let days = || self.rows.iter().filter_map(|row| row.day(zone));
        Some((days().min()?, days().max()?))
    }

    /// The conversions of rows that cannot be read, where that can be told.
    pub(super) fn unread_ids(&self) -> BTreeSet<&str> {
        self.unread.iter().filter_map(|unread| unread.conversion_id.as_deref()).collect()
    }

    /// Which amounts of what we are paid it has.
    pub(super) fn says(&self) -> Says {
        let has = |field| self.rows.iter().any(|row| row.money.contains_key(&field));
        Says { usd: has(Field::UsdPayout), local: has(Field::Payout) }
    }
}

impl Theirs {
    /// The day on which it happened, on a zone's clocks.
    pub fn day(&self, zone: &TimeZone) -> Option<Date> {
        self.date.or_else(|| day_of(self.happened_at?, zone))
    }

    /// The currency of the amounts that are not in US dollars, where it says both.
    pub fn local_currency(&self) -> Option<&str> {
        let is_local = self.money.contains_key(&Field::Payout) || self.money.contains_key(&Field::SaleAmount);
        self.currency.as_deref().filter(|_| is_local)
    }

    /// Whether it takes money back, as far as its amounts say.
    pub fn takes_back(&self) -> bool {
        self.money.values().any(|amount| amount.is_negative())
    }
}

impl Ours {
    /// Whether it takes money back, or its amounts do.
    pub fn is_below_zero(&self) -> bool {
        self.takes_back() || self.money.values().any(|amount| amount.is_negative())
    }

    /// Whether its event takes money back.
    pub fn takes_back(&self) -> bool {
        Event::parse(&self.event).is_some_and(|event| event.takes_money_back())
    }

    /// An amount; in US dollars as it was said, or else as it was converted.
    pub fn amount(&self, field: Field) -> Option<Amount> {
        self.money.get(&field).or_else(|| self.reporting.get(&field)).copied()
    }
}

impl From<Conversion> for Ours {
    fn from(conversion: Conversion) -> Ours {
        let money = conversion.money;
        let amounts = [
            (Field::SaleAmount, money.sale_amount),
            (Field::Payout, money.payout),
            (Field::UsdSaleAmount, money.usd_sale_amount),
            (Field::UsdPayout, money.usd_payout),
        ];
        let reporting = [
            (Field::UsdSaleAmount, money.reporting.reporting_sale_amount),
            (Field::UsdPayout, money.reporting.reporting_payout),
        ];
        Ours {
            conversion_id: conversion.conversion_id,
            event: conversion.event,
            status: conversion.status.as_deref().and_then(Status::parse),
            happened_at: conversion.happened_at,
            money: amounts.into_iter().filter_map(|(field, amount)| Some((field, amount?))).collect(),
            currency: money.payout_currency.or(money.currency),
            reporting: reporting.into_iter().filter_map(|(field, amount)| Some((field, amount?))).collect(),
            key: conversion.conversion_key,
            last: Last {
                received_s: conversion.origin.last_received_ms.div_euclid(1_000),
                changed_at: conversion.updated_at,
            },
            is_duplicate: conversion.is_duplicate,
        }
    }
}
