//! A trace for people: a line for each thing that happened, and for each conversion what it comes to.

use super::super::terminal::{columns, plain};
use super::edge::AtEdge;
use crate::processing::REPORTING_CURRENCY;
use serde_json::Value;

/// Characters of a text of somebody else's that a line shows at most.
const TEXT_CHARS_MAX: usize = 120;

/// The traces of all partners. Where not all could be asked, nothing is said to be nowhere.
pub fn of(id: &str, traces: &[Value], at_edge: Option<&AtEdge>, is_whole: bool) -> String {
    let mut lines = Vec::new();
    for trace in traces {
        lines.extend(of_partner(trace));
    }
    if let Some(found) = at_edge {
        lines.extend(of_edge(found));
    }
    if traces.is_empty() && at_edge.is_none_or(AtEdge::is_empty) {
        let where_not = if is_whole { "found nowhere" } else { "not found where it could be looked for" };
        lines.push(format!("{}: {where_not}", plain(id)));
    }
    lines.join("\n")
}

fn of_partner(trace: &Value) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} is {}, times in {}",
        text(&trace["partner"]),
        text(&trace["id"]),
        texts(&trace["found_as"]).join(" and "),
        text(&trace["time_zone"]),
    )];
    let entries = trace["timeline"].as_array().into_iter().flatten();
    let rows: Vec<_> = entries.map(|entry| vec![text(&entry["at"]), text(&entry["kind"]), about(entry)]).collect();
    lines.extend(indented(&columns(&rows)));
    let conversions = trace["conversions"].as_array().into_iter().flatten();
    let rows: Vec<_> = conversions.map(state).collect();
    if !rows.is_empty() {
        lines.push("now:".to_owned());
        lines.extend(indented(&columns(&rows)));
        let total = &trace["total"];
        if total.is_null() {
            lines.push(
                "  what counts of it: not known, because there are more conversions than a trace shows".to_owned(),
            );
        } else {
            lines.push(format!(
                "  what counts of it: sale amount {}, payout {} in {}, waiting for rates {}",
                text(&total["reporting_sale_amount"]),
                text(&total["reporting_payout"]),
                text(&trace["currency"]),
                text(&total["waiting_for_rates"]),
            ));
        }
    }
    let cut = texts(&trace["cut"]);
    if !cut.is_empty() {
        lines.push(format!("  cut: there are more {} than a trace shows", cut.join(" and ")));
    }
    lines
}

