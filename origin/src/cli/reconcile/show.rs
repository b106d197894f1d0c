//! What was found, for people and for programs.

use super::super::print as print_text;
use super::super::terminal::{columns, json as json_lines, plain};
use super::found::Found;
use crate::reconcile::repair::Use;
use crate::reconcile::{Day, Pair};
use crate::reports::{Table, money};
use postback::status::Status;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lines of each list that people are shown.
const SHOWN: usize = 20;

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
        Form::Csv => match differences(found) {
            none if none.is_empty() => COLUMNS.join(","),
            lines => Table::of(lines.into_iter().map(|line| line.cells())),
        },
    });
    Ok(())
}

/// What is told of each difference.
const COLUMNS: [&str; 9] =
    ["kind", "day", "conversion_id", "event", "report_line", "field", "theirs", "ours", "repair"];

/// What is not alike: a line for each conversion that one side has not, and for each field that differs.
struct Line<'a> {
    pair: &'a Pair,
    kind: &'static str,
    day: String,
    field: &'a str,
    theirs: String,
    ours: String,
    repair: Option<String>,
}

impl Line<'_> {
    fn cells(self) -> Vec<(&'static str, Value)> {
        let line = self.pair.theirs.as_ref().map(|theirs| theirs.line);
        let text = |text: &str| Value::from(plain(text));
        let values = [
            self.kind.into(),
            self.day.into(),
            text(self.pair.conversion_id()),
            event(self.pair).map(text).into(),
            line.into(),
            self.field.into(),
            text(&self.theirs),
            text(&self.ours),
            self.repair.as_deref().map(text).into(),
        ];
        COLUMNS.into_iter().zip(values).collect()
    }

    fn object(self) -> Value {
        self.cells().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn differences<'a>(found: &'a Found<'_>) -> Vec<Line<'a>> {
    let lines = |pair: &'a Pair| {
        let day = pair.day(&found.rules.zone).map(|day| day.to_string()).unwrap_or_default();
        let line =
            |kind, field, theirs, ours, repair| Line { pair, kind, day: day.clone(), field, theirs, ours, repair };
        match (&pair.theirs, &pair.ours) {
            (Some(theirs), None) => {
                let told = told(theirs.status, theirs.money.values().map(ToString::to_string));
                vec![line("missing", "", told, String::new(), Some(why_missing(found, pair.conversion_id())))]
            }
            (None, Some(ours)) => {
                let told = told(ours.status, ours.money.values().map(ToString::to_string));
                vec![line("extra", "", String::new(), told, None)]
            }
            (_, _) => pair
                .differences
                .iter()
                .map(|differs| {
                    let repair = repair(found, pair.conversion_id());
                    line("differs", differs.field, differs.theirs.clone(), differs.ours.clone(), repair)
                })
                .collect(),
        }
    };
    found.compared.pairs.iter().flat_map(lines).collect()
}

fn event(pair: &Pair) -> Option<&str> {
    let theirs = pair.theirs.as_ref().and_then(|theirs| theirs.event.as_deref());
    theirs.or(pair.ours.as_ref().map(|ours| ours.event.as_str()))
}

fn told(status: Option<Status>, amounts: impl Iterator<Item = String>) -> String {
    status.map(|status| status.name().to_owned()).into_iter().chain(amounts).collect::<Vec<_>>().join(" ")
}

/// What is known of a conversion that is missing.
fn why_missing(found: &Found<'_>, conversion_id: &str) -> String {
    repair(found, conversion_id).unwrap_or_else(|| match found.compared.stands.get(conversion_id) {
        Some(standing) if standing.marked > 0 => "it is stored, marked as a possible duplicate".to_owned(),
        Some(standing) => format!("{} stored under its id, of another event or one row each", standing.counted),
        None => "nothing was found that tells of it".to_owned(),
    })
}

