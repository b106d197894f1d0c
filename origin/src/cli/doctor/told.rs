//! What was found, for people and for scripts.

use super::code::Level;
use super::finding::Checked;
use serde_json::{Value, json};
use std::fmt::Write;

/// How many problems and warnings there are.
pub fn counts(checked: &[Checked]) -> [usize; 2] {
    let findings = || checked.iter().flat_map(|checked| &checked.findings);
    [Level::Problem, Level::Warning].map(|level| findings().filter(|finding| finding.code.level() == level).count())
}

/// A line for each check, below it what was found and what to do.
pub fn text(checked: &[Checked]) -> String {
    let mut text = String::new();
    for each in checked {
        let name =
            if each.subject.is_empty() { each.check.to_owned() } else { format!("{} {}", each.check, each.subject) };
        let _ = writeln!(text, "{:<8} {name:<24} {}", each.state(), each.looked_at);
        for finding in &each.findings {
            let level = finding.code.level().name();
            let _ = writeln!(text, "  {level} {}: {}", finding.code.name(), finding.says);
            let _ = writeln!(text, "    {}", finding.hint);
        }
    }
    let [problems, warnings] = counts(checked);
    let of = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let _ = write!(text, "{}, {}", of(problems, "problem"), of(warnings, "warning"));
    text
}

/// The same as JSON.
pub fn json(checked: &[Checked]) -> Value {
    let [problems, warnings] = counts(checked);
    let checks: Vec<_> = checked
        .iter()
        .map(|each| {
            let findings: Vec<_> = each
                .findings
                .iter()
                .map(|finding| {
                    json!({
                        "code": finding.code.name(), "level": finding.code.level(), "says": finding.says,
                        "hint": finding.hint,
                    })
                })
                .collect();
            json!({
                "check": each.check, "subject": each.subject, "state": each.state(), "looked_at": each.looked_at,
                "findings": findings,
            })
        })
        .collect();
    json!({"ok": problems == 0, "problems": problems, "warnings": warnings, "checks": checks})
}
