//! What the edge answered: what was asked for, or why not and what to do about it.

use crate::cli::terminal::plain;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Characters of a text of somebody else's that are told at most.
const TOLD_CHARS_MAX: usize = 500;

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header of that name.
    pub retry_after: Option<String>,
    /// The body; None where it is too large.
    pub body: Option<Vec<u8>>,
}

/// Why something was not done.
#[derive(Debug)]
pub struct Refused {
    /// The edge's code; empty where it is not the edge that refuses.
    pub code: String,
    /// What happened and what to do, for people.
    pub text: String,
}

impl Refused {
    /// Nobody refuses, there is no answer.
    pub fn unanswered(text: String) -> Refused {
        Refused { code: String::new(), text }
    }
}

impl From<Refused> for String {
    fn from(refused: Refused) -> String {
        refused.text
    }
}

/// Reads the answer of an edge.
///
/// # Errors
/// It is a refusal, or none of the edge's.
pub fn read<T: DeserializeOwned>(edge: &str, answer: &Answer) -> Result<T, Refused> {
    let status = answer.status;
    let foreign = |what: &str| {
        Refused::unanswered(format!(
            "{edge} answered {status} and {what}: that is not the edge, or something stands in front of it"
        ))
    };
    let body = answer.body.as_deref().ok_or_else(|| foreign("more than the edge ever does"))?;
    let no_json = || foreign(if (300..400).contains(&status) { "a redirect" } else { "no JSON" });
    let body: Value = serde_json::from_slice(body).map_err(|_| no_json())?;
    let member = |name: &str| told(body.get(name).and_then(Value::as_str).unwrap_or_default());
    let code = member("error");
    // A replay of which not all got into the queue is answered 503, without an error.
    if code.is_empty()
        && [200, 503].contains(&status)
        && let Ok(read) = T::deserialize(&body)
    {
        return Ok(read);
    }
    let advice = advice(&code, &member("field"), &member("hint"), answer.retry_after.as_deref());
    let request = match member("request_id") {
        id if id.is_empty() => String::new(),
        id => format!(" (request {id})"),
    };
    let separator = if code.is_empty() { "" } else { " " };
    Err(Refused { text: format!("{edge} answered {status}{separator}{code}: {advice}{request}"), code })
}

/// What to do about a refusal.
fn advice(code: &str, field: &str, hint: &str, retry_after: Option<&str>) -> String {
    match code {
        "signature_invalid" => "the edge does not know this token: is OPERATOR_TOKEN one of the secret OPERATOR_TOKENS of this environment?".to_owned(),
        "rate_limited" => format!(
            "too many calls with a wrong token from here: mend OPERATOR_TOKEN and try again in {} s",
            told(retry_after.unwrap_or("60"))
        ),
        "unclear_filter" => format!("{field} {hint}"),
        "operation_not_found" => "this edge has no such operation: is it of an older version?".to_owned(),
        "partner_not_found" => "this edge has no operations: is it of an older version?".to_owned(),
        "unavailable" => "the edge's configuration is wrong, or the table of parked postbacks does not answer: the log of the edge has the reason (npx wrangler tail --env NAME)".to_owned(),
        _ if hint.is_empty() => "that is not an answer of the edge".to_owned(),
        _ => hint.to_owned(),
    }
}

/// Somebody else's text, as it may be told.
fn told(text: &str) -> String {
    plain(text).chars().take(TOLD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::edge::{Page, Replayed};

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, retry_after: None, body: Some(body.as_bytes().to_vec()) }
    }

    fn refused(answer: &Answer) -> Refused {
        read::<Page>("https://edge", answer).unwrap_err()
    }

    #[test]
    fn what_was_asked_for_is_read() {
        let page: Page = read("https://edge", &answer(200, r#"{"parked":[],"next":null,"newer":1}"#)).unwrap();
        assert!(page.parked.is_empty() && page.next.is_none());
        let replayed =
            r#"{"dry_run":false,"matching":3,"replayed":1,"left":2,"by_partner_and_reason":[],"problem":"p"}"#;
        let replayed: Replayed = read("https://edge", &answer(503, replayed)).unwrap();
        assert_eq!((replayed.replayed, replayed.problem.as_deref()), (1, Some("p")));
    }

    #[test]
    fn what_is_not_an_answer_of_the_edge_is_told_apart() {
        for (status, body, expected) in [
            (
                200,
                "<html>",
                "https://edge answered 200 and no JSON: that is not the edge, or something stands in front of it",
            ),
            (
                302,
                "",
                "https://edge answered 302 and a redirect: that is not the edge, or something stands in front of it",
            ),
            (200, r#"{"parked":"all"}"#, "https://edge answered 200: that is not an answer of the edge"),
            (500, r#"{"parked":[]}"#, "https://edge answered 500: that is not an answer of the edge"),
            (503, "[1]", "https://edge answered 503: that is not an answer of the edge"),
        ] {
            assert_eq!(refused(&answer(status, body)).text, expected);
        }
        let large = Answer { status: 200, retry_after: None, body: None };
        assert!(refused(&large).text.starts_with("https://edge answered 200 and more than the edge ever does: "));
    }

    #[test]
    fn a_refusal_comes_with_what_to_do() {
        for (body, expected) in [
            (r#"{"error":"signature_invalid","hint":"h"}"#, "the edge does not know this token"),
            (r#"{"error":"unclear_filter","field":"state","hint":"is one of a, b"}"#, "state is one of a, b"),
            (r#"{"error":"operation_not_found","hint":"h"}"#, "this edge has no such operation"),
            (r#"{"error":"partner_not_found","hint":"h"}"#, "this edge has no operations"),
            (r#"{"error":"unavailable","hint":"h"}"#, "the edge's configuration is wrong"),
            (
                r#"{"error":"rate_limited","hint":"h"}"#,
                "too many calls with a wrong token from here: mend OPERATOR_TOKEN and try again in 60 s",
            ),
            (r#"{"error":"newer","hint":"do this","request_id":"r1"}"#, "do this (request r1)"),
        ] {
            let Refused { code, text } = refused(&answer(400, body));
            assert!(text.starts_with(&format!("https://edge answered 400 {code}: {expected}")), "{text}");
        }
        let waits = Answer { retry_after: Some("7".to_owned()), ..answer(429, r#"{"error":"rate_limited"}"#) };
        assert!(refused(&waits).text.ends_with("try again in 7 s"));
    }

    #[test]
    fn a_text_of_somebody_else_commands_no_terminal_and_fills_none() {
        let hint = format!(r#"{{"error":"new\u001b[2J\u009b","hint":"\u0007{}"}}"#, "x".repeat(10_000));
        let text = refused(&answer(400, &hint)).text;
        assert!(!text.chars().any(char::is_control) && text.contains("new [2J"), "{text}");
        assert!(text.len() < 600, "{}", text.len());
    }
}
