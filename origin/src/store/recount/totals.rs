//! The totals of a day of UTC, beside what its conversions come to.

use super::super::StoreError;
use super::super::statement::{Dialect, Done, Step, read_json};
use super::super::totals::{Table, counted, happened_at};
use super::Day;
use chrono::NaiveDate;
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows of one table that one call finds at most.
pub const TOTALS_MAX: usize = 1_000;

/// A row of totals that is not what its conversions come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TotalDifference {
    /// The table.
    pub table: &'static str,
    /// When its period begins, in UTC, and which kind of conversions it is about.
    pub key: BTreeMap<String, String>,
    /// What is stored and what should be, by column. A row that is missing is as good as one of nothing.
    pub columns: BTreeMap<String, Compared>,
}

/// A number or an amount of totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// As it is stored.
    pub stored: String,
    /// As it was recounted.
    pub recounted: String,
}

/// Within the day: periods begin and end at quarters of an hour, and none goes beyond a day of UTC.
const OF_DAY: &str = ">= (select from_at from input) and";

fn within(time: &str) -> String {
    format!("{time} {OF_DAY} {time} < (select to_at from input)")
}

/// The rows that the day's conversions are in a table.
fn counted_of_day(dialect: Dialect, table: Table) -> String {
    counted(dialect, table, &within(&happened_at("known")))
}

pub(super) fn next_day(dialect: Dialect) -> Step<Day> {
    let happened = happened_at("known");
    let earliest = |time: &str, table: &str| {
        format!("select min({time}) as at from {table} as known where {time} >= (select from_at from input)")
    };
    let tables = Table::ALL.map(|table| earliest("known.period_start", table.name()));
    let all = std::iter::once(earliest(&happened, "conversions")).chain(tables).collect::<Vec<_>>();
    let statement = format!(
        "select 'day' as id, substr({}, 1, 10) as answer from (select min(at) as at from ({}) as earliest) as first_one
         where at is not null",
        dialect.time_text("at"),
        all.join(" union all "),
    );
    Step::new(dialect, Day::COLUMNS, &statement).answering()
}

pub(super) fn read_day(done: Vec<Done>) -> Result<Option<NaiveDate>, StoreError> {
    let answer = done.into_iter().flat_map(|done| done.answers).next();
    let day = |(_, day): (String, String)| {
        day.parse().map_err(|_| StoreError::Bug(format!("totals of a day that is none: {day}")))
    };
    answer.map(day).transpose()
}

/// One statement, so that both sides are of one moment.
pub(super) fn compare(dialect: Dialect, table: Table) -> Step<Day> {
    let (group, columns) = (table.group(), table.columns(dialect));
    let named = |prefix: &str, values: Vec<String>| {
        let named = values.iter().zip(&columns).map(|(value, column)| format!("{value} as {prefix}_{column}"));
        named.collect::<Vec<_>>().join(", ")
    };
    let nothing = || vec!["0".to_owned(); columns.len()];
    let of_side = |prefix: &str| columns.iter().map(|column| format!("sum({prefix}_{column})")).collect::<Vec<_>>();
    let own = columns.iter().map(|column| format!("sum({column})")).collect();
    let differs = columns.iter().map(|column| format!("stored_{column} <> recounted_{column}"));
    let key = group.split(", ").map(|name| match name {
        "period_start" => dialect.time_text(name),
        _ => format!("cast({name} as text)"),
    });
    // As short as it can be written: a sum has as many decimal places as the amounts in it.
    let number = |name: String| match dialect {
        Dialect::Postgres => format!("trim_scale({name})::text"),
        Dialect::Sqlite => format!("cast({name} as text)"),
    };
    let text = |prefix: &str| columns.iter().map(|column| number(format!("{prefix}_{column}"))).collect::<Vec<_>>();
    let answer = key.chain(text("stored")).chain(text("recounted")).collect::<Vec<_>>();
    let statement = format!(
        ", counted as ({counted}),
         one_side as (
            select {group}, {}, {} from counted group by {group}
            union all
            select {group}, {}, {} from {name} where {of_day} group by {group}),
         both_sides as (select {group}, {}, {} from one_side group by {group})
         select '' as id, {} as answer from both_sides where {} order by {group} limit {TOTALS_MAX}",
        named("recounted", table.sums(dialect, "")),
        named("stored", nothing()),
        named("recounted", nothing()),
        named("stored", own),
        named("recounted", of_side("recounted")),
        named("stored", of_side("stored")),
        dialect.json_lists(&answer),
        differs.collect::<Vec<_>>().join(" or "),
        counted = counted_of_day(dialect, table),
        name = table.name(),
        of_day = within("period_start"),
    );
    Step::new(dialect, Day::COLUMNS, &statement).answering()
}

pub(super) fn read(table: Table, dialect: Dialect, done: Vec<Done>) -> Result<Vec<TotalDifference>, StoreError> {
    let read = |(_, answer): (String, String)| {
        let lists: Vec<Vec<String>> = read_json("a row of totals", &answer)?;
        let mut values = lists.into_iter().flatten();
        let columns = table.columns(dialect);
        let key = table.group().split(", ").map(str::to_owned).zip(values.by_ref()).collect();
        let mut side = || values.by_ref().take(columns.len()).collect::<Vec<_>>();
        let (stored, recounted) = (side(), side());
        let both = stored.into_iter().zip(recounted).map(|(stored, recounted)| Compared { stored, recounted });
        let differing = columns.into_iter().zip(both).filter(|(_, both)| both.stored != both.recounted);
        Ok(TotalDifference { table: table.name(), key, columns: differing.collect() })
    };
    done.into_iter().flat_map(|done| done.answers).map(read).collect()
}

/// The statements behind the turn of all slots: of each table, what is stored of the day goes, and what its conversions come to takes its
/// place.
pub(super) fn replace(dialect: Dialect) -> Vec<Step<Day>> {
    let of_table = |table: Table| {
        let (name, group) = (table.name(), table.group());
        let forget = format!("delete from {name} where {}", within("period_start"));
        let put = format!(
            ", counted as ({}) insert into {name} ({group}, slot, {}) select {group}, 0, {} from counted group by {group}",
            counted_of_day(dialect, table),
            table.columns(dialect).join(", "),
            table.sums(dialect, "").join(", "),
        );
        [forget, put].map(|statement| Step::new(dialect, Day::COLUMNS, &statement))
    };
    Table::ALL.into_iter().flat_map(of_table).collect()
}