/// What can be done about a conversion, or why nothing can, where there is a postback that tells of it.
fn repair(found: &Found<'_>, conversion_id: &str) -> Option<String> {
    let repairs = found.repairs;
    if let Some(outcomes) = repairs.replayed.get(conversion_id) {
        return Some(format!("replayed: {}", outcomes.join(", ")));
    }
    let parked = repairs.parked.get(conversion_id).into_iter().flatten();
    let parked = parked.map(|parked| format!("parked at the edge{}: {}", told_use(parked.use_of), parked.request_id));
    let rejected = repairs.rejected.get(conversion_id).into_iter().flatten();
    let rejected = rejected.map(|rejected| {
        let receipt = &rejected.rejection.receipt;
        let at = format!("{} of {}, {}", receipt.request_id, receipt.received_at, rejected.rejection.code);
        match (&rejected.reading, rejected.use_of) {
            (Ok(_), Use::Good) => format!("rejected, would be taken today: {at}"),
            (Ok(_), use_of) => format!("rejected{}: {at}", told_use(use_of)),
            (Err(refusal), _) => format!("rejected, and still would be ({}): {at}", refusal.code().as_str()),
        }
    });
    let all: Vec<_> = parked.chain(rejected).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn told_use(use_of: Use) -> &'static str {
    match use_of {
        Use::Good => "",
        Use::Overtaken => ", and overtaken",
        Use::Another => ", of another conversion",
        Use::OneOfMore => ", one of more than are missing",
    }
}

