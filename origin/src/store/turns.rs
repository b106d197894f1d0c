//! How transactions that are about the same thing take turns, where a database has several writers.

use super::statement::{Column, Dialect, Step};

/// Something that transactions take turns about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A click, and what names it.
    Click(String),
    /// What is known of an account.
    Account(String),
    /// What is known under the sender's id of a conversion: that conversion, and money that goes back of it.
    ConversionId(String),
    /// A slot of the totals.
    Slot(i64),
    /// An event.
    Event(String),
    /// A conversion, by its key.
    Conversion(String),
}

impl Turn {
    /// Kinds of things are apart from each other. Those of a larger number come first.
    const fn kind(&self) -> i64 {
        match self {
            Turn::Click(_) => 5,
            Turn::Account(_) => 4,
            Turn::ConversionId(_) => 3,
            Turn::Slot(_) => 2,
            Turn::Event(_) => 1,
            Turn::Conversion(_) => 0,
        }
    }

    fn name(&self) -> String {
        match self {
            Turn::Click(name)
            | Turn::Account(name)
            | Turn::ConversionId(name)
            | Turn::Event(name)
            | Turn::Conversion(name) => name.clone(),
            Turn::Slot(slot) => slot.to_string(),
        }
    }
}

/// PostgreSQL has many writers. Two that are about one conversion must not both decide by what they saw before, and those that
/// share several things must not wait for each other: all take the locks in one order. SQLite and D1 have one writer.
pub(super) fn take_turns(dialect: Dialect) -> Option<Step<Turn>> {
    const COLUMNS: &[Column<Turn>] =
        &[Column::number("kind", Turn::kind), Column::text("name", |turn| Some(turn.name()))];
    match dialect {
        Dialect::Postgres => Some(Step::new(
            dialect,
            COLUMNS,
            "select pg_advisory_xact_lock(turn.key)
             from (select hashtextextended(input.name, input.kind) as key from input
                   order by input.kind desc, key) as turn",
        )),
        Dialect::Sqlite => None,
    }
}
