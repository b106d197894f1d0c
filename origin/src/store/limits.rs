//! Limits of one transaction, where those of its connection are too narrow: a connection's own are for postbacks.

use super::statement::{Column, Dialect, Statement, Step};

/// A setting of PostgreSQL and its value, in milliseconds: `statement_timeout`, `lock_timeout`.
pub(super) type Limit = (&'static str, &'static str);

/// The statement that sets limits until its transaction ends; nothing where a database has none. It comes first.
pub(super) fn set_limits(dialect: Dialect, limits: &[Limit]) -> Option<Statement> {
    const COLUMNS: &[Column<Limit>] = &[
        Column::text("name", |(name, _)| Some((*name).to_owned())),
        Column::text("value", |(_, value)| Some((*value).to_owned())),
    ];
    match dialect {
        Dialect::Postgres => {
            let step = Step::new(dialect, COLUMNS, "select set_config(input.name, input.value, true) from input");
            Some(step.over(limits))
        }
        Dialect::Sqlite => None,
    }
}
