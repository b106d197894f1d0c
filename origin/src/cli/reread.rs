//! `reread`: stored requests are read again by the partner files of now (R70): what was rejected and would be accepted is recorded, what was
//! accepted and says something else now says that.

use super::stores::{self, in_each};
use super::terminal::plain;
use super::{DatabasesArgs, change, explain, print, progress::Progress, wrong};
use crate::app::Platform;
use crate::config::Locations;
use crate::processing::REPORTING_CURRENCY;
use crate::reports::days::{bounds, timestamp};
use crate::reread::{Asked, DayDifference, DayTotals, Found, Looked, Scope, apply, evaluate, look};
use crate::shared::{Change, Shared};
use crate::store::Store;
use clap::Args;
use jiff::tz::TimeZone;
use postback::partner::{Partner, Registry};
use postback::time::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the audit log calls it.
const ACTION: &str = "reread";
/// Days of one partner that a terminal is shown.
const DAYS_MAX: usize = 60;

/// Which requests are read again.
#[derive(Args)]
pub struct Reread {
    /// The first day on which they were received, or an instant (RFC 3339); as far back as they are kept where it is not said.
    #[arg(long)]
    from: Option<String>,
    /// The last day, or an instant that is not in it any more; now where it is not said.
    #[arg(long)]
    to: Option<String>,
    /// The time zone of the days, such as Asia/Kuala_Lumpur.
    #[arg(long, default_value = "UTC")]
    tz: String,
    /// Only say what would change, in conversions and money by the day. So it is where --yes is not said.
    #[arg(long)]
    dry_run: bool,
    /// Change it.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Leave as they are requests that were accepted and would be rejected now.
    #[arg(long)]
    keep_accepted: bool,
    /// A folder of partner files to go by, instead of those that this program was built with: to see what they would change before they are
    /// deployed.
    #[arg(long = "partners", value_name = "FOLDER", conflicts_with = "yes")]
    files: Option<PathBuf>,
    /// As JSON, a line for each partner.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// What is to be done in each database, and how it is shown.
struct Task<'a> {
    asked: &'a Asked,
    zone: &'a TimeZone,
    apply: Option<&'a Change>,
    json: bool,
}

/// Runs the command. 0: done; 1: failed for some partner; 2: wrong configuration or question.
pub async fn reread(command: Reread) -> ExitCode {
    let (asked, zone) = match command.asked() {
        Ok(asked) => asked,
        Err(problem) => return wrong(&problem),
    };
    let Reread { yes, json, files, databases, .. } = command;
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    let (registry, change) = match rules(files.as_deref(), &locations).and_then(|rules| Ok((rules, change()?))) {
        Ok(ready) => ready,
        Err(problem) => return wrong(&problem),
    };
    let shared = match stores::shared(&locations).await {
        Ok(shared) => shared,
        Err(code) => return code,
    };
    let task = Task { asked: &asked, zone: &zone, apply: yes.then_some(&change), json };
    let done = in_each(&locations, &registry, async |partner, store| one(&shared, partner, store, &task).await);
    let code = done.await;
    shared.close().await;
    code
}

/// The partner files that are gone by.
fn rules(folder: Option<&Path>, locations: &Locations) -> Result<Registry, String> {
    let registry = explain::partners(folder)?;
    match locations.partners.keys().find(|code| registry.by_code(code).is_none()) {
        Some(code) => {
            Err(format!("--partners: the folder has no file {code}.toml; say which partners are meant: --partner CODE"))
        }
        None => Ok(registry),
    }
}

impl Reread {
    fn asked(&self) -> Result<(Asked, TimeZone), String> {
        let zone = TimeZone::get(&self.tz).map_err(|_| format!("--tz: there is no time zone {:?}", plain(&self.tz)))?;
        let (from, to) = bounds(self.from.as_deref(), self.to.as_deref(), &zone)
            .map_err(|problem| format!("--{}: {}", problem.field, problem.hint))?;
        let now = (Platform::SYSTEM.now)();
        // What comes meanwhile is read by the rules of now anyway.
        let end = Timestamp::from_unix_ms(now.unix_ms().saturating_add(1)).unwrap_or(now);
        let asked = Asked {
            from: from.and_then(timestamp).unwrap_or(Timestamp::EPOCH),
            to: to.and_then(timestamp).unwrap_or(end),
            keep_accepted: self.keep_accepted,
        };
        Ok((asked, zone))
    }
}

/// One partner: what would change is told, and, where it is to be, changed.
async fn one(shared: &Shared, partner: &Partner, store: &Store, task: &Task<'_>) -> Result<(), String> {
    let code = &partner.code;
    let scope = Scope { shared, partner, store, now: Platform::SYSTEM.now };
    let mut progress = Progress::new(format!("{code}: reading requests"));
    let looked = look(scope, task.asked, task.zone, &mut |read| progress.at(read)).await;
    let looked = looked.map_err(|error| error.to_string())?;
    drop(progress);
    let mut applied = None;
    if task.apply.is_some() && looked.found.is_unchanged() {
        // A run before this one may have been stopped while it evaluated.
        evaluate(scope).await.map_err(|error| format!("not all was evaluated; run it again: {error}"))?;
    } else if let Some(change) = task.apply {
        // Whatever ends this command in between, it is known what it was about.
        let begins = json!({"rules": partner.rules_version, "begins": looked});
        shared.note(ACTION, code, &begins, change).await.map_err(|error| format!("nothing was changed: {error}"))?;
        let mut progress = Progress::new(format!("{code}: reading requests again"));
        let done = apply(scope, task.asked, &mut |read| progress.at(read)).await;
        drop(progress);
        let done = done.map_err(|error| format!("not all was done; run it again: {error}"))?;
        let ended = json!({"rules": partner.rules_version, "ended": done});
        shared
            .note(ACTION, code, &ended, change)
            .await
            .map_err(|error| format!("it was done, and the audit log does not say so: {error}"))?;
        applied = Some(done);
    }
    if task.json {
        let line = json!({
            "partner": code, "applied": task.apply.is_some(), "rules": partner.rules_version,
            "currency": REPORTING_CURRENCY, "time_zone": task.zone.iana_name(), "found": looked, "done": applied,
        });
        print(&line.to_string());
    } else {
        print(&plain_lines(&text(code, &looked, task)));
    }
    let failed = applied.as_ref().map_or(&looked.found.failed, |done| &done.failed);
    match failed.iter().next() {
        None => Ok(()),
        Some((event_id, reason)) => Err(plain(&format!(
            "{} events or requests stay as they are because something of them cannot be read; one is {event_id}: {reason}",
            failed.len()
        ))),
    }
}

fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn text(code: &str, looked: &Looked, task: &Task<'_>) -> String {
    let Looked { found, days, uncounted, kept_since, waiting } = looked;
    let Found { accepted, changed, events, rejected, rejections, recovered, still_rejected, incomplete, left, failed } =
        found;
    let mut lines = vec![format!("{code}: {accepted} accepted and {rejections} rejected requests were read again")];
    let mut line = |what: &str, count: u64, by: &BTreeMap<String, u64>| {
        if count > 0 {
            lines.push(format!("  {what:<44}{count:>10}  {}", by_name(by)).trim_end().to_owned());
        }
    };
    let none = BTreeMap::new();
    line("accepted, and read otherwise now", *changed, &none);
    line("events that are told otherwise, begin or go", *events, &none);
    line("accepted, and rejected now", rejected.values().sum(), rejected);
    line("rejected, and accepted now", *recovered, &none);
    line("rejected, and still rejected", still_rejected.values().sum(), still_rejected);
    line("rejected, and not kept whole", *incomplete, &none);
    line("events or requests that cannot be read", u64::try_from(failed.len()).unwrap_or(u64::MAX), &none);
    line("events left as they are", left.values().sum(), left);
    if let Some(since) = kept_since {
        lines.push(format!("  requests from before {since} are no longer kept: what they said stays as it is"));
    }
    lines.extend(table(days, task.zone));
    if *uncounted > 0 {
        lines.push(format!("  {uncounted} conversions are not in the difference: they, or conversions they are balanced with, cannot be read"));
    }
    if *waiting > 0 && task.apply.is_none() {
        lines.push(format!("  {waiting} conversions wait to be evaluated; so they are counted as they stand"));
    }
    lines.push(match (found.is_unchanged(), task.apply.is_some()) {
        (true, _) => "  everything is read as it was: nothing changes".to_owned(),
        (false, true) => "  done".to_owned(),
        (false, false) => "  nothing was changed: --yes does it".to_owned(),
    });
    lines.join("\n")
}

fn by_name(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// Reads a count of a day.
type Count = fn(&DayTotals) -> i64;

/// Columns of counts.
const COUNTS: [(&str, Count); 6] = [
    ("conversions", |day| day.conversions),
    ("refunds", |day| day.refunds),
    ("chargebacks", |day| day.chargebacks),
    ("rejected", |day| day.rejected),
    ("duplicates", |day| day.duplicates),
    ("waiting for rates", |day| day.waiting_for_rates),
];

/// Days that differ: by how much. Columns in which nothing does are left out.
fn table(days: &[DayDifference], zone: &TimeZone) -> Vec<String> {
    if days.is_empty() {
        return Vec::new();
    }
    let shown: Vec<_> = COUNTS
        .into_iter()
        .filter(|(_, count)| days.iter().any(|day| count(&day.before) != count(&day.after)))
        .collect();
    let width = |head: &str| head.len().saturating_add(2);
    let heads: String = shown.iter().map(|(head, _)| format!("{head:>0$}", width(head))).collect();
    let zone = zone.iana_name().unwrap_or("UTC");
    let mut lines = vec![
        format!("  by day of {zone}, difference; amounts in {REPORTING_CURRENCY}"),
        format!("  {:<12}{heads}{:>20}{:>20}", "", "sale amount", "payout"),
    ];
    let row = |day: &DayDifference| {
        let counts: String = shown
            .iter()
            .map(|(head, count)| format!("{:>1$}", signed_count(count(&day.after), count(&day.before)), width(head)))
            .collect();
        let money = [(day.after.sale_amount, day.before.sale_amount), (day.after.payout, day.before.payout)];
        let money: String = money.iter().map(|(after, before)| format!("{:>20}", signed(*after, *before))).collect();
        format!("  {:<12}{counts}{money}", day.day)
    };
    lines.extend(days.iter().take(DAYS_MAX).map(row));
    if days.len() > DAYS_MAX {
        lines.push(format!("  and {} more days; --json shows all", days.len().saturating_sub(DAYS_MAX)));
    }
    lines
}

fn signed_count(after: i64, before: i64) -> String {
    let by = after.saturating_sub(before);
    if by > 0 { format!("+{by}") } else { by.to_string() }
}

fn signed(after: rust_decimal::Decimal, before: rust_decimal::Decimal) -> String {
    let by = after.saturating_sub(before).normalize();
    // Cents at least.
    let by = if by.scale() < 2 { format!("{by:.2}") } else { by.to_string() };
    if by.starts_with('-') || by == "0.00" { by } else { format!("+{by}") }
}