fn json_of(found: &Found<'_>) -> Value {
    let Found { partner, report, rules, compared, repairs } = found;
    json!({
        "partner": partner.code,
        "time_zone": rules.zone.iana_name().unwrap_or("UTC"),
        "from": compared.from.to_string(),
        "to": compared.to.to_string(),
        "rows": report.rows.len(),
        "unread": report.unread,
        "ignored_columns": report.ignored,
        "unknown_statuses": report.unknown_statuses,
        "threshold_percent": rules.threshold.to_string(),
        "total": day_json(&compared.total),
        "days": compared.days.iter().map(day_json).collect::<Vec<_>>(),
        "differences": differences(found).into_iter().map(Line::object).collect::<Vec<_>>(),
        "repairable": repairs.good(),
        "parked_were_looked_at": repairs.knows_parked,
        "edge_problem": repairs.edge_problem,
        "replayed": repairs.replayed,
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

fn text(found: &Found<'_>) -> String {
    let Found { partner, report, rules, compared, .. } = found;
    let zone = rules.zone.iana_name().unwrap_or("UTC");
    let mut lines = vec![format!(
        "{}, {zone}, {} to {}: the report against what is stored",
        partner.code, compared.from, compared.to
    )];
    let head = ["day", "theirs", "ours", "missing", "extra", "differing", "%", "payout theirs", "ours", "%", ""];
    let rows = compared.days.iter().map(|day| (day, day.day.map_or("no time".to_owned(), |day| day.to_string())));
    let rows = rows.chain([(&compared.total, "total".to_owned())]).flat_map(|(day, name)| rows_of(day, name));
    let table: Vec<Vec<String>> = [head.map(str::to_owned).to_vec()].into_iter().chain(rows).collect();
    lines.push(columns(&table));
    let all = differences(found);
    for (kind, title) in [
        ("missing", "missing: the report has it, we have not"),
        ("extra", "extra: we have it, the report has not"),
        ("differs", "differing: theirs, ours"),
    ] {
        let of: Vec<_> = all.iter().filter(|line| line.kind == kind).map(line_text).collect();
        list(&mut lines, title, &of);
    }
    let unread: Vec<_> = report
        .unread
        .iter()
        .map(|unread| {
            let column = unread.column.as_ref().map(|column| format!(" in {column:?}")).unwrap_or_default();
            format!("line {}: {}{column}: {}", unread.line, unread.code, unread.hint)
        })
        .collect();
    list(&mut lines, "rows that cannot be read, and were not compared", &unread);
    for (word, count) in &report.unknown_statuses {
        lines.push(format!(
            "status {:?} of {count} rows is not in the partner's file: it was not compared",
            plain(word)
        ));
    }
    if !report.ignored.is_empty() {
        let names: Vec<_> = report.ignored.iter().map(|name| format!("{:?}", plain(name))).collect();
        lines.push(format!("columns that mean nothing here: {}", names.join(", ")));
    }
    lines.push(conclusion(found));
    lines.join("\n")
}

/// A line for each currency, the day's numbers in the first.
fn rows_of(day: &Day, name: String) -> Vec<Vec<String>> {
    let flag = if day.is_flagged { "!" } else { "" };
    let counts = [day.theirs, day.ours, day.missing, day.extra, day.differing].map(|count| count.to_string());
    let mut rows: Vec<Vec<String>> = Vec::new();
    let own = std::iter::once(name).chain(counts).chain([day.share.to_string()]).collect::<Vec<_>>();
    for paid in &day.payout {
        let own = if rows.is_empty() { own.clone() } else { vec![String::new(); own.len()] };
        let text = |sum| money(sum).as_str().map(|text| format!("{text} {}", paid.currency)).unwrap_or_default();
        rows.push([own, vec![text(paid.theirs), text(paid.ours), paid.share.to_string(), flag.to_owned()]].concat());
    }
    if rows.is_empty() {
        rows.push([own, vec![String::new(), String::new(), String::new(), flag.to_owned()]].concat());
    }
    rows
}

fn line_text(line: &Line<'_>) -> String {
    let id = line.pair.conversion_id();
    let what = match line.kind {
        "missing" => format!("{}; {}", line.theirs, line.repair.as_deref().unwrap_or_default()),
        "extra" => format!("{} {}", event(line.pair).unwrap_or_default(), line.ours),
        _ => {
            let or_none = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
            let repair = line.repair.as_ref().map(|repair| format!("; {repair}")).unwrap_or_default();
            format!("{} {}, {}{repair}", line.field, or_none(&line.theirs), or_none(&line.ours))
        }
    };
    plain(&format!("{} {id}: {what}", line.day))
}

fn list(lines: &mut Vec<String>, title: &str, all: &[String]) {
    if all.is_empty() {
        return;
    }
    lines.push(format!("{title} ({})", all.len()));
    lines.extend(all.iter().take(SHOWN).map(|line| format!("  {}", plain(line))));
    if let Some(more @ 1..) = all.len().checked_sub(SHOWN) {
        lines.push(format!("  and {more} more; --json and --csv have all"));
    }
}

fn conclusion(found: &Found<'_>) -> String {
    let Found { rules, compared, repairs, .. } = found;
    let flagged = compared.days.iter().filter(|day| day.is_flagged).count();
    let mut said = vec![match flagged {
        0 if compared.total.is_flagged => format!("all days together are more than {} % off (!)", rules.threshold),
        0 => format!("no day is more than {} % off", rules.threshold),
        1 => format!("1 day is more than {} % off (!)", rules.threshold),
        _ => format!("{flagged} days are more than {} % off (!)", rules.threshold),
    }];
    if !repairs.replayed.is_empty() {
        let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
        for outcome in repairs.replayed.values().flatten() {
            let count = outcomes.entry(outcome).or_default();
            *count = count.saturating_add(1);
        }
        let outcomes: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        said.push(format!("replayed: {}; reconcile again to see what it came to", outcomes.join(", ")));
    } else if !repairs.good().is_empty() {
        said.push(match repairs.good().len() {
            1 => "1 conversion has a postback that can be replayed: --replay does it".to_owned(),
            count => format!("{count} conversions have postbacks that can be replayed: --replay does it"),
        });
    }
    if let Some(problem) = &repairs.edge_problem {
        said.push(plain(&format!("parked postbacks were not looked at: {problem}")));
    }
    let is_off = compared.total.missing > 0 || compared.total.differing > 0;
    if is_off && !repairs.knows_parked && repairs.edge_problem.is_none() {
        said.push("parked postbacks were not looked at: --edge URL looks there as well".to_owned());
    }
    said.join("\n")
}