/// What an entry says beside its time and kind.
fn about(entry: &Value) -> String {
    let said = |name: &str| Some(text(&entry[name])).filter(|_| !entry[name].is_null());
    let named = |name: &str| said(name).map(|said| format!("{} {said}", name.replace('_', " ")));
    let list = |name: &str| {
        let texts = texts(&entry[name]);
        (!texts.is_empty()).then(|| format!("{} {}", name.replace('_', " "), texts.join(", ")))
    };
    let parts = match entry["kind"].as_str() {
        Some("click") => vec![said("click_id"), named("offer"), named("sub_id"), named("media_id")],
        Some("request") => vec![
            said("verdict"),
            said("request_id"),
            named("event"),
            said("event_id"),
            named("auth_mode"),
            named("via"),
            list("warnings"),
            said("method"),
            said("target"),
        ],
        Some("event") => vec![named("event"), said("event_id"), named("request_id")],
        Some("rejection") => vec![
            said("code"),
            named("field"),
            named("status"),
            said("request_id"),
            named("auth_mode"),
            named("via"),
            (entry["is_authenticated"] == Value::Bool(false)).then(|| "not authenticated".to_owned()),
            said("method"),
            said("target"),
        ],
        Some("revision") => vec![
            Some(format!("{} of {}", text(&entry["revision"]), text(&entry["conversion_id"]))),
            named("event"),
            said("event_id"),
            named("status"),
            Some(deltas(&entry["deltas"])),
        ],
        Some("reread") => vec![
            said("request_id"),
            Some(format!("was {}", reading(&entry["before"]))),
            Some(format!("is {}", reading(&entry["after"]))),
        ],
        _ => vec![
            named("conversion_id"),
            named("attribution"),
            named("deposit"),
            named("refund_of"),
            list("findings"),
            named("error"),
        ],
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

/// What a request was read into.
fn reading(reading: &Value) -> String {
    let said = |name: &str| Some(text(&reading[name])).filter(|_| !reading[name].is_null());
    let stated = reading["stated"].as_object().into_iter().flatten();
    let stated = stated.map(|(name, value)| format!("{} {}", name.replace('_', " "), text(value)));
    let stated = Some(stated.collect::<Vec<_>>().join(", ")).filter(|stated| !stated.is_empty());
    let parts = [said("verdict"), said("code"), said("field"), said("conversion_id"), stated];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What a revision changed of money.
fn deltas(deltas: &Value) -> String {
    let Some(deltas) = deltas.as_array() else { return "what it changed of money is not known".to_owned() };
    if deltas.is_empty() {
        return "no money".to_owned();
    }
    let delta = |delta: &Value| {
        let amount = text(&delta["amount"]);
        let sign = if amount.starts_with('-') { "" } else { "+" };
        format!("{} {sign}{amount} {}", text(&delta["of"]).replace('_', " "), text(&delta["currency"]))
    };
    deltas.iter().map(delta).collect::<Vec<_>>().join(", ")
}

/// What a conversion comes to now.
fn state(conversion: &Value) -> Vec<String> {
    let is = |name: &str| conversion[name] == Value::Bool(true);
    let marks = [
        if is("is_counted") { "counts" } else { "does not count" },
        if is("is_duplicate") { "possible duplicate" } else { "" },
        if is("is_charged_back") { "charged back" } else { "" },
        if is("is_pending") { "processing is pending" } else { "" },
    ];
    let marks: Vec<_> = marks.into_iter().filter(|mark| !mark.is_empty()).collect();
    let sale = conversion["refund_of"].as_str();
    let returns = sale.map_or_else(String::new, |sale| format!("goes back of {}", shortened(sale)));
    vec![
        format!("{} #{}", text(&conversion["conversion_id"]), text(&conversion["occurrence"])),
        text(&conversion["event"]),
        text(&conversion["status"]),
        format!("sale amount {}", money(conversion, "sale_amount", "currency")),
        format!("payout {}", money(conversion, "payout", "payout_currency")),
        marks.join(", "),
        returns,
    ]
}

/// An amount as it counts, or else as it is stated, and what it is in the reporting currency.
fn money(conversion: &Value, amount: &str, currency: &str) -> String {
    let counted = &conversion[format!("counted_{amount}").as_str()];
    let own = match counted.is_null() {
        true => [&conversion[amount], &conversion[currency]],
        false => [counted, &conversion[format!("counted_{currency}").as_str()]],
    };
    let own = own.iter().filter(|value| !value.is_null()).map(|value| text(value)).collect::<Vec<_>>().join(" ");
    let reporting = text(&conversion[format!("reporting_{amount}").as_str()]);
    let reporting = format!("{reporting} {REPORTING_CURRENCY}");
    if own.is_empty() { reporting } else { format!("{own} ({reporting})") }
}

fn of_edge(found: &AtEdge) -> Vec<String> {
    if found.is_empty() {
        return vec!["edge: nothing of it is queued or parked".to_owned()];
    }
    let mut lines = vec!["edge:".to_owned()];
    let queued = found.queued.iter().map(|row| {
        let event = row.event_id.as_deref().unwrap_or("-");
        [row.queued_at.as_str(), "queued", "", &row.request_id, event, ""].map(shortened).to_vec()
    });
    let parked = found.parked.iter().map(|row| {
        let event = row.event_id.as_deref().unwrap_or("-");
        [row.parked_at.as_str(), &row.state, &row.reason, &row.request_id, event, &row.detail].map(shortened).to_vec()
    });
    lines.extend(indented(&columns(&queued.chain(parked).collect::<Vec<_>>())));
    if found.is_cut {
        lines.push(
            "  cut: more may be queued or parked; ask with bytec-origin parked list, or GET /ops/queued".to_owned(),
        );
    }
    lines
}

fn indented(lines: &str) -> impl Iterator<Item = String> + '_ {
    lines.lines().map(|line| format!("  {line}"))
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => shortened(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => shortened(&value.to_string()),
    }
}

/// Without what could command a terminal.
fn shortened(text: &str) -> String {
    let text = plain(text);
    if text.chars().count() <= TEXT_CHARS_MAX {
        return text;
    }
    let shown: String = text.chars().take(TEXT_CHARS_MAX).collect();
    format!("{shown}...")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_delta_has_its_sign_and_an_unknown_one_is_no_zero() {
        for (value, expected) in [
            (json!([{"of": "usd_payout", "amount": "10.50", "currency": "USD"}]), "usd payout +10.50 USD"),
            (
                json!([{"of": "payout", "amount": "-1.00", "currency": null}, {"of": "sale_amount", "amount": "2.00", "currency": "MYR"}]),
                "payout -1.00 -, sale amount +2.00 MYR",
            ),
            (json!([]), "no money"),
            (Value::Null, "what it changed of money is not known"),
        ] {
            assert_eq!(deltas(&value), expected);
        }
    }

    #[test]
    fn nothing_of_a_sender_commands_a_terminal() {
        let target = format!("/x?a=\u{1b}[2J\u{202e}{}", "y".repeat(200));
        let entry = json!({"kind": "request", "verdict": "created", "request_id": "r", "target": target, "warnings": ["\u{7}"]});
        let line = about(&entry);
        assert!(!line.chars().any(|char| char.is_control() || char == '\u{202e}'), "{line}");
        assert!(line.ends_with("...") && line.len() < 250, "{line}");
    }

    #[test]
    fn what_is_nowhere_is_said_only_when_all_were_asked() {
        assert_eq!(of("a\u{1b}b", &[], None, true), "a b: found nowhere");
        assert_eq!(of("a", &[], None, false), "a: not found where it could be looked for");
    }
}
