//! The statements that sum totals by spans of time; [`super::sums`] reads what they answer.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step};
use super::super::totals::{Hourly, KIND, KIND_AMOUNTS, KIND_NUMBERS, NUMBERS, SUMS, Table, is_counted};
use postback::time::Timestamp;

/// A span of time; one that totals are asked of begins and ends at a quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// A number of the caller's.
    pub number: i64,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, which is not in it.
    pub end: Timestamp,
}

/// Periods of one table that follow each other, and what they are summed for.
pub(super) struct Periods {
    span: Span,
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Hours, for a total.
    Hours,
    /// The quarters around them.
    AroundHours,
    /// Days, for kinds.
    Days,
    /// The quarters around them.
    AroundDays,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Source::Hours => "hours",
            Source::AroundHours => "around hours",
            Source::Days => "days",
            Source::AroundDays => "around days",
        }
    }

    const fn table(self) -> Table {
        match self {
            Source::Hours => Table::Hours,
            Source::Days => Table::Days,
            Source::AroundHours | Source::AroundDays => Table::Quarters,
        }
    }

    const fn around(self) -> Source {
        match self {
            Source::Hours | Source::AroundHours => Source::AroundHours,
            Source::Days | Source::AroundDays => Source::AroundDays,
        }
    }
}

/// Whatever is to be summed: the parts of a span for totals, the whole for kinds.
pub(super) fn periods(whole: Span, parts: &[Span]) -> Vec<Periods> {
    let totals = parts.iter().flat_map(|part| split(*part, Source::Hours));
    totals.chain(split(whole, Source::Days)).collect()
}

/// The periods of a span: the long ones in it, and the quarters before and behind them.
fn split(span: Span, long: Source) -> impl Iterator<Item = Periods> {
    let period_s = long.table().period_s();
    let [start_s, end_s] = [span.start.unix_s(), span.end.unix_s()];
    let last_s = end_s.saturating_sub(end_s.rem_euclid(period_s));
    let first_s = start_s.saturating_add(start_s.saturating_neg().rem_euclid(period_s)).min(last_s.max(start_s));
    let last_s = last_s.max(first_s);
    let at = |second: i64| Timestamp::from_unix_ms(second.saturating_mul(1_000));
    let periods = move |source: Source, start: Option<Timestamp>, end: Option<Timestamp>| {
        let (start, end) = (start?, end?);
        (start < end).then_some(Periods { span: Span { number: span.number, start, end }, source })
    };
    [
        periods(long.around(), Some(span.start), at(first_s)),
        periods(long, at(first_s), at(last_s)),
        periods(long.around(), at(last_s), Some(span.end)),
    ]
    .into_iter()
    .flatten()
}

/// One statement, so that totals and kinds are of one moment.
pub(super) fn totals_of(dialect: Dialect) -> Step<Periods> {
    const COLUMNS: &[Column<Periods>] = &[
        Column::number("span", |periods| periods.span.number),
        Column::time("start_at", |periods| Some(periods.span.start)),
        Column::time("end_at", |periods| Some(periods.span.end)),
        Column::text("source", |periods| Some(periods.source.name().to_owned())),
    ];
    Step::new(dialect, COLUMNS, &format!("{} union all {}", totals(dialect), kinds(dialect))).answering()
}

fn totals(dialect: Dialect) -> String {
    let [mut hours, mut quarters] = [Vec::new(), Vec::new()];
    let mut add = |hourly: &Hourly, name: String, of: &str| {
        let of = hourly.over.only("found", &format!("found.{of}"));
        quarters.push(format!("{of} as {name}"));
        hours.push(format!("found.{name}"));
    };
    for hourly in &NUMBERS {
        add(hourly, hourly.name.to_owned(), hourly.of);
    }
    for hourly in &SUMS {
        let columns = dialect.sum_columns(hourly.name).into_iter().zip(dialect.sum_columns(hourly.of));
        columns.for_each(|(name, of)| add(hourly, name, &of));
    }
    let found = format!("{} union all {}", of(Source::Hours, &hours), of(Source::AroundHours, &quarters));
    let are_any = ["conversions", "refunds", "chargebacks", "rejected", "duplicates"];
    let are_any = are_any.map(|name| format!("total.{name} <> 0")).join(" or ");
    let names = |hourly: &[Hourly]| hourly.iter().map(|hourly| hourly.name).collect::<Vec<_>>();
    summed(dialect, "total", &["span"], &names(&NUMBERS), &names(&SUMS), &found, &are_any)
}

fn kinds(dialect: Dialect) -> String {
    let names = KIND.into_iter().chain(KIND_NUMBERS).map(str::to_owned);
    let amounts = KIND_AMOUNTS.into_iter().flat_map(|name| dialect.sum_columns(name));
    let columns: Vec<_> = names.chain(amounts).map(|column| format!("found.{column}")).collect();
    let found = format!("{} union all {}", of(Source::Days, &columns), of(Source::AroundDays, &columns));
    summed(dialect, "kind", &KIND, &KIND_NUMBERS, &KIND_AMOUNTS, &found, "kind.conversions <> 0")
}

/// The rows of totals of what is to be summed from a table.
fn of(source: Source, columns: &[String]) -> String {
    format!(
        "select input.span, {} from input join {} as found
           on found.period_start >= input.start_at and found.period_start < input.end_at where input.source = '{}'",
        columns.join(", "),
        source.table().name(),
        source.name(),
    )
}

/// Rows that were found, summed by their key, as answers of a name. D1 takes sixteen members in an object, so amounts have one of their
/// own.
fn summed(
    dialect: Dialect,
    name: &str,
    key: &[&'static str],
    numbers: &[&'static str],
    amounts: &[&'static str],
    found: &str,
    are_any: &str,
) -> String {
    let sums = numbers
        .iter()
        .map(|number| format!("sum(found.{number}) as {number}"))
        .chain(amounts.iter().map(|amount| format!("{} as {amount}", dialect.sum_columns_text("found", amount))));
    let grouped = key.iter().map(|column| format!("found.{column}")).collect::<Vec<_>>().join(", ");
    let member = |column: &&'static str| (*column, format!("{name}.{column}"));
    let money: Vec<_> = amounts.iter().map(member).collect();
    let members: Vec<_> =
        key.iter().chain(numbers).map(member).chain([("money", dialect.json_members(&money))]).collect();
    format!(
        "select '{name}' as id, {} as answer
         from (select {grouped}, {} from ({found}) as found group by {grouped}) as {name} where {are_any}",
        dialect.json_object(&members),
        sums.collect::<Vec<_>>().join(", "),
    )
}

/// How many conversions that count have an amount that waits for a rate.
pub(super) fn waiting_for_rates(dialect: Dialect) -> Step<()> {
    // It needs no row: one that a statement has anyway.
    const COLUMNS: &[Column<()>] = &[Column::number("asked", |()| 1)];
    let statement = format!(
        "select 'waiting' as id, cast(coalesce(sum(found.conversions), 0) as text) as answer from {} as found
         where found.waiting <> '' and {}",
        Table::Days.name(),
        is_counted("found"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

/// The answer of that statement.
pub(super) fn read_waiting_for_rates(done: Vec<Done>) -> Result<i64, StoreError> {
    let answer = done.into_iter().flat_map(|done| done.answers).next();
    let count = answer.and_then(|(_, count)| count.parse().ok());
    count.ok_or_else(|| StoreError::Bug("a count of what waits that cannot be read".to_owned()))
}
