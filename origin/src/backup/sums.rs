//! What a database comes to: rows of each table, money by currency, the newest event, and the version of its tables.

use crate::store::statement::{Dialect, read_sum};
use std::collections::BTreeMap;

/// Sums by name, such as `rows.events` or `conversions.MYR.payout`, as texts: they are compared, and reckoned with no further.
pub type Sums = BTreeMap<String, String>;

/// Amounts of conversions that are summed: those that senders say, which every version has. Each with its column of a currency; before
/// payouts had a currency of their own, they were in that of the sale.
const STATED: [(&str, Option<&str>); 4] = [
    ("sale_amount", Some("currency")),
    ("payout", Some("payout_currency")),
    ("usd_sale_amount", None),
    ("usd_payout", None),
];

/// Amounts of totals of kinds.
const OF_KINDS: [(&str, Option<&str>); 4] = [
    ("sale_amount", Some("currency")),
    ("payout", Some("payout_currency")),
    ("reporting_sale_amount", None),
    ("reporting_payout", None),
];

/// Amounts of totals by hours.
const OF_HOURS: [(&str, Option<&str>); 6] = [
    ("reporting_sale_amount", None),
    ("reporting_payout", None),
    ("returned_sale_amount", None),
    ("returned_payout", None),
    ("pending_sale_amount", None),
    ("pending_payout", None),
];

/// How a table holds amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// Each in one column.
    Alone,
    /// As sums ([`Dialect::sum_columns`]).
    Summed,
}

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

/// Their columns, as a statement that answers names such as `totals.slot`.
pub(super) fn columns(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            "select table_name || '.' || column_name from information_schema.columns where table_schema = 'public'"
        }
        Dialect::Sqlite => {
            "select tables.name || '.' || columns.name from sqlite_master as tables, pragma_table_xinfo(tables.name) as columns
             where tables.type = 'table'"
        }
    }
}

/// Statements that each answer rows of a name and a sum. What a database of an earlier version has is summed as that version did: the
/// manifest of a backup that it made has its sums.
pub(super) fn queries(dialect: Dialect, tables: &[String], columns: &[String]) -> Vec<String> {
    let has = |name: &str| tables.iter().any(|table| table == name);
    let has_column = |table: &str, name: &str| columns.contains(&format!("{table}.{name}"));
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
    let of_totals = if has_column("totals", "payout_currency") {
        [
            ("totals", &OF_KINDS[..], Held::Summed),
            ("totals_by_day", &OF_KINDS[..], Held::Summed),
            ("totals_by_hour", &OF_HOURS[..], Held::Summed),
        ]
        .to_vec()
    } else {
        vec![("totals", &STATED[..], Held::Alone), ("totals_by_day", &STATED[..], Held::Alone)]
    };
    let held = std::iter::once(("conversions", &STATED[..], Held::Alone)).chain(of_totals);
    for (table, amounts, held) in held.filter(|(table, ..)| has(table)) {
        for (amount, currency) in amounts {
            let sum = match held {
                Held::Alone => dialect.sum_text(&format!("coalesce({}, 0)", dialect.amount(amount))),
                Held::Summed => dialect.sum_columns_text(table, amount),
            };
            queries.push(match currency.map(|own| if has_column(table, own) { own } else { "currency" }) {
                Some(currency) => format!(
                    "select '{table}.' || coalesce(nullif({currency}, ''), 'none') || '.{amount}', {sum} from {table}
                     group by coalesce(nullif({currency}, ''), 'none')"
                ),
                None => format!("select '{table}.{amount}', coalesce({sum}, '0') from {table}"),
            });
        }
    }
    for table in ["totals", "totals_by_hour", "totals_by_day"].into_iter().filter(|table| has(table)) {
        queries.push(format!("select '{table}.conversions', cast(coalesce(sum(conversions), 0) as text) from {table}"));
    }
    queries
}

/// Puts sums down; those of SQLite come in two parts.
pub(super) fn add(sums: &mut Sums, rows: Vec<(String, String)>) {
    for (name, value) in rows {
        let is_of_parts = value.contains(':') && name != "newest_event";
        let sum = if is_of_parts { read_sum(&value) } else { None };
        sums.insert(name, sum.map_or(value, |sum| sum.to_string()));
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
        let postgres =
            sums(&[("conversions.usd_payout", "-3000250000"), ("newest_event", "2025-11-21T08:00:00.000000Z")]);
        assert_eq!(sqlite, postgres);
    }

    #[test]
    fn a_database_of_an_earlier_version_is_summed_as_that_version_did() {
        let tables = ["conversions", "totals", "totals_by_day", "totals_by_hour"].map(str::to_owned);
        let names = |columns: &[&str]| {
            let columns: Vec<_> = columns.iter().map(|column| (*column).to_owned()).collect();
            queries(Dialect::Sqlite, &tables, &columns).join("\n")
        };
        let earlier = names(&["totals.currency"]);
        assert!(earlier.contains("'totals.usd_payout'"), "{earlier}");
        assert!(!earlier.contains("reporting_payout") && !earlier.contains("payout_currency"), "{earlier}");
        let now = names(&["totals.currency", "totals.payout_currency"]);
        assert!(!now.contains("'totals.usd_payout'"), "{now}");
        assert!(now.contains("sum(totals_by_hour.returned_payout_thousands)"), "{now}");
    }

    #[test]
    fn what_is_missing_differs_as_well() {
        let (before, after) = (sums(&[("rows.events", "2"), ("rows.links", "1")]), sums(&[("rows.events", "3")]));
        assert_eq!(differences(&before, &after), ["rows.events was 2, is 3", "rows.links was 1, is nothing"]);
        assert!(differences(&before, &before).is_empty());
    }
}
