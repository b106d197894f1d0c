//! SQL statements as data. Every statement works on a set of rows, which travel as its parameters; its text is made once
//! and never holds data. The kinds of database differ in how rows travel, in how they hold times, amounts and JSON, and in
//! nothing else that we use.

use super::StoreError;
use postback::money::Amount;
use postback::time::Timestamp;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Times are `timestamptz`, amounts `numeric`, JSON `jsonb`. Rows travel as one array for each column.
    Postgres,
    /// Times are text of one length, amounts integers of micro-units, JSON is text. Rows travel as one JSON text, which has
    /// no limit on the number of parameters, and in which integers stay integers (D1 binds every number as a float).
    Sqlite,
}

/// A thousand units in micro-units: about the square root of the largest amount, so that the sums of both parts hold equally many.
const THOUSAND: i128 = 1_000_000_000;

/// A column of the rows that a statement works on.
pub struct Column<T> {
    /// Its name, in the statement and in the table.
    name: &'static str,
    read: Read<T>,
}

/// How a column's value comes out of an entry.
enum Read<T> {
    Text(fn(&T) -> Option<String>),
    Number(fn(&T) -> i64),
    Flag(fn(&T) -> Option<bool>),
    Time(fn(&T) -> Option<Timestamp>),
    Amount(fn(&T) -> Option<Amount>),
    Json(fn(&T) -> String),
}

impl<T> Column<T> {
    /// Text, or nothing.
    pub const fn text(name: &'static str, read: fn(&T) -> Option<String>) -> Column<T> {
        Column { name, read: Read::Text(read) }
    }

    /// A whole number.
    pub const fn number(name: &'static str, read: fn(&T) -> i64) -> Column<T> {
        Column { name, read: Read::Number(read) }
    }

    /// Yes or no, or nothing.
    pub const fn flag(name: &'static str, read: fn(&T) -> Option<bool>) -> Column<T> {
        Column { name, read: Read::Flag(read) }
    }

    /// An instant, or nothing.
    pub const fn time(name: &'static str, read: fn(&T) -> Option<Timestamp>) -> Column<T> {
        Column { name, read: Read::Time(read) }
    }

    /// An exact decimal, or nothing. Its name in a statement is [`Dialect::amount`].
    pub const fn amount(name: &'static str, read: fn(&T) -> Option<Amount>) -> Column<T> {
        Column { name, read: Read::Amount(read) }
    }

    /// JSON, as text.
    pub const fn json(name: &'static str, read: fn(&T) -> String) -> Column<T> {
        Column { name, read: Read::Json(read) }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its value of an entry, as JSON.
    pub fn value(&self, entry: &T) -> serde_json::Value {
        self.values(std::slice::from_ref(entry)).json(0)
    }

    /// The expression for the same JSON of a row of a table that has this column.
    pub fn stored(&self, dialect: Dialect, table: &str) -> String {
        let name = format!("{table}.{}", self.name);
        match self.read {
            Read::Text(_) | Read::Number(_) | Read::Flag(_) | Read::Json(_) => name,
            Read::Time(_) => dialect.time_text(&name),
            Read::Amount(_) => dialect.micros(&format!("{table}.{}", dialect.amount(self.name))),
        }
    }

    /// Reads what that expression comes to: SQLite has a number for yes and no.
    pub fn read_stored(&self, stored: serde_json::Value) -> serde_json::Value {
        match (&self.read, stored.as_i64()) {
            (Read::Flag(_), Some(number)) => (number != 0).into(),
            (Read::Text(_) | Read::Number(_) | Read::Flag(_) | Read::Time(_) | Read::Amount(_) | Read::Json(_), _) => {
                stored
            }
        }
    }

    fn values(&self, entries: &[T]) -> Values {
        match self.read {
            Read::Text(read) => Values::Texts(entries.iter().map(read).collect()),
            Read::Number(read) => Values::Numbers(entries.iter().map(read).collect()),
            Read::Flag(read) => Values::Flags(entries.iter().map(read).collect()),
            Read::Time(read) => Values::Times(entries.iter().map(read).collect()),
            Read::Amount(read) => Values::Amounts(entries.iter().map(read).collect()),
            Read::Json(read) => Values::Jsons(entries.iter().map(read).collect()),
        }
    }
}

/// The values of one column, one for each row.
#[derive(Clone, Debug)]
pub enum Values {
    /// Texts.
    Texts(Vec<Option<String>>),
    /// Whole numbers.
    Numbers(Vec<i64>),
    /// Yes or no.
    Flags(Vec<Option<bool>>),
    /// Instants.
    Times(Vec<Option<Timestamp>>),
    /// Exact decimals.
    Amounts(Vec<Option<Amount>>),
    /// JSON, as text.
    Jsons(Vec<String>),
}

/// A statement. Its rows are the table `input` in it.
pub struct Step<T: 'static> {
    sql: Arc<str>,
    columns: &'static [Column<T>],
    answers: bool,
}

