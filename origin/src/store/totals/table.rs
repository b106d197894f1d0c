//! The tables of totals: what stands in each, and how it comes out of conversions.
//!
//! Midnight is at a quarter of an hour in every time zone, and at an hour in most. So days of any zone are hours, and quarters at
//! their ends; what kinds of conversions there were in a year is days of UTC, and quarters at its ends. Nobody goes through the quarters
//! of a year.

use super::super::statement::Dialect;
use super::amounts::{Statement, first_deposit, in_own_currency, in_reporting_currency, own_currency, waiting};
use super::happened_at;
use super::hours::{Hourly, NUMBERS, SUMS};

/// A table of totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Table {
    /// Each kind of conversions by quarters of an hour.
    Quarters,
    /// All of them by hours: see [`super::hours`].
    Hours,
    /// Each kind by days of UTC.
    Days,
}

/// What makes conversions one kind. An amount that waits for a rate makes another kind of its conversion, so that what waits is summed
/// apart without a column of its own.
pub(in crate::store) const KIND: [&str; 6] =
    ["event", "status", "currency", "payout_currency", "is_duplicate", "waiting"];
/// What is counted of a kind.
pub(in crate::store) const KIND_NUMBERS: [&str; 2] = ["conversions", "first_deposits"];
/// What is summed of a kind.
pub(in crate::store) const KIND_AMOUNTS: [&str; 4] =
    ["sale_amount", "payout", "reporting_sale_amount", "reporting_payout"];

impl Table {
    pub(in crate::store) const ALL: [Table; 3] = [Table::Quarters, Table::Hours, Table::Days];

    pub(in crate::store) const fn name(self) -> &'static str {
        match self {
            Table::Quarters => "totals",
            Table::Hours => "totals_by_hour",
            Table::Days => "totals_by_day",
        }
    }

    /// How long its periods are, in seconds.
    pub(in crate::store) const fn period_s(self) -> i64 {
        match self {
            Table::Quarters => 900,
            Table::Hours => 3_600,
            Table::Days => 86_400,
        }
    }

    /// What rows of several slots have in common that are for one thing.
    pub(in crate::store) fn group(self) -> String {
        let kind = if self.is_of_kinds() { &KIND[..] } else { &[] };
        [&["period_start"], kind].concat().join(", ")
    }

    /// What tells a row from the others.
    pub(super) fn key(self) -> String {
        format!("{}, slot", self.group())
    }

    /// What is summed.
    pub(in crate::store) fn columns(self, dialect: Dialect) -> Vec<String> {
        let amounts = self.amounts().into_iter().flat_map(|name| dialect.sum_columns(name));
        self.numbers().into_iter().map(str::to_owned).chain(amounts).collect()
    }

    /// What a conversion is in it, under the names of the key, the numbers and the amounts, of a row as [`as_kind`] makes it.
    pub(super) fn of_each(self, dialect: Dialect, row: &str) -> Vec<String> {
        let period = self.period_start(dialect, &format!("{row}.happened_at"));
        let own = |name: &str| format!("{row}.{name}");
        let summed: Vec<_> = if self.is_of_kinds() {
            KIND.into_iter().chain(KIND_NUMBERS).chain(KIND_AMOUNTS).map(own).collect()
        } else {
            let hourly = |hourly: &Hourly| format!("{} as {}", hourly.over.only(row, &own(hourly.of)), hourly.name);
            NUMBERS.iter().chain(&SUMS).map(hourly).collect()
        };
        std::iter::once(format!("{period} as period_start")).chain(summed).collect()
    }

    /// Its columns summed, of rows as [`Table::of_each`] has them, with a sign in front.
    pub(in crate::store) fn sums(self, dialect: Dialect, sign: &str) -> Vec<String> {
        let amounts = self.amounts().into_iter().flat_map(|name| dialect.sums_of_amount(name));
        let numbers = self.numbers().into_iter().map(|name| format!("sum({name})"));
        numbers.chain(amounts).map(|sum| format!("{sign}{sum}")).collect()
    }

    /// Its columns summed, of its own rows.
    #[cfg(not(target_family = "wasm"))]
    pub(in crate::store) fn sums_of_own(self, dialect: Dialect) -> Vec<String> {
        self.columns(dialect).iter().map(|column| format!("sum({column})")).collect()
    }

    /// The end of an insert: where there is such a row already, it is added to.
    pub(super) fn or_add(self, dialect: Dialect) -> String {
        let table = self.name();
        let plus = |name: &String| format!("{name} = {table}.{name} + excluded.{name}");
        let added: Vec<_> = self.columns(dialect).iter().map(plus).collect();
        format!("on conflict ({}) do update set {}", self.key(), added.join(", "))
    }

    const fn is_of_kinds(self) -> bool {
        match self {
            Table::Quarters | Table::Days => true,
            Table::Hours => false,
        }
    }

    fn numbers(self) -> Vec<&'static str> {
        if self.is_of_kinds() { KIND_NUMBERS.into() } else { NUMBERS.iter().map(|hourly| hourly.name).collect() }
    }

    fn amounts(self) -> Vec<&'static str> {
        if self.is_of_kinds() { KIND_AMOUNTS.into() } else { SUMS.iter().map(|hourly| hourly.name).collect() }
    }

    /// The beginning of an instant's period.
    pub(super) fn period_start(self, dialect: Dialect, time: &str) -> String {
        match dialect {
            Dialect::Postgres => {
                let length = match self {
                    Table::Quarters => "15 minutes",
                    Table::Hours => "1 hour",
                    Table::Days => "1 day",
                };
                format!("date_bin('{length}', {time}, timestamptz '2000-01-01 00:00+00')")
            }
            Dialect::Sqlite => match self {
                Table::Quarters => {
                    format!("substr({time}, 1, 14) || printf('%02d', substr({time}, 15, 2) / 15 * 15) || ':00.000000Z'")
                }
                Table::Hours => format!("substr({time}, 1, 14) || '00:00.000000Z'"),
                Table::Days => format!("substr({time}, 1, 11) || '00:00:00.000000Z'"),
            },
        }
    }
}

/// A conversion as a row of its kind: when it happened, the columns of the kind, and what it adds to its numbers and amounts. All tables
/// are counted from such rows, so that what a conversion counts for is worked out once.
pub(super) fn as_kind(dialect: Dialect, conversion: &str) -> Vec<String> {
    let key = |name: &'static str| {
        let expression = match name {
            "status" => format!("coalesce({conversion}.status, '')"),
            "currency" => format!("coalesce({}, '')", own_currency(dialect, conversion, Statement::Sale)),
            "payout_currency" => format!("coalesce({}, '')", own_currency(dialect, conversion, Statement::Payout)),
            "waiting" => waiting(dialect, conversion),
            _ => format!("{conversion}.{name}"),
        };
        format!("{expression} as {name}")
    };
    let summed = |name: &'static str| format!("{} as {name}", of_kind(dialect, conversion, name));
    std::iter::once(format!("{} as happened_at", happened_at(conversion)))
        .chain(KIND.into_iter().map(key))
        .chain(KIND_NUMBERS.into_iter().chain(KIND_AMOUNTS).map(summed))
        .collect()
}

/// What a conversion adds to a number or an amount of its kind.
fn of_kind(dialect: Dialect, conversion: &str, name: &str) -> String {
    match name {
        "conversions" => "1".to_owned(),
        "first_deposits" => first_deposit(conversion),
        _ => match name.strip_prefix("reporting_") {
            Some(reported) => in_reporting_currency(dialect, conversion, reported),
            None => in_own_currency(dialect, conversion, name),
        },
    }
}
