//! SQL statements as data: written once, spelled for each kind of database. The kinds differ in how they hold times,
//! amounts and JSON, and in nothing else that we use.

use postback::money::Amount;
use postback::time::Timestamp;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Times are `timestamptz`, amounts `numeric`, JSON `jsonb`.
    Postgres,
    /// Times are text of one length, amounts integers of micro-units, JSON is text.
    Sqlite,
}

impl Dialect {
    /// The column that holds an amount's truth.
    pub fn amount_column(self, name: &str) -> String {
        match self {
            Dialect::Postgres => name.to_owned(),
            Dialect::Sqlite => format!("{name}_micros"),
        }
    }

    /// The placeholder of the `number`-th value. An amount travels to PostgreSQL as text, so that no number type of a
    /// driver stands between.
    fn placeholder(self, number: usize, value: &Value) -> String {
        match (self, value) {
            (Dialect::Postgres, Value::Amount(_)) => format!("${number}::text::numeric"),
            (Dialect::Postgres, Value::Json(_)) => format!("${number}::text::jsonb"),
            (Dialect::Postgres | Dialect::Sqlite, _) => format!("${number}"),
        }
    }
}

/// A value of a statement.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text.
    Text(Option<String>),
    /// A small whole number.
    Number(i32),
    /// Yes or no.
    Flag(Option<bool>),
    /// An instant.
    Time(Option<Timestamp>),
    /// An exact decimal.
    Amount(Option<Amount>),
    /// JSON, as text.
    Json(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Some(text.to_owned()))
    }
}

impl From<std::borrow::Cow<'_, str>> for Value {
    fn from(text: std::borrow::Cow<'_, str>) -> Value {
        Value::Text(Some(text.into_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Value {
        Value::Text(text.map(str::to_owned))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Value {
        Value::Time(Some(time))
    }
}

/// A statement with its values. Its text holds names from this program only, never data.
#[derive(Clone, Debug)]
pub struct Statement {
    /// SQL with `$1`, `$2`, ... for the values.
    pub sql: String,
    /// The values.
    pub values: Vec<Value>,
}

/// A statement over one row of a table.
pub struct Row<'a> {
    dialect: Dialect,
    table: &'a str,
    columns: Vec<(String, Value)>,
}

impl<'a> Row<'a> {
    /// A row of a table.
    pub fn of(dialect: Dialect, table: &'a str) -> Row<'a> {
        Row { dialect, table, columns: Vec::new() }
    }

    /// Adds a column.
    pub fn with(mut self, column: &str, value: impl Into<Value>) -> Self {
        self.columns.push((column.to_owned(), value.into()));
        self
    }

    /// Adds a column that holds an amount.
    pub fn with_amount(self, column: &str, amount: Option<Amount>) -> Self {
        let column = self.dialect.amount_column(column);
        self.with(&column, Value::Amount(amount))
    }

    /// Inserts the row.
    pub fn insert(self) -> Statement {
        self.insert_with(std::iter::empty())
    }

    /// Inserts the row and others, which have the same columns.
    fn insert_with(self, others: impl Iterator<Item = Row<'a>>) -> Statement {
        let Row { dialect, table, .. } = self;
        let names: Vec<_> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let mut values: Vec<Value> = Vec::with_capacity(names.len());
        let mut rows = Vec::new();
        for row in std::iter::once(self).chain(others) {
            let mut places = Vec::with_capacity(names.len());
            for (_, value) in row.columns {
                places.push(dialect.placeholder(values.len().saturating_add(1), &value));
                values.push(value);
            }
            rows.push(format!("({})", places.join(", ")));
        }
        let sql = format!("insert into {table} as known ({}) values {}", names.join(", "), rows.join(", "));
        Statement { sql, values }
    }

    /// Inserts the row, unless one of its key is there.
    pub fn insert_once(self, key: &str) -> Statement {
        let Statement { sql, values } = self.insert();
        Statement { sql: format!("{sql} on conflict ({key}) do nothing"), values }
    }

    /// Inserts rows of the same columns in one statement, except those of whose key one is there. None without rows.
    pub fn insert_each_once(rows: impl IntoIterator<Item = Row<'a>>, key: &str) -> Option<Statement> {
        let mut rows = rows.into_iter();
        let Statement { sql, values } = rows.next()?.insert_with(rows);
        Some(Statement { sql: format!("{sql} on conflict ({key}) do nothing"), values })
    }

    /// Inserts the row, or brings the one of its key up to date: what the row has replaces, what it lacks (null) stays; where
    /// the condition `stale` holds it only adds what was not known. Columns in `once` are kept as they were first; `also` is
    /// further assignments. Conditions and assignments call the two rows `excluded` and `known`. Answers the column
    /// `returning`.
    pub fn insert_or_update(self, key: &str, once: &[&str], stale: &str, also: &str, returning: &str) -> Statement {
        let updates: Vec<_> = self
            .columns
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| *name != key && !once.contains(name))
            .map(|name| {
                format!(
                    "{name} = case when {stale} then coalesce(known.{name}, excluded.{name})
                              else coalesce(excluded.{name}, known.{name}) end"
                )
            })
            .collect();
        let updates = updates.join(", ");
        let Statement { sql, values } = self.insert();
        let sql = format!("{sql} on conflict ({key}) do update set {updates}, {also} returning {returning}");
        Statement { sql, values }
    }
}