impl<T> Step<T> {
    /// A statement over rows of these columns.
    pub fn new(dialect: Dialect, columns: &'static [Column<T>], statement: &str) -> Step<T> {
        Step { sql: format!("with {} {statement}", dialect.input(columns)).into(), columns, answers: false }
    }

    /// The same, answering rows of two texts, `id` and `answer`. Of a postback's steps `id` is the name of its receipt, which is also
    /// the first column of what it works on.
    #[must_use]
    pub fn answering(self) -> Step<T> {
        Step { answers: true, ..self }
    }

    /// The statement with its rows.
    pub fn over(&self, entries: &[T]) -> Statement {
        Statement {
            sql: Arc::clone(&self.sql),
            columns: self.columns.iter().map(|column| column.values(entries)).collect(),
            rows_count: entries.len(),
            answers: self.answers,
        }
    }
}

/// A statement with its rows, column by column.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text.
    pub sql: Arc<str>,
    /// The rows' values.
    pub columns: Vec<Values>,
    /// How many rows there are.
    rows_count: usize,
    /// Whether it answers rows of two texts, or only how many it wrote.
    pub answers: bool,
}

impl Statement {
    /// The statement with its rows in its text, for SQLite.
    pub fn as_sqlite(&self) -> String {
        self.sql.replace("?1", &format!("'{}'", self.rows_json().replace('\'', "''")))
    }

    /// The rows as a JSON array of arrays.
    pub fn rows_json(&self) -> String {
        let row = |index: usize| self.columns.iter().map(|column| column.json(index)).collect::<serde_json::Value>();
        (0..self.rows_count).map(row).collect::<serde_json::Value>().to_string()
    }
}

impl Values {
    fn json(&self, index: usize) -> serde_json::Value {
        match self {
            Values::Texts(texts) => texts.get(index).cloned().into(),
            Values::Numbers(numbers) => numbers.get(index).copied().into(),
            Values::Flags(flags) => flags.get(index).copied().flatten().into(),
            Values::Times(times) => times.get(index).copied().flatten().map(Timestamp::to_sortable).into(),
            Values::Amounts(amounts) => amounts.get(index).copied().flatten().map(Amount::micros).into(),
            Values::Jsons(texts) => texts.get(index).cloned().into(),
        }
    }
}

/// What a statement did.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Rows that it wrote.
    pub changed: u64,
    /// Rows that it answers.
    pub answers: Vec<(String, String)>,
}

/// The JSON that a statement answers.
///
/// # Errors
/// It is not as our statements make it.
pub fn read_json<T: DeserializeOwned>(what: &str, answer: &str) -> Result<T, StoreError> {
    serde_json::from_str(answer).map_err(|error| StoreError::Bug(format!("{what} that cannot be read: {error}")))
}

/// An amount of micro-units in SQLite as thousands of units and the micro-units below them; both have its sign.
fn in_thousands(amount: &str) -> [String; 2] {
    [format!("{amount} / {THOUSAND}"), format!("{amount} % {THOUSAND}")]
}

/// The sum that [`Dialect::sum_text`] writes, in micro-units; None where it is none.
pub fn read_sum(text: &str) -> Option<i128> {
    let (thousands, micros) = text.split_once(':').unwrap_or(("0", text));
    let [thousands, micros] = [thousands, micros].map(|part| part.parse::<i128>().ok());
    thousands?.checked_mul(THOUSAND)?.checked_add(micros?)
}

impl Dialect {
    /// The column that holds an amount's truth.
    pub fn amount(self, name: &str) -> String {
        match self {
            Dialect::Postgres => name.to_owned(),
            Dialect::Sqlite => format!("{name}_micros"),
        }
    }

