//! `explain`: what would happen to a request, and why. Partners' first question is always why something was refused.

use super::print;
use super::request::AskedRequest;
use crate::config::registry;
use postback::explain::{AboutField, Explanation, Problem, Request, explain};
use postback::partner::Registry;
use postback::partner::file::read_folder;
use postback::time::Timestamp;
use postback::zone::Zone;
use std::fmt::Write;
use std::path::Path;

/// The partners that a program was built with, or those of a folder of partner files.
///
/// # Errors
/// All problems of the files.
pub fn partners(folder: Option<&Path>) -> Result<Registry, String> {
    match folder {
        None => registry(),
        Some(folder) => match read_folder(folder) {
            Ok(registry) if registry.all().is_empty() => Err(format!("{} holds no *.toml", folder.display())),
            Ok(registry) => Ok(registry),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        },
    }
}

/// Explains a request as if it arrived at `received_at`, or now. Answers whether it would be accepted.
///
/// # Errors
/// When the time is none.
pub fn run(
    registry: &Registry,
    request: &AskedRequest,
    received_at: Option<&str>,
    now: Timestamp,
    json: bool,
) -> Result<bool, String> {
    let received_at = match received_at {
        None => now,
        Some(text) => Timestamp::parse(text, &Zone::utc())
            .ok_or_else(|| format!("--received-at {text:?} is no time, such as 2025-01-01T12:00:00Z"))?,
    };
    let request = Request {
        method: &request.method,
        target: &request.url,
        content_type: request.content_type.as_deref(),
        body: &request.body,
    };
    let explanation = explain(registry, &request, received_at);
    print(&if json {
        serde_json::to_string_pretty(&explanation).map_err(|error| error.to_string())?
    } else {
        text(&explanation, received_at)
    });
    Ok(explanation.accepted)
}

fn text(explanation: &Explanation, received_at: Timestamp) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, explanation, received_at);
    out
}

fn write_text(out: &mut String, explanation: &Explanation, received_at: Timestamp) -> std::fmt::Result {
    match explanation.problems.first() {
        None => writeln!(out, "accepted")?,
        Some(problem) => writeln!(out, "refused: {}", heading(problem))?,
    }
    if let Some(partner) = &explanation.partner {
        writeln!(out, "  partner      {} ({})", partner.name, partner.code)?;
        writeln!(out, "  times are    {} where they have no offset", partner.time_zone)?;
        writeln!(out, "  auth         {}", partner.auth.join(" and "))?;
    }
    writeln!(out, "  received at  {received_at}")?;
    if let Some(id) = &explanation.event_id {
        let origin = if id.derived { "derived: equal content is the same event" } else { "the sender's own" };
        writeln!(out, "  event id     {} ({origin})", id.id)?;
    }
    for problem in &explanation.problems {
        writeln!(out, "\nproblem: {}", heading(problem))?;
        writeln!(out, "  {}", problem.hint)?;
        if let Some(advice) = &problem.advice {
            writeln!(out, "  {advice}")?;
        }
    }
    if !explanation.fields.is_empty() {
        writeln!(out, "\nfields")?;
    }
    for field in &explanation.fields {
        write_field(out, field)?;
    }
    for warning in &explanation.warnings {
        let field = warning.field.map(|field| format!(" in {field}")).unwrap_or_default();
        let sent = warning.sent.as_ref().map(|sent| format!(": {sent}")).unwrap_or_default();
        writeln!(out, "\nwarning: {}{field}{sent}\n  {}", warning.code, warning.hint)?;
    }
    if !explanation.ignored.is_empty() {
        writeln!(out, "\nignored (kept with the request, without effect)\n  {}", explanation.ignored.join(", "))?;
    }
    for note in &explanation.notes {
        writeln!(out, "\nnote\n  {note}")?;
    }
    if let Some(canonical) = &explanation.canonical {
        writeln!(out, "\ncanonical\n  {canonical}")?;
    }
    Ok(())
}

fn heading(problem: &Problem) -> String {
    match &problem.field {
        Some(field) => format!("{} in {field}", problem.code),
        None => problem.code.clone(),
    }
}

fn write_field(out: &mut String, field: &AboutField) -> std::fmt::Result {
    let value = field.value.as_deref().unwrap_or("(not read)");
    write!(out, "  {:<20} {value}", field.field)?;
    match (&field.sent_as, &field.sent) {
        (Some(name), Some(sent)) if name != field.field || sent != value => write!(out, "   <- {name}={sent}")?,
        (_, _) => {}
    }
    match &field.note {
        Some(note) => writeln!(out, "   ({note})"),
        None => writeln!(out),
    }
}
