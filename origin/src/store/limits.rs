//! Limits of one transaction, where those of its connection are too narrow: a connection's own are for postbacks.

use super::statement::{Column, Dialect, Done, Statement, Step};
use super::{End, Store, StoreError, in_time};
use std::time::Duration;

/// A setting of PostgreSQL and its value: `statement_timeout` or `lock_timeout`, in milliseconds, or one of its planner's (`enable_sort`).
type Setting = (&'static str, &'static str);

/// How long a transaction may take.
pub(super) struct Limits {
    /// What PostgreSQL is told.
    pub(super) settings: &'static [Setting],
    /// How long all of it may take, on any database.
    pub(super) total: Duration,
}

impl Store {
    /// Runs statements as one transaction within limits of its own; what they did, each.
    ///
    /// # Errors
    /// They cannot be run, or not in time.
    pub(super) async fn run_within(
        &self,
        limits: &Limits,
        statements: Vec<Statement>,
    ) -> Result<Vec<Done>, StoreError> {
        let database = self.database();
        let set = set(database.dialect(), limits.settings);
        let before = usize::from(set.is_some());
        let statements = set.into_iter().chain(statements).collect();
        let mut done = in_time(limits.total, database.run(statements, End::Commit)).await?;
        Ok(done.split_off(before.min(done.len())))
    }
}

/// The statement that changes settings until its transaction ends; nothing where a database has none.
fn set(dialect: Dialect, settings: &[Setting]) -> Option<Statement> {
    const COLUMNS: &[Column<Setting>] = &[
        Column::text("name", |(name, _)| Some((*name).to_owned())),
        Column::text("value", |(_, value)| Some((*value).to_owned())),
    ];
    match dialect {
        Dialect::Postgres => {
            let step = Step::new(dialect, COLUMNS, "select set_config(input.name, input.value, true) from input");
            Some(step.over(settings))
        }
        Dialect::Sqlite => None,
    }
}
