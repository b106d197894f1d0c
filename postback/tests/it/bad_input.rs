//! `testdata/bad_input.jsonl`: requests that must be refused, each with its code and field.

use crate::{Request, now, report, rows};
use postback::rejection::Code;
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
struct Row {
    name: String,
    #[serde(flatten)]
    request: Request,
    code: String,
    field: Option<String>,
}

/// Codes of requests that are signed wrongly, and of fields that no partner here requires: not what this table is about.
const ELSEWHERE: [Code; 3] = [Code::BadPath, Code::TwoSignatures, Code::InvalidFlag];

#[test]
fn every_bad_request_is_refused_with_its_code_and_field() {
    let rows: Vec<Row> = rows("bad_input.jsonl");
    assert!(rows.len() >= 250, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for Row { name, request, code, field } in &rows {
        let found = match request.read(now()) {
            Ok(reading) => format!("accepted: {}", reading.postback.to_query()),
            Err(rejection) => format!("{} {:?}", rejection.code().as_str(), rejection.field()),
        };
        let expected = format!("{code} {:?}", field.as_deref());
        if found != expected {
            wrong.push(format!("{name}: expected {expected}, found {found}"));
        }
    }
    report("bad_input.jsonl", rows.len(), &wrong);
}

#[test]
fn every_code_has_a_bad_request() {
    let rows: Vec<Row> = rows("bad_input.jsonl");
    let seen: BTreeSet<_> = rows.iter().map(|row| row.code.as_str()).collect();
    let missing: Vec<_> =
        Code::ALL.into_iter().filter(|code| !seen.contains(code.as_str()) && !ELSEWHERE.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