    /// The end of a subquery that is asked for each row by key. PostgreSQL makes a plan once and keeps it: of a table that was
    /// small then it would go through the whole to find a few rows, and go on doing so when there are millions. Over this it
    /// does not look.
    pub const fn by_key(self) -> &'static str {
        match self {
            Dialect::Postgres => " offset 0",
            // It looks up each row of the outer table by the inner one's key, as written.
            Dialect::Sqlite => "",
        }
    }

    /// A join of each row of `input` with the row of a table that a condition on its key finds, or with nothing.
    pub fn left_join_by_key(self, table: &str, name: &str, condition: &str) -> String {
        match self {
            Dialect::Postgres => {
                format!(
                    "left join lateral (select * from {table} as {name} where {condition} offset 0) as {name} on true"
                )
            }
            Dialect::Sqlite => format!("left join {table} as {name} on {condition}"),
        }
    }

    /// A join of each row of `input` with the rows of a table that a condition on its key finds.
    pub fn join_by_key(self, table: &str, name: &str, condition: &str) -> String {
        match self {
            Dialect::Postgres => {
                format!("join lateral (select * from {table} as {name} where {condition} offset 0) as {name} on true")
            }
            Dialect::Sqlite => format!("join {table} as {name} on {condition}"),
        }
    }

    /// The same, for rows that are not those of `input` alone: SQLite would begin with the table where it thinks that it has fewer rows, and
    /// read all of it. A cross join keeps the order.
    pub fn join_in_order(self, table: &str, name: &str, condition: &str) -> String {
        match self {
            Dialect::Postgres => self.join_by_key(table, name, condition),
            Dialect::Sqlite => format!("cross join {table} as {name} on {condition}"),
        }
    }

    /// For the table that a statement updates, which has no subquery: that its column is among the values that a column of text or
    /// of whole numbers has in the rows.
    pub fn among<T>(self, columns: &[Column<T>], table_column: &str, name: &str) -> String {
        let place = columns.iter().position(|column| column.name == name);
        let column = place.and_then(|place| columns.get(place));
        match (self, place, column.map(|column| &column.read)) {
            (Dialect::Postgres, Some(place), Some(read)) => {
                let kind = if matches!(read, Read::Number(_)) { "bigint" } else { "text" };
                format!(" and {table_column} = any(${}::{kind}[])", place.saturating_add(1))
            }
            (Dialect::Postgres | Dialect::Sqlite, _, _) => String::new(),
        }
    }

    /// A list in JSON with one more text, where one of the conditions holds: the first that does.
    pub fn with_note(self, list: &str, notes: &[(String, &str)]) -> String {
        let cases = |noted: fn(&str, &str) -> String| {
            notes
                .iter()
                .map(|(condition, note)| format!(" when {condition} then {}", noted(list, note)))
                .collect::<String>()
        };
        let noted = match self {
            Dialect::Postgres => cases(|list, note| format!("{list} || '[\"{note}\"]'::jsonb")),
            Dialect::Sqlite => cases(|list, note| format!("json_insert({list}, '$[#]', '{note}')")),
        };
        if noted.is_empty() { list.to_owned() } else { format!("case{noted} else {list} end") }
    }

    /// An object in JSON of these names and expressions, as text. D1 takes 16 of them at most.
    pub fn json_object(self, members: &[(&str, String)]) -> String {
        match self {
            Dialect::Postgres => format!("{}::text", self.json_members(members)),
            Dialect::Sqlite => self.json_members(members),
        }
    }

    /// A list of lists in JSON of these expressions, as text: a function of D1 takes 32 arguments at most.
    pub fn json_lists(self, expressions: &[String]) -> String {
        let list = |items: &[String]| match self {
            Dialect::Postgres => format!("json_build_array({})", items.join(", ")),
            Dialect::Sqlite => format!("json_array({})", items.join(", ")),
        };
        let lists: Vec<_> = expressions.chunks(30).map(list).collect();
        match self {
            Dialect::Postgres => format!("{}::text", list(&lists)),
            Dialect::Sqlite => list(&lists),
        }
    }

    /// The same as a member of another object.
    pub fn json_members(self, members: &[(&str, String)]) -> String {
        let members = members.iter().map(|(name, expression)| format!("'{name}', {expression}"));
        let members = members.collect::<Vec<_>>().join(", ");
        match self {
            Dialect::Postgres => format!("json_build_object({members})"),
            Dialect::Sqlite => format!("json_object({members})"),
        }
    }

    /// A member that is an object, or null where an expression is.
    pub fn json_or_null(self, expression: &str, object: &str) -> String {
        let member = format!("case when {expression} is null then null else {object} end");
        match self {
            Dialect::Postgres => member,
            // Behind a case it would be a text.
            Dialect::Sqlite => format!("json({member})"),
        }
    }

    /// A random whole number from 0 to 2^52 - 1, another one for each row.
    pub const fn random(self) -> &'static str {
        match self {
            Dialect::Postgres => "cast(floor(random() * 4503599627370496) as bigint)",
            Dialect::Sqlite => "((random() >> 12) & 4503599627370495)",
        }
    }

    /// An amount in micro-units, of the column that [`Dialect::amount`] names.
    pub fn micros(self, amount: &str) -> String {
        match self {
            Dialect::Postgres => format!("({amount} * 1000000)::bigint"),
            Dialect::Sqlite => amount.to_owned(),
        }
    }

    /// The sum of an amount's column, as a text, because it may be more than an integer holds: in micro-units, or, in SQLite, whose
    /// sums of integers must not be that large, as `thousands:micros`: thousands of units, and the micro-units below them.
    pub fn sum_text(self, amount: &str) -> String {
        match self {
            Dialect::Postgres => format!("trunc(sum({amount}) * 1000000)::text"),
            Dialect::Sqlite => {
                let [thousands, micros] = in_thousands(amount);
                format!("cast(sum({thousands}) as text) || ':' || cast(sum({micros}) as text)")
            }
        }
    }

    /// The columns that hold the exact sum of amounts. SQLite's integers are too small for a sum of micro-units, and what is more than one
    /// holds becomes a float. So it has two columns, added to separately: thousands of units, and the micro-units below them. Each holds
    /// the sum of more than nine thousand million amounts, whatever they are.
    pub fn sum_columns(self, name: &str) -> Vec<String> {
        match self {
            Dialect::Postgres => vec![name.to_owned()],
            Dialect::Sqlite => vec![format!("{name}_thousands"), format!("{name}_micros")],
        }
    }

    /// The sums of an amount, which may be null, as [`Dialect::sum_columns`] holds them.
    pub fn sums_of_amount(self, amount: &str) -> Vec<String> {
        let amount = format!("coalesce({amount}, 0)");
        match self {
            Dialect::Postgres => vec![format!("sum({amount})")],
            Dialect::Sqlite => in_thousands(&amount).map(|part| format!("sum({part})")).into(),
        }
    }

    /// The sum of sums that [`Dialect::sum_columns`] holds, as [`Dialect::sum_text`] writes it.
    pub fn sum_columns_text(self, table: &str, name: &str) -> String {
        match self {
            Dialect::Postgres => self.sum_text(&format!("{table}.{name}")),
            Dialect::Sqlite => {
                let sums =
                    self.sum_columns(name).into_iter().map(|column| format!("cast(sum({table}.{column}) as text)"));
                sums.collect::<Vec<_>>().join(" || ':' || ")
            }
        }
    }

    /// An instant as RFC 3339 with microseconds, in UTC.
    pub fn time_text(self, instant: &str) -> String {
        match self {
            Dialect::Postgres => {
                format!(r#"to_char({instant} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#)
            }
            Dialect::Sqlite => instant.to_owned(),
        }
    }

    /// A text as a decimal, where the database has a type for that.
    pub fn decimal(self, text: &str) -> String {
        match self {
            Dialect::Postgres => format!("{text}::numeric"),
            Dialect::Sqlite => text.to_owned(),
        }
    }

    /// A text as a date.
    pub fn date(self, text: &str) -> String {
        match self {
            Dialect::Postgres => format!("{text}::date"),
            Dialect::Sqlite => text.to_owned(),
        }
    }

    /// An instant as Unix seconds.
    pub fn unix_s(self, instant: &str) -> String {
        match self {
            Dialect::Postgres => format!("floor(extract(epoch from {instant}))::bigint"),
            Dialect::Sqlite => format!("unixepoch({instant})"),
        }
    }

    /// An instant as Unix milliseconds.
    pub fn unix_ms(self, instant: &str) -> String {
        match self {
            Dialect::Postgres => format!("floor(extract(epoch from {instant}) * 1000)::bigint"),
            Dialect::Sqlite => format!("(unixepoch({instant}) * 1000 + cast(substr({instant}, 21, 3) as integer))"),
        }
    }

    /// The table `input`: rows of these columns out of a statement's parameters.
    fn input<T>(self, columns: &[Column<T>]) -> String {
        let name = |column: &Column<T>| match column.read {
            Read::Amount(_) => self.amount(column.name),
            Read::Text(_) | Read::Number(_) | Read::Flag(_) | Read::Time(_) | Read::Json(_) => column.name.to_owned(),
        };
        let list = |texts: Vec<String>| texts.join(", ");
        match self {
            Dialect::Postgres => {
                // An amount travels as text, so that no number type of a driver stands between.
                let selected = columns.iter().map(|column| match column.read {
                    Read::Amount(_) => format!("raw.{0}::numeric as {0}", column.name),
                    Read::Json(_) => format!("raw.{0}::jsonb as {0}", column.name),
                    Read::Text(_) | Read::Number(_) | Read::Flag(_) | Read::Time(_) => format!("raw.{}", column.name),
                });
                let arrays = columns.iter().zip(1..).map(|(column, number)| {
                    let kind = match column.read {
                        Read::Text(_) | Read::Amount(_) | Read::Json(_) => "text",
                        Read::Number(_) => "bigint",
                        Read::Flag(_) => "boolean",
                        Read::Time(_) => "timestamptz",
                    };
                    format!("${number}::{kind}[]")
                });
                format!(
                    "input as (select {} from unnest({}) as raw({}))",
                    list(selected.collect()),
                    list(arrays.collect()),
                    list(columns.iter().map(name).collect())
                )
            }
            Dialect::Sqlite => {
                let selected = columns.iter().enumerate();
                let selected = selected.map(|(index, column)| format!("value ->> {index} as {}", name(column)));
                format!("input as (select {} from json_each(?1))", list(selected.collect()))
            }
        }
    }
}
