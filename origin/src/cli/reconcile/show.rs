//! What was found, for people and for programs.

use super::super::print as print_text;
use super::super::terminal::{json as json_lines, plain};
use super::found::Found;
use super::lines::{Line, lines};
use super::text::text;
use crate::reconcile::Day;
use crate::reports::{Table, money};
use serde_json::{Value, json};

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
    Csv,
}

impl Form {
    /// What two flags say.
    pub const fn of(json: bool, csv: bool) -> Form {
        match (json, csv) {
            (true, _) => Form::Json,
            (false, true) => Form::Csv,
            (false, false) => Form::Text,
        }
    }
}

/// Prints it.
///
/// # Errors
/// It cannot be JSON.
pub fn print(found: &Found<'_>, form: Form) -> Result<(), String> {
    print_text(&match form {
        Form::Text => text(found),
        Form::Json => json_lines(&json_of(found))?,
        Form::Csv => match lines(found).next() {
            None => COLUMNS.join(","),
            Some(_) => Table::of(lines(found).map(plain_cells)),
        },
    });
    Ok(())
}

/// What is told of each difference.
const COLUMNS: [&str; 9] =
    ["kind", "day", "conversion_id", "event", "report_line", "field", "theirs", "ours", "repair"];

/// A line's cells, by column.
fn cells(line: Line<'_>) -> Vec<(&'static str, Value)> {
    let values = [
        line.kind.name().into(),
        line.day().into(),
        line.pair.conversion_id().into(),
        line.event().into(),
        line.pair.theirs.as_ref().map(|theirs| theirs.line).into(),
        line.field().into(),
        line.theirs().into(),
        line.ours().into(),
        line.repair().into(),
    ];
    COLUMNS.into_iter().zip(values).collect()
}

fn object(line: Line<'_>) -> Value {
    cells(line).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A line of CSV, which a terminal may be shown, too.
fn plain_cells(line: Line<'_>) -> Vec<(&'static str, Value)> {
    let plain_cell = |value: Value| match value {
        Value::String(text) => Value::String(plain(&text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value,
    };
    cells(line).into_iter().map(|(name, value)| (name, plain_cell(value))).collect()
}

fn json_of(found: &Found<'_>) -> Value {
    let Found { partner, report, rules, compared, repairs } = found;
    json!({
        "partner": partner.code,
        "time_zone": rules.zone.iana_name().unwrap_or("UTC"),
        "from": compared.from.to_string(),
        "to": compared.to.to_string(),
        "report_form": report.form.name(),
        "rows": report.rows.len(),
        "marked_rows": report.marked,
        "unread": report.unread,
        "ignored_columns": report.ignored,
        "unknown_statuses": report.unknown_statuses,
        "threshold_percent": rules.threshold.to_string(),
        "total": day_json(&compared.total),
        "days": compared.days.iter().map(day_json).collect::<Vec<_>>(),
        "differences": lines(found).map(object).collect::<Vec<_>>(),
        "repairable": repairs.good(),
        "parked_were_looked_at": repairs.knows_parked,
        "edge_problem": repairs.edge_problem,
        "replayed": repairs.replayed,
        "changed_meanwhile": repairs.changed(),
    })
}

fn day_json(day: &Day) -> Value {
    let payout = day.payout.iter().map(|paid| {
        json!({"currency": paid.currency, "theirs": money(paid.theirs), "ours": money(paid.ours),
               "discrepancy_percent": paid.share.to_string()})
    });
    json!({
        "day": day.day.map(|day| day.to_string()),
        "theirs": day.theirs, "ours": day.ours, "missing": day.missing, "extra": day.extra, "differing": day.differing,
        "discrepancy_percent": day.share.to_string(),
        "payout": payout.collect::<Vec<_>>(),
        "flagged": day.is_flagged,
    })
}
