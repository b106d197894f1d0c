//! The rules as a whole, from the outside: shipped partners and example networks, tables of recorded and of bad requests,
//! and an independent implementation to agree with.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at once when something is not as it says"
)]

mod bad_input;
mod duplicates;
mod conversion;
mod explained;
mod properties;
mod recorded;
mod shipped;
mod witness;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postback::params::Params;
use postback::partner::file::read_folders;
use postback::partner::{Partner, Registry};
use postback::reading::Reading;
use postback::rejection::Rejection;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde::Deserialize;
use std::path::Path;
use std::sync::LazyLock;

/// The shipped partners and the example networks.
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../partners");
    read_folders(&[&partners, &partners.join("examples")]).expect("the shipped files are good")
});

fn partner(code: &str) -> &'static Partner {
    REGISTRY.by_code(code).unwrap_or_else(|| panic!("no partner {code}"))
}

fn utc(text: &str) -> Timestamp {
    Timestamp::parse(text, &Zone::utc()).expect("a time")
}

/// The clock of tests that do not bring their own.
fn now() -> Timestamp {
    utc("2025-11-21T00:00:00Z")
}

/// The canonical form, or `code field`.
fn outcome_of(reading: Result<Reading, Rejection>) -> String {
    match reading {
        Ok(reading) => reading.postback.to_query(),
        Err(rejection) => format!("{} {}", rejection.code().as_str(), rejection.field().unwrap_or("-")),
    }
}

/// The request of a table's row.
#[derive(Deserialize)]
struct Request {
    partner: String,
    method: String,
    target: String,
    content_type: Option<String>,
    body: Option<String>,
    body_b64: Option<String>,
}

impl Request {
    /// Reads it as edge and origin do.
    fn read(&self, received_at: Timestamp) -> Result<Reading, Rejection> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let partner = REGISTRY.by_path(path).unwrap_or_else(|| panic!("no partner at {path}"));
        assert_eq!(partner.code, self.partner);
        let body = match (&self.body, &self.body_b64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(encoded)) => STANDARD.decode(encoded).expect("base64"),
            _ => Vec::new(),
        };
        // The body of a GET is not looked at.
        let body = if self.method == "POST" { body } else { Vec::new() };
        let mut params = Params::from_request(query, self.content_type.as_deref(), &body)?;
        params.drop_credentials();
        partner.read(&params, received_at)
    }
}

/// The rows of a table, one JSON object a line.
fn rows<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    let text = std::fs::read_to_string(&path).expect("the table");
    let row = |(index, line): (usize, &str)| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}, line {}: {error}", index.saturating_add(1)))
    };
    text.lines().enumerate().map(row).collect()
}

/// Fails with every row that is not as it should be.
fn report(table: &str, total: usize, wrong: &[String]) {
    assert!(wrong.is_empty(), "{} of {total} rows of {table} are not as they say:\n{}", wrong.len(), wrong.join("\n"));
}
