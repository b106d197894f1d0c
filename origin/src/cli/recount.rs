//! `recount`: conversions are folded again from their receipts and evaluated again, totals counted again from conversions, and what differs
//! is said and mended.

use super::stores::{self, in_each};
use super::terminal::{json_line, plain};
use super::{DatabasesArgs, change, print, progress::Progress, wrong};
use crate::app::Platform;
use crate::config::registry;
use crate::recount::mend::{Keys, mend};
use crate::recount::{Count, Difference, Scope, whole};
use crate::shared::{Change, Shared};
use crate::store::Store;
use crate::store::recount::{Compared, ConversionDifference, Found, TotalDifference};
use chrono::NaiveDate;
use clap::Args;
use postback::partner::Partner;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Differences of one partner that a terminal is shown.
const SHOWN_MAX: u64 = 20;

/// What is recounted.
#[derive(Args)]
pub struct Recount {
    /// Only say what differs.
    #[arg(long, required_unless_present = "yes")]
    dry_run: bool,
    /// Mend it: rebuild conversions, evaluate them again, replace totals.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// As JSON, a line for each difference and one for each partner.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// How differences are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Terminal,
    Json,
}

/// Whether differences were found before they were mended, or are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Found,
    Left,
}

/// Runs the command. 0: nothing differs, or is left; 1: something does, or failed for some partner; 2: wrong configuration.
pub async fn recount(command: Recount) -> ExitCode {
    let Recount { yes, json, databases, .. } = command;
    let output = if json { Output::Json } else { Output::Terminal };
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    let (registry, change) = match registry().and_then(|registry| Ok((registry, change()?))) {
        Ok(ready) => ready,
        Err(problem) => return wrong(&problem),
    };
    let shared = match stores::shared(&locations).await {
        Ok(shared) => shared,
        Err(code) => return code,
    };
    let mut is_clean = true;
    let done = in_each(&locations, &registry, async |partner, store| {
        let apply = yes.then_some(&change);
        is_clean &= one(&shared, partner, store, apply, output).await?.is_clean();
        Ok(())
    });
    let code = done.await;
    shared.close().await;
    if is_clean { code } else { ExitCode::FAILURE }
}

/// One partner: what differs is said, and where it is to be mended, what is left; that is answered.
async fn one(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    apply: Option<&Change>,
    output: Output,
) -> Result<Count, String> {
    let code = &partner.code;
    let mut keys = Keys::default();
    let mut shown = Shown::new(code, output, Phase::Found);
    let mut progress = Progress::new(format!("{code}: recounting"));
    let scope = Scope { shared, partner, store, now: Platform::SYSTEM.now };
    let found = whole(
        scope,
        |done| progress.at(done),
        |difference| {
            keys.add(&difference);
            shown.show(&difference);
        },
    );
    let found = found.await.map_err(|error| error.to_string())?;
    drop(progress);
    shown.end();
    let mut left = found;
    if let Some(change) = apply
        && !found.is_clean()
    {
        shared.note("recount", code, &json!(found), change).await.map_err(|error| error.to_string())?;
        let mut shown = Shown::new(code, output, Phase::Left);
        let mut progress = Progress::new(format!("{code}: mending"));
        let mended = mend(scope, &keys, |done| progress.at(done), |difference| shown.show(&difference));
        left = mended.await.map_err(|error| error.to_string())?;
        drop(progress);
        shown.end();
    }
    let Count { keys, days, conversions_differ, totals_differ } = found;
    match output {
        Output::Json => {
            let applied = apply.is_some();
            print(
                &json!({"partner": code, "kind": "summary", "applied": applied, "found": found, "left": left})
                    .to_string(),
            );
        }
        Output::Terminal => {
            print(&format!(
                "{code}: {keys} keys of conversions and {days} days recounted: {conversions_differ} conversions or revisions and \
                 {totals_differ} totals differ"
            ));
            if apply.is_some() {
                let Count { conversions_differ, totals_differ, .. } = left;
                print(&format!("{code}: {conversions_differ} and {totals_differ} are left"));
            }
        }
    }
    Ok(left)
}

/// Shows the differences of one partner: all of them as JSON, and the first of them at a terminal.
struct Shown<'a> {
    code: &'a str,
    output: Output,
    phase: Phase,
    count: u64,
}

impl<'a> Shown<'a> {
    fn new(code: &'a str, output: Output, phase: Phase) -> Shown<'a> {
        Shown { code, output, phase, count: 0 }
    }

    fn show(&mut self, difference: &Difference) {
        self.count = self.count.saturating_add(1);
        match self.output {
            // A difference is JSON in any case.
            Output::Json => print(&json_line(&self.json(difference)).unwrap_or_default()),
            Output::Terminal if self.count <= SHOWN_MAX => {
                let left = match self.phase {
                    Phase::Found => "",
                    Phase::Left => "left: ",
                };
                print(&plain(&format!("{}: {left}{}", self.code, text(difference))));
            }
            Output::Terminal => {}
        }
    }

    fn end(&self) {
        let more = self.count.saturating_sub(SHOWN_MAX);
        if self.output == Output::Terminal && more > 0 {
            print(&format!("{}: and {more} more; --json shows all", self.code));
        }
    }

    fn json(&self, difference: &Difference) -> Value {
        let phase = match self.phase {
            Phase::Found => "found",
            Phase::Left => "left",
        };
        let (kind, details) = match difference {
            Difference::Conversion(conversion) => ("conversion", json!(conversion)),
            Difference::Total(day, total) => ("total", json!({"day": day.to_string(), "total": total})),
        };
        json!({"partner": self.code, "kind": kind, "phase": phase, "difference": details})
    }
}

fn text(difference: &Difference) -> String {
    match difference {
        Difference::Conversion(difference) => conversion_text(difference),
        Difference::Total(day, total) => total_text(*day, total),
    }
}

fn conversion_text(difference: &ConversionDifference) -> String {
    let ConversionDifference { conversion_key, occurrence, revision, found } = difference;
    let number =
        |name: &str, number: &Option<i64>| number.map(|number| format!(", {name} {number}")).unwrap_or_default();
    let what = match found {
        Found::Missing => "is not stored".to_owned(),
        Found::Surplus => "is stored, and no receipt says it".to_owned(),
        Found::Differs { columns } => format!("differs in {}", columns.join(", ")),
        Found::Evaluated { columns, .. } => format!("is evaluated otherwise: {}", columns_text(columns.iter())),
        Found::Unreadable { reason } => format!("cannot be recounted: {reason}"),
    };
    let place = [number("occurrence", occurrence), number("revision", revision)].concat();
    format!("conversion {conversion_key}{place}: {what}")
}

fn total_text(day: NaiveDate, total: &TotalDifference) -> String {
    let TotalDifference { table, key, columns } = total;
    let key: Vec<_> =
        key.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name} {value}")).collect();
    format!("{table} of {day}, {}: {}", key.join(", "), columns_text(columns.iter()))
}

fn columns_text<'a, Name: std::fmt::Display>(columns: impl Iterator<Item = (Name, &'a Compared)>) -> String {
    let columns = columns.map(|(name, both)| format!("{name} {} -> {}", both.stored, both.recounted));
    columns.collect::<Vec<_>>().join(", ")
}
