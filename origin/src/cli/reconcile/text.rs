//! What was found, for people: a table of days, the beginnings of lists, and what it comes to.

use super::super::terminal::{columns, plain};
use super::found::Found;
use super::lines::{Kind, Line, lines};
use crate::reconcile::{Day, Form, Unread};
use crate::reports::money;
use std::collections::BTreeMap;

/// Lines of each list that people are shown.
const SHOWN: usize = 20;

/// What was found, in words.
pub fn text(found: &Found<'_>) -> String {
    let Found { partner, report, rules, compared, .. } = found;
    let zone = rules.zone.iana_name().unwrap_or("UTC");
    let name = match report.form {
        Form::Partner => "the report",
        Form::Export => "our own export",
    };
    let mut said =
        vec![format!("{}, {zone}, {} to {}: {name} against what is stored", partner.code, compared.from, compared.to)];
    let head = ["day", "theirs", "ours", "missing", "extra", "differing", "%", "payout theirs", "ours", "%", ""];
    let rows = compared.days.iter().map(|day| (day, day.day.map_or("no time".to_owned(), |day| day.to_string())));
    let rows = rows.chain([(&compared.total, "total".to_owned())]).flat_map(|(day, name)| rows_of(day, name));
    let table: Vec<Vec<String>> = [head.map(str::to_owned).to_vec()].into_iter().chain(rows).collect();
    said.push(columns(&table));
    for (kind, title) in [
        (Kind::Missing, "missing: the report has it, we have not"),
        (Kind::Extra, "extra: we have it, the report has not"),
        (Kind::Differs, "differing: theirs, ours"),
    ] {
        list(&mut said, title, || lines(found).filter(|line| line.kind == kind), line_text);
    }
    list(&mut said, "rows that cannot be read, and were not compared", || report.unread.iter(), unread_text);
    for (word, count) in &report.unknown_statuses {
        said.push(format!(
            "status {:?} of {count} rows is not in the partner's file: it was not compared",
            plain(word)
        ));
    }
    if report.marked > 0 {
        said.push(format!("{} rows are marked as possible duplicates: they count for nothing", report.marked));
    }
    if !report.ignored.is_empty() {
        let names: Vec<_> = report.ignored.iter().map(|name| format!("{:?}", plain(name))).collect();
        said.push(format!("columns that mean nothing here: {}", names.join(", ")));
    }
    said.push(conclusion(found));
    said.join("\n")
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

fn line_text(line: Line<'_>) -> String {
    let what = match line.kind {
        Kind::Missing => format!("{}; {}", line.theirs(), line.repair().unwrap_or_default()),
        Kind::Extra => format!("{} {}", line.event().unwrap_or_default(), line.ours()),
        Kind::Differs => {
            let or_none = |text: String| if text.is_empty() { "nothing".to_owned() } else { text };
            let repair = line.repair().map(|repair| format!("; {repair}")).unwrap_or_default();
            format!("{} {}, {}{repair}", line.field(), or_none(line.theirs()), or_none(line.ours()))
        }
    };
    format!("{} {}: {what}", line.day(), line.pair.conversion_id())
}

/// A row that cannot be read: its line, code, column and hint.
pub fn unread_text(unread: &Unread) -> String {
    let column = unread.column.as_ref().map(|column| format!(" in {column:?}")).unwrap_or_default();
    format!("line {}: {}{column}: {}", unread.line, unread.code, unread.hint)
}

/// A list's beginning. Of what is not shown no text is made.
fn list<T, I: Iterator<Item = T>>(said: &mut Vec<String>, title: &str, all: impl Fn() -> I, text: fn(T) -> String) {
    let count = all().count();
    if count == 0 {
        return;
    }
    said.push(format!("{title} ({count})"));
    said.extend(all().take(SHOWN).map(|one| format!("  {}", plain(&text(one)))));
    if let Some(more @ 1..) = count.checked_sub(SHOWN) {
        said.push(format!("  and {more} more; --json and --csv have all"));
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
    let changed = repairs.changed().len();
    if changed > 0 {
        said.push(match changed {
            1 => "1 conversion has changed since it was compared, and was left as it is: reconcile again".to_owned(),
            _ => format!("{changed} conversions have changed since they were compared, and were left: reconcile again"),
        });
    }
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
