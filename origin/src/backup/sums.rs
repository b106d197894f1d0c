//! What a database comes to: rows of each table, money by currency, the newest event, and the version of its tables.

use crate::store::statement::Dialect;
use std::collections::BTreeMap;

/// Sums by name, such as `rows.events` or `conversions.MYR.payout`, as texts: they are compared, and reckoned with no further.
pub type Sums = BTreeMap<String, String>;

/// Amounts that are summed: those that senders say, which every version has.
const AMOUNTS: [(&str, bool); 4] =
    [("sale_amount", true), ("payout", true), ("usd_sale_amount", false), ("usd_payout", false)];

/// The tables of a database, as a statement that answers their names.
pub(super) fn tables(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            "select relname::text from pg_class where relnamespace = 'public'::regnamespace
                and relkind in ('r', 'p') and not relispartition order by 1"
        }
        Dialect::Sqlite => "select name from sqlite_master where type = 'table' and name not like 'sqlite%' order by 1",
    }
}

/// Statements that each answer rows of a name and a sum.
pub(super) fn queries(dialect: Dialect, tables: &[String]) -> Vec<String> {
    let has = |name: &str| tables.iter().any(|table| table == name);
    let mut queries: Vec<_> = tables
        .iter()
        .map(|table| format!("select 'rows.{table}' as name, cast(count(*) as text) as value from {table}"))
        .collect();
    if has("_sqlx_migrations") {
        queries.push(
            "select 'schema', cast(coalesce(max(version), 0) as text) from _sqlx_migrations where success".to_owned(),
        );
    }
    if has("events") {
        let newest = dialect.time_text("max(received_at)");
        queries.push(format!("select 'newest_event', coalesce({newest}, 'none') from events"));
    }
    for table in ["conversions", "totals", "totals_by_day"].into_iter().filter(|table| has(table)) {
        for (amount, is_in_currency) in AMOUNTS {
            let sum = dialect.sum_text(&format!("coalesce({}, 0)", dialect.amount(amount)));
            queries.push(match is_in_currency {
                true => format!(
                    "select '{table}.' || coalesce(nullif(currency, ''), 'none') || '.{amount}', {sum} from {table}
                     group by coalesce(nullif(currency, ''), 'none')"
                ),
                false => format!("select '{table}.{amount}', coalesce({sum}, '0') from {table}"),
            });
        }
    }
    for table in ["totals", "totals_by_hour", "totals_by_day"].into_iter().filter(|table| has(table)) {
        queries.push(format!("select '{table}.conversions', cast(coalesce(sum(conversions), 0) as text) from {table}"));
    }
    queries
}

/// Puts sums down; those of SQLite come as units and micro-units.
pub(super) fn add(sums: &mut Sums, rows: Vec<(String, String)>) {
    for (name, value) in rows {
        let value = match value.split_once(':') {
            Some((units, micros)) if name != "newest_event" => {
                let parts = units.parse::<i128>().ok().zip(micros.parse::<i128>().ok());
                let sum = parts.and_then(|(units, micros)| units.checked_mul(1_000_000)?.checked_add(micros));
                sum.map_or_else(|| value.clone(), |sum| sum.to_string())
            }
            Some(_) | None => value,
        };
        sums.insert(name, value);
    }
}

/// What differs between two, as clauses.
pub fn differences(before: &Sums, after: &Sums) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let value = |sums: &Sums, name: &str| sums.get(name).map_or("nothing", String::as_str).to_owned();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("{name} was {}, is {}", value(before, name), value(after, name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(rows: &[(&str, &str)]) -> Sums {
        let mut sums = Sums::new();
        add(&mut sums, rows.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        sums
    }

    #[test]
    fn sums_of_both_kinds_of_database_are_micro_units() {
        let sqlite = sums(&[("conversions.usd_payout", "-3:-250000"), ("newest_event", "2025-11-21T08:00:00.000000Z")]);
        let postgres = sums(&[("conversions.usd_payout", "-3250000"), ("newest_event", "2025-11-21T08:00:00.000000Z")]);
        assert_eq!(sqlite, postgres);
    }

    #[test]
    fn what_is_missing_differs_as_well() {
        let (before, after) = (sums(&[("rows.events", "2"), ("rows.links", "1")]), sums(&[("rows.events", "3")]));
        assert_eq!(differences(&before, &after), ["rows.events was 2, is 3", "rows.links was 1, is nothing"]);
        assert!(differences(&before, &before).is_empty());
    }
}
