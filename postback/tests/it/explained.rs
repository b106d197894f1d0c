//! Explanations: what a partner's engineer is told about a request.

use crate::{REGISTRY, now};
use postback::explain::{Explanation, Request, explain};

fn explained(target: &str) -> Explanation {
    explain(&REGISTRY, &Request { method: "GET", target, content_type: None, body: b"" }, now())
}

/// The advice for the problem of a code.
fn advice(target: &str, code: &str) -> String {
    let explanation = explained(target);
    let problem = explanation.problems.iter().find(|problem| problem.code == code);
    problem.unwrap_or_else(|| panic!("{code}: {explanation:#?}")).advice.clone().unwrap_or_default()
}

#[test]
fn every_problem_is_told_and_what_to_do_about_it() {
    let involve = |rest: &str| format!("https://network.bytec.com/involve/event?conversion_id=c1&{rest}");
    for (target, code, expected) in [
        (involve("rewars=10,50"), "invalid_amount", "if \"10,50\" means 10.50, send 10.50"),
        (involve("rewars=1,500"), "invalid_amount", "could be 1.500 or 1500"),
        (involve("rewars=1,234.50"), "invalid_amount", "means 1234.50"),
        (involve("rewars=1.234,50"), "invalid_amount", "means 1234.50"),
        (involve("rewars=$10.50"), "invalid_amount", "means 10.50"),
        (involve("rewars=1e3"), "invalid_amount", "exponent"),
        (involve("event_time=31/01/2025"), "invalid_time", "could mean day or month first"),
        (involve("event_time=0000-00-00+00:00:00"), "invalid_time", "has no time"),
        (involve("event_time=17357328000"), "invalid_time", "11 digits"),
        (involve("event_time=2025-01-01+09:00:00+PM"), "invalid_time", "from 0 to 23"),
        (
            involve("event_time=2026-01-01+12:00:00"),
            "time_in_future",
            "2026-01-01T04:00:00Z when it is read on the clocks of Asia/Kuala_Lumpur",
        ),
        (involve("payout=1&currency=10.50"), "invalid_currency", "is an amount"),
        (involve("rewars=-1"), "negative_amount", "event=refund"),
        (involve("rewars=10000000001"), "amount_too_large", "more than 10000000000.00, which is amount_max"),
        ("/rector/event?conversion_id=c1&status=Held".to_owned(), "unknown_status", "\"approved\" = approved"),
        (
            "/rector/event?conversion_id={conversion_id}".to_owned(),
            "macro_not_replaced",
            "\"{conversion_id}\" arrived as it stands",
        ),
        ("/affise/event?sum=1".to_owned(), "missing_field", "transactionid"),
        ("/involve/event?conversion_id=c1&rewars=1&rewards=2".to_owned(), "conflicting_values", "rewars"),
        ("/Involve/event?x=1".to_owned(), "partner_not_found", "did you mean /postback/involve/event?"),
        ("/nobody".to_owned(), "partner_not_found", "/postback/rector/event"),
    ] {
        let advice = advice(&target, code);
        assert!(advice.contains(expected), "{target}: {advice:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let explanation = explained("/involve/event?rewars=10,50&event_time=x&payout=1&currency=EURO");
    let codes: Vec<_> = explanation.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["invalid_time", "invalid_amount", "invalid_currency", "missing_field"]);
    assert!(!explanation.accepted && explanation.event_id.is_none() && explanation.canonical.is_none());
}

#[test]
fn an_accepted_request_shows_how_it_was_read() {
    let explanation = explained(
        "/involve/event?conversion_id=c1&Click_ID={aff_sub}&event_time=1735732800000&datetime_conversion=2025-01-01\
         &status=Yet+to+consumed&payout_local=10%C2%A4cy=EUR&zzz=1&ts_token=geheim#rest",
    );
    assert!(explanation.accepted, "{explanation:#?}");
    let note = |field: &str| {
        let about = explanation.fields.iter().find(|about| about.field == field);
        about.unwrap_or_else(|| panic!("{field}")).note.clone().unwrap_or_default()
    };
    assert_eq!(note("ts_event"), "13 digits: milliseconds since 1970");
    assert_eq!(note("conversion_datetime"), "a date without a time: its midnight in Asia/Kuala_Lumpur");
    assert_eq!(note("status"), "the partner's word is \"Yet to consumed\"");
    assert_eq!(note("event"), "the partner's default");
    let warnings: Vec<_> =
        explanation.warnings.iter().map(|warning| (warning.code, warning.field.unwrap_or("-"))).collect();
    for expected in [("name_case", "click_id"), ("macro_not_replaced", "click_id"), ("html_damage", "currency")] {
        assert!(warnings.contains(&expected), "{warnings:?}");
    }
    assert_eq!(explanation.ignored, ["zzz"]);
    assert!(explanation.notes.iter().any(|note| note.contains("behind #")), "{:?}", explanation.notes);
    let json = serde_json::to_string(&explanation).expect("JSON");
    assert!(!json.contains("geheim"), "a token is not shown");
}

#[test]
fn an_explanation_says_what_the_endpoint_would_do() {
    let request = |method, target, body: &'static [u8]| {
        let explanation = explain(&REGISTRY, &Request { method, target, content_type: None, body }, now());
        explanation.problems.first().map(|problem| problem.code.clone())
    };
    assert_eq!(request("GET", "/involve/event?conversion_id=c1", b""), None);
    assert_eq!(request("POST", "/involve/event", b"conversion_id=c1"), None);
    assert_eq!(request("GET", "/involve/event", b"conversion_id=c1").as_deref(), Some("missing_field"));
    assert_eq!(request("PUT", "/involve/event?conversion_id=c1", b"").as_deref(), Some("method_not_allowed"));
    let long = format!("/involve/event?conversion_id=c1&{}", "x".repeat(8200));
    assert_eq!(request("GET", &long, b"").as_deref(), Some("url_too_long"));
    let large: &'static [u8] = vec![b'x'; 65_537].leak();
    assert_eq!(request("POST", "/involve/event?conversion_id=c1", large).as_deref(), Some("body_too_large"));
    assert_eq!(
        request("GET", "network.bytec.com/involve/event?conversion_id=c1", b""),
        None,
        "a host without a scheme"
    );
}
