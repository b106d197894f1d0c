//! `parked show`: one that is parked, with all that is kept of it.

use super::At;
use crate::cli::edge::{Edge, Shown};
use crate::cli::print;
use crate::cli::terminal::{columns, json};
use clap::Args;
use serde_json::Value;

/// What is shown.
#[derive(Args)]
pub struct Show {
    /// The request that brought it, or the click's id: the first column of the list.
    #[arg(allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    pub at: At,
}

/// Runs the command.
///
/// # Errors
/// The edge does not show it, or has none of that id.
pub async fn show(edge: &Edge, command: Show) -> Result<(), String> {
    let Show { id, at } = command;
    let shown = edge.show(&id).await?;
    let shown = shown.ok_or_else(|| {
        format!("{} answered 404 not_parked: no postback is parked under this request id", edge.name())
    })?;
    print(&if at.json { json(&shown)? } else { text(shown) });
    Ok(())
}

/// Name and value.
type Member<'a> = (&'a str, Option<String>);

/// What there is, in lines.
fn text(shown: Shown) -> String {
    let Shown { row, postback, click, report, message } = shown;
    let mut parts = vec![columns(&lines(
        "",
        vec![
            ("request_id", Some(row.request_id)),
            ("partner", row.partner),
            ("event_id", row.event_id),
            ("received_at", row.received_at),
            ("state", Some(row.state)),
            ("reason", Some(row.reason)),
            ("detail", Some(row.detail)),
            ("attempts", Some(row.attempts.to_string())),
            ("parked_at", Some(row.parked_at)),
            ("changed_at", Some(row.changed_at)),
            ("replays", Some(row.replays.to_string())),
        ],
    ))];
    let mut part = |title: &str, members: Vec<Member>| {
        parts.push(title.to_owned());
        parts.push(columns(&lines("  ", members)));
    };
    if let Some(kept) = postback {
        part(
            "postback",
            vec![
                ("canonical", Some(kept.canonical)),
                ("method", Some(kept.method)),
                ("target", Some(kept.target)),
                ("content_type", kept.content_type),
                ("body", Some(kept.body)),
                ("auth", Some(kept.auth)),
            ],
        );
    }
    if let Some(click) = &click {
        part("click", click.iter().map(|(name, value)| (name.as_str(), said(value))).collect());
    }
    if let Some(report) = &report {
        part("report", report.iter().map(|(name, value)| (name.as_str(), said(value))).collect());
    }
    if let Some(message) = message {
        part("message", vec![("message", Some(message))]);
    }
    parts.join("\n")
}

/// The members that say something, each a line.
fn lines(indent: &str, members: Vec<Member>) -> Vec<Vec<String>> {
    let said = members.into_iter().filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)));
    said.map(|(name, value)| vec![format!("{indent}{name}"), value]).collect()
}

fn said(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(more: Value) -> String {
        let mut row = json!({
            "request_id": "r1", "partner": null, "event_id": "evt_1", "received_at": null, "state": "parked", "reason": "refused",
            "detail": "", "attempts": 3, "parked_at": "2026-01-31T12:00:00Z", "changed_at": "2026-01-31T12:00:00Z", "replays": 0,
        });
        let (Value::Object(row_members), Value::Object(more)) = (&mut row, more) else { panic!() };
        row_members.extend(more);
        text(serde_json::from_value(row).unwrap())
    }

    #[test]
    fn what_says_nothing_is_left_out_and_what_could_command_a_terminal_is_not_printed() {
        let kept = json!({
            "canonical": "a=b", "method": "GET", "target": "/rector/event?a=\u{1b}[2J", "content_type": null, "body": "", "auth": "token",
        });
        assert_eq!(
            shown(json!({"postback": kept})),
            "request_id  r1\nevent_id    evt_1\nstate       parked\nreason      refused\nattempts    3\nparked_at   2026-01-31T12:00:00Z\n\
             changed_at  2026-01-31T12:00:00Z\nreplays     0\npostback\n  canonical  a=b\n  method     GET\n  target     /rector/event?a= [2J\n\
             \x20 auth       token"
        );
    }

    #[test]
    fn a_click_and_a_message_are_shown_too() {
        let click = shown(json!({"click": {"offer": "o1", "utm": {"utm_source": "x"}, "sub_id": null}}));
        assert!(click.ends_with("\nclick\n  offer  o1\n  utm    {\"utm_source\":\"x\"}"), "{click}");
        assert!(shown(json!({"message": "{\n}"})).ends_with("\nmessage\n  message  { }"));
    }
}
