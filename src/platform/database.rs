//! D1. Statements go and rows come as JSON text, every value a text: D1 binds numbers as floats.

use super::Bindings;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;

#[wasm_bindgen(raw_module = "./platform/database.js")]
extern "C" {
    #[wasm_bindgen(js_name = runBatch)]
    fn run_batch(database: &JsValue, statements_json: &str, timeout_ms: u32) -> Promise;
}

/// How long a batch may take, in milliseconds. D1 itself gives up after 30 s.
const ANSWER_MS_MAX: u32 = 30_000;

/// A D1 database.
#[derive(Clone)]
pub struct Database(JsValue);

/// What a statement did.
#[derive(Clone, Debug, Deserialize)]
pub struct Done {
    rows: Vec<Value>,
    /// Rows written.
    pub changes: u64,
}

impl Done {
    /// The rows, read into a type.
    ///
    /// # Errors
    /// A row that does not fit.
    pub fn rows<T: DeserializeOwned>(self) -> Result<Vec<T>, String> {
        self.rows.into_iter().map(|row| serde_json::from_value(row).map_err(|error| error.to_string())).collect()
    }
}

/// A statement with its values, numbered `?1`, `?2` and so on in its text.
#[derive(Clone, Debug)]
pub struct Statement {
    parts: Vec<Option<String>>,
}

impl Statement {
    /// A statement; values follow by [`Statement::with`].
    pub fn of(sql: impl Into<String>) -> Statement {
        Statement { parts: vec![Some(sql.into())] }
    }

    /// Binds the next value; None is null.
    pub fn with(mut self, value: Option<impl Into<String>>) -> Statement {
        self.parts.push(value.map(Into::into));
        self
    }
}

impl Bindings {
    /// A database, where it is bound.
    pub fn database(&self, name: &str) -> Option<Database> {
        self.get(name).map(Database)
    }
}

impl Database {
    /// Runs statements, all or none of them.
    ///
    /// # Errors
    /// The platform's words; they name tables and columns, never values.
    pub async fn run(&self, statements: Vec<Statement>) -> Result<Vec<Done>, String> {
        let parts: Vec<_> = statements.iter().map(|statement| &statement.parts).collect();
        let json = serde_json::to_string(&parts).map_err(|error| error.to_string())?;
        let text = super::text_of(run_batch(&self.0, &json, ANSWER_MS_MAX)).await?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn run_one(&self, statement: Statement) -> Result<Done, String> {
        self.run(vec![statement]).await?.pop().ok_or_else(|| "no result".to_owned())
    }
}
