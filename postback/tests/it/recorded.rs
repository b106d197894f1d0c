//! `testdata/postbacks.jsonl`: what networks send, each with its clock and the exact canonical form, or the code of its
//! refusal.

use crate::{REGISTRY, Request, report, rows, utc};
use postback::canonical::CanonicalForm;
use postback::params::Params;
use postback::partner::file::read_files;
use postback::reading::WarningCode;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Deserialize)]
struct Row {
    name: String,
    received_at: String,
    #[serde(flatten)]
    request: Request,
    #[serde(default)]
    canonical: BTreeMap<String, String>,
    #[serde(default)]
    warnings: BTreeSet<String>,
    #[serde(default)]
    ignored: BTreeSet<String>,
    code: Option<String>,
    field: Option<String>,
}

impl Row {
    fn expected(&self) -> String {
        match &self.code {
            Some(code) => format!("{code} {:?}", self.field.as_deref()),
            None => format!("{:?} warnings {:?} ignored {:?}", self.canonical, self.warnings, self.ignored),
        }
    }

    fn found(&self) -> String {
        match self.request.read(utc(&self.received_at)) {
            Err(rejection) => format!("{} {:?}", rejection.code().as_str(), rejection.field()),
            Ok(reading) => {
                let canonical: BTreeMap<_, _> =
                    reading.postback.fields().map(|(field, text)| (field.name().to_owned(), text)).collect();
                let warnings: BTreeSet<_> = reading.warnings.iter().map(ToString::to_string).collect();
                let ignored: BTreeSet<_> = reading.ignored.into_iter().collect();
                format!("{canonical:?} warnings {warnings:?} ignored {ignored:?}")
            }
        }
    }
}

#[test]
fn every_recorded_request_comes_to_what_it_says() {
    let rows: Vec<Row> = rows("postbacks.jsonl");
    assert!(rows.len() >= 150, "{} rows", rows.len());
    let differs = |row: &&Row| row.found() != row.expected();
    let wrong: Vec<_> = rows
        .iter()
        .filter(differs)
        .map(|row| {
            format!("{}: {}\n  expected {}\n  found    {}", row.name, row.request.target, row.expected(), row.found())
        })
        .collect();
    report("postbacks.jsonl", rows.len(), &wrong);
}

/// R11, for every accepted row: what the edge forwards, read again, is the same postback.
#[test]
fn every_accepted_row_is_the_same_when_read_again() {
    for row in rows::<Row>("postbacks.jsonl") {
        let received_at = utc(&row.received_at);
        if let Ok(first) = row.request.read(received_at) {
            let again = CanonicalForm::from_query(&first.postback.to_query());
            let again = again.into_postback(first.postback.event_id().clone());
            assert_eq!(again, Ok(first.postback), "{}", row.name);
        }
    }
}

#[test]
fn every_network_and_every_warning_has_a_row() {
    let rows: Vec<Row> = rows("postbacks.jsonl");
    let partners: BTreeSet<_> = rows.iter().map(|row| row.request.partner.as_str()).collect();
    let missing: Vec<_> =
        REGISTRY.all().iter().map(|partner| partner.code.as_str()).filter(|code| !partners.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let warnings: BTreeSet<_> =
        rows.iter().flat_map(|row| &row.warnings).filter_map(|text| text.split(':').next()).collect();
    // The origin's own, about what an edge of another version forwards.
    let of_the_origin = [WarningCode::UnreadableOriginal];
    let missing: Vec<_> = WarningCode::ALL
        .into_iter()
        .filter(|code| !warnings.contains(code.as_str()) && !of_the_origin.contains(code))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A partner that flags unknown statuses and needs a status: what it needs is refused all the same.
#[test]
fn an_unknown_status_is_refused_where_a_status_is_required() {
    let file =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../partners/involve_asia.toml")).expect("a file");
    let file = file.replace("required = [\"conversion_id\"]", "required = [\"conversion_id\", \"status\"]");
    let registry = read_files([("x.toml", file.as_str())].into_iter()).expect("a good file");
    let read = |query: &str| {
        let params = Params::from_query(query).expect("a query");
        registry.all()[0].read(&params, utc("2025-11-21T00:00:00Z"))
    };
    let code = |query: &str| read(query).map(|_| ()).map_err(|rejection| rejection.code().as_str());
    assert_eq!(code("conversion_id=c1&status=Maybe"), Err("unknown_status"));
    assert_eq!(code("conversion_id=c1"), Err("missing_field"));
    assert_eq!(code("conversion_id=c1&status=Paid"), Ok(()));
    // A macro under one name and a value under another: the value counts, and the macro is told.
    let reading = read("conversion_id=c1&status=Paid&rewars={usd_payout}&usd_payout=10").expect("a postback");
    assert!(reading.warnings.iter().any(|warning| warning.to_string() == "macro_not_replaced:usd_payout"));
    let reading = read("conversion_id={conversion_id}&Conversion_ID=c1&status=Paid").expect("a postback");
    assert!(reading.warnings.iter().any(|warning| warning.to_string() == "macro_not_replaced:conversion_id"));
}
