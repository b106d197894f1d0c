//! The tables of totals: what stands in each, and how it comes out of conversions.
//!
//! Midnight is at a quarter of an hour in every time zone, and at an hour in most. So days of any zone are hours, and quarters at
//! their ends; what kinds of conversions there were in a year is days of UTC, and quarters at its ends. Nobody goes through the quarters
//! of a year.

use super::super::statement::Dialect;
use super::{happened_at, in_reporting_currency};
use postback::status::Status;

/// A table of totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Table {
    /// Each kind of conversions by quarters of an hour.
    Quarters,
    /// All of them by hours: those that count, those that do not.
    Hours,
    /// Each kind by days of UTC.
    Days,
}

/// What stands in a column of numbers or of amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Number,
    Amount,
}

impl Held {
    /// The column of a name.
    fn column(self, dialect: Dialect, name: &str) -> String {
        match self {
            Held::Number => name.to_owned(),
            Held::Amount => dialect.amount(name),
        }
    }
}

/// What makes conversions one kind.
const KIND: [&str; 4] = ["event", "status", "currency", "is_duplicate"];

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
        self.held().iter().map(|(name, held)| held.column(dialect, name)).collect()
    }

    /// What a conversion is in it, under the names of the key and of the columns; its slot left out.
    pub(super) fn of_each(self, dialect: Dialect, conversion: &str) -> Vec<String> {
        let period = self.period_start(dialect, &happened_at(conversion));
        let kind = if self.is_of_kinds() { kind(conversion) } else { Vec::new() };
        let summed = |(name, held): &(&str, Held)| {
            let column = held.column(dialect, name);
            let what = match held {
                Held::Number => self.number(conversion, name),
                Held::Amount => {
                    let amount = match name.strip_prefix("reporting_") {
                        Some(reported) => in_reporting_currency(dialect, conversion, reported),
                        None => format!("{conversion}.{column}"),
                    };
                    self.of_what_counts(conversion, &amount)
                }
            };
            format!("{what} as {column}")
        };
        std::iter::once(format!("{period} as period_start")).chain(kind).chain(self.held().iter().map(summed)).collect()
    }

    /// Its columns summed, with a sign in front.
    pub(in crate::store) fn sums(self, dialect: Dialect, sign: &str) -> Vec<String> {
        let sum = |(name, held): &(&str, Held)| match held {
            Held::Number => format!("{sign}sum({name})"),
            Held::Amount => format!("{sign}{}", sum(dialect, &dialect.amount(name))),
        };
        self.held().iter().map(sum).collect()
    }

    /// The end of an insert: where there is such a row already, it is added to.
    pub(super) fn or_add(self, dialect: Dialect) -> String {
        let table = self.name();
        let plus = |(name, held): &(&str, Held)| {
            let name = held.column(dialect, name);
            let plus = format!("{table}.{name} + excluded.{name}");
            match (dialect, held) {
                // It stays at the largest integer when it comes to more, see `sum`.
                (Dialect::Sqlite, Held::Amount) => format!("{name} = cast({plus} as integer)"),
                (Dialect::Sqlite, Held::Number) | (Dialect::Postgres, _) => format!("{name} = {plus}"),
            }
        };
        let added: Vec<_> = self.held().iter().map(plus).collect();
        format!("on conflict ({}) do update set {}", self.key(), added.join(", "))
    }

    const fn is_of_kinds(self) -> bool {
        match self {
            Table::Quarters | Table::Days => true,
            Table::Hours => false,
        }
    }

    const fn held(self) -> &'static [(&'static str, Held)] {
        match self {
            Table::Quarters | Table::Days => &[
                ("conversions", Held::Number),
                ("first_deposits", Held::Number),
                ("sale_amount", Held::Amount),
                ("payout", Held::Amount),
                ("usd_sale_amount", Held::Amount),
                ("usd_payout", Held::Amount),
                ("reporting_sale_amount", Held::Amount),
                ("reporting_payout", Held::Amount),
            ],
            Table::Hours => &[
                ("conversions", Held::Number),
                ("rejected", Held::Number),
                ("duplicates", Held::Number),
                ("first_deposits", Held::Number),
                ("reporting_sale_amount", Held::Amount),
                ("reporting_payout", Held::Amount),
            ],
        }
    }

    /// What a conversion adds to a column of numbers.
    fn number(self, conversion: &str, name: &str) -> String {
        match name {
            "rejected" => case(&is_rejected(conversion), "1"),
            "duplicates" => case(&format!("{conversion}.is_duplicate"), "1"),
            "first_deposits" => self.of_what_counts(conversion, &case(&format!("{conversion}.deposit = 'first'"), "1")),
            _ => self.of_what_counts(conversion, "1"),
        }
    }

    /// A number or an amount, where it is summed over all conversions: of those alone that count.
    fn of_what_counts(self, conversion: &str, what: &str) -> String {
        if self.is_of_kinds() { what.to_owned() } else { case(&is_counted(conversion), what) }
    }

    /// The beginning of an instant's period.
    fn period_start(self, dialect: Dialect, time: &str) -> String {
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

/// What was rejected and what is marked as a duplicate is counted apart, and its money not at all. Of a conversion, or of a row of
/// totals of kinds.
pub(in crate::store) fn is_counted(of: &str) -> String {
    format!("not {of}.is_duplicate and coalesce({of}.status, '') <> '{}'", Status::Rejected.name())
}

/// Whether it is rejected, and not marked as well.
pub(in crate::store) fn is_rejected(of: &str) -> String {
    format!("not {of}.is_duplicate and {of}.status = '{}'", Status::Rejected.name())
}

/// Something where a condition holds, and nothing where it does not.
pub(in crate::store) fn case(condition: &str, what: &str) -> String {
    format!("case when {condition} then {what} else 0 end")
}

fn kind(conversion: &str) -> Vec<String> {
    let of = |name: &str| match name {
        "status" | "currency" => format!("coalesce({conversion}.{name}, '') as {name}"),
        _ => format!("{conversion}.{name}"),
    };
    KIND.map(of).into()
}

/// A sum of amounts. In SQLite units and micro-units apart: a sum of integers that is too large for one would be an error, and no
/// postback is refused because there was too much money before it.
fn sum(dialect: Dialect, amount: &str) -> String {
    let amount = format!("coalesce({amount}, 0)");
    match dialect {
        Dialect::Postgres => format!("sum({amount})"),
        Dialect::Sqlite => {
            format!("cast(sum({amount} / 1000000) * 1000000 + sum({amount} % 1000000) as integer)")
        }
    }
}
