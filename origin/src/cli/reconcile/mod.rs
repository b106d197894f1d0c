//! `reconcile`: a partner's own report of its conversions against what is stored (R55).

mod found;
mod lines;
mod parked;
mod replay;
mod show;
mod text;

use super::edge::{Edge, edge_url};
use super::explain;
use super::input::text_of;
use super::progress::Progress;
use super::stores::{self, in_each};
use super::terminal::confirm;
use super::web::UrlArgument;
use super::{DatabasesArgs, change, wrong};
use crate::app::Platform;
use crate::config::registry;
use crate::reconcile::{Form as ReportForm, Report, Rules, read, reconcile};
use crate::shared::Shared;
use clap::Args;
use found::{Found, Repairs};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::field::Field;
use postback::money::Amount;
use postback::partner::{Partner, Registry, fold_word};
use replay::Replay;
use reqwest::Url;
use rust_decimal::Decimal;
use show::Form;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of a report at most.
const REPORT_BYTES_MAX: u64 = 256 << 20;
/// Conversions that are named when it is asked whether to replay.
const IDS_ASKED: usize = 10;
/// Rows that are told where none can be read.
const UNREAD_TOLD: usize = 3;

/// What is compared, and by what.
#[derive(Args)]
pub struct Reconcile {
    /// The report: CSV with a head; - is standard input.
    report: PathBuf,
    /// A column of it and the canonical field that it means, such as 'Transaction ID=conversion_id'; beside those of the partner's file.
    /// May be given several times.
    #[arg(long = "column", value_name = "NAME=FIELD", value_parser = column)]
    columns: Vec<(String, Field)>,
    /// A folder of partner files to read the report by, instead of those that this program was built with.
    #[arg(long = "partners", value_name = "FOLDER", conflicts_with = "replay")]
    partner_files: Option<PathBuf>,
    /// The first day that is compared; the report's first where it is not said.
    #[arg(long, requires = "to")]
    from: Option<Date>,
    /// The last day that is compared; the report's last where it is not said.
    #[arg(long, requires = "from")]
    to: Option<Date>,
    /// The time zone of the days; that of the partner's reports, or of its postbacks, where it is not said. UTC for our own export.
    #[arg(long)]
    tz: Option<String>,
    /// From how many per cent on that are not alike a day is flagged.
    #[arg(long, default_value = "3", value_parser = per_cent)]
    threshold: Decimal,
    /// By how much an amount may differ and still be the same, such as 0.01 where the report rounds.
    #[arg(long, default_value = "0", value_parser = tolerance)]
    tolerance: Amount,
    /// The edge whose parked postbacks are looked at as well; with OPERATOR_TOKEN.
    #[arg(long, value_name = "URL", value_parser = UrlArgument(edge_url))]
    edge: Option<Url>,
    /// Record the rejected postbacks that would be taken today, and give the parked ones back to the edge's queue. Says which, and asks.
    #[arg(long)]
    replay: bool,
    /// Do not ask.
    #[arg(long, requires = "replay")]
    yes: bool,
    /// As JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV: a line for each difference.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

fn column(text: &str) -> Result<(String, Field), String> {
    let (name, field) = text.rsplit_once('=').ok_or("write NAME=FIELD")?;
    let known = Field::parse(field)
        .ok_or_else(|| format!("{field:?} is not a canonical field (docs/partner-files.md lists them)"))?;
    if name.trim().is_empty() { Err("the column has no name".to_owned()) } else { Ok((name.to_owned(), known)) }
}

fn per_cent(text: &str) -> Result<Decimal, String> {
    let number: Option<Decimal> =
        text.parse().ok().filter(|number| (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(number));
    number.ok_or_else(|| "write a number from 0 to 100".to_owned())
}

fn tolerance(text: &str) -> Result<Amount, String> {
    Amount::parse(text).filter(|amount| !amount.is_negative()).ok_or_else(|| "write an amount, such as 0.01".to_owned())
}

/// Runs the command. 0: done, and no day is flagged and every row was read; 1: some is, or some was not, or it failed; 2: wrong usage, or no
/// report of this partner's.
pub async fn run(command: Reconcile) -> ExitCode {
    let locations = match command.databases.clone().locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    let prepared = match Prepared::of(&command) {
        Ok(prepared) => prepared,
        Err(problem) => return wrong(&problem),
    };
    // The audit log is there. Comparing needs none.
    let shared =
        if command.replay { stores::shared(&locations).await } else { Ok(Shared::at(locations.shared.clone())) };
    let shared = match shared {
        Ok(shared) => shared,
        Err(code) => return code,
    };
    let mut is_alike = true;
    let code = in_each(&locations, &prepared.registry, async |partner, store| {
        let Prepared { report, rules, reads_by, edge, .. } = &prepared;
        let mut progress = Progress::new(format!("{}: reading conversions", partner.code));
        let compared = reconcile(store, report, rules, |conversions| progress.at(conversions)).await?;
        drop(progress);
        let mut repairs = Repairs::look(store, reads_by, &compared, rules, edge.as_ref()).await?;
        let mut outcome = Ok(());
        if command.replay && !repairs.good().is_empty() {
            outcome = if command.yes { Ok(()) } else { agreed(&repairs) };
            if outcome.is_ok() {
                let (edge, change) = (edge.as_ref(), change()?);
                let replay = Replay { store, shared: &shared, partner, edge, compared: &compared, change };
                outcome = replay.run(&mut repairs).await;
            }
        }
        let found = Found { partner, report, rules, compared: &compared, repairs: &repairs };
        let is_whole = report.unread.is_empty() && repairs.edge_problem.is_none() && repairs.changed().is_empty();
        is_alike = !compared.is_flagged() && is_whole;
        show::print(&found, Form::of(command.json, command.csv)).and(outcome)
    })
    .await;
    shared.close().await;
    if is_alike { code } else { ExitCode::FAILURE }
}

/// Asks whether what was found is to be replayed.
fn agreed(repairs: &Repairs) -> Result<(), String> {
    let good: Vec<_> = repairs.good().into_iter().collect();
    let shown = good.iter().take(IDS_ASKED).copied().collect::<Vec<_>>().join(", ");
    let more = good.len().saturating_sub(IDS_ASKED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let question = format!("replay what tells of {shown}{more}?");
    confirm(&question, "look without --replay, then say --yes").map_err(|why| format!("nothing was replayed: {why}"))
}

/// All that is known before a database is opened.
struct Prepared {
    registry: Registry,
    /// The partner by whose file the report, and what was rejected, is read.
    reads_by: Partner,
    report: Report,
    rules: Rules,
    edge: Option<Edge>,
}

impl Prepared {
    fn of(command: &Reconcile) -> Result<Prepared, String> {
        let registry = registry()?;
        let [code] = command.databases.partners.as_slice() else {
            return Err("a report is one partner's: say whose, --partner CODE".to_owned());
        };
        let files = explain::partners(command.partner_files.as_deref())?;
        let reads_by = files.by_code(code).cloned().ok_or_else(|| format!("there is no partner {code}"))?;
        let zone_of = |name: &str| {
            TimeZone::get(name)
                .map_err(|_| format!("--tz {name:?} is not an IANA time zone, such as Asia/Kuala_Lumpur"))
        };
        let asked_zone = command.tz.as_deref().map(zone_of).transpose()?;
        let days = command.from.zip(command.to);
        if days.is_some_and(|(from, to)| to < from) {
            return Err("--from is after --to".to_owned());
        }
        let variable = |name: &str| std::env::var(name).ok();
        let edge = command.edge.clone().map(|url| Edge::of_operator(url, variable)).transpose()?;
        let columns: BTreeMap<_, _> = command.columns.iter().cloned().collect();
        let folded: BTreeSet<_> = columns.keys().map(|name| fold_word(name)).collect();
        if folded.len() < command.columns.len() {
            return Err("--column: one name means one field".to_owned());
        }
        let name = command.report.display();
        let text = text_of(&command.report, REPORT_BYTES_MAX)?;
        let mut progress = Progress::new(format!("{code}: reading the report"));
        let report = read(&reads_by, &text, &columns, (Platform::SYSTEM.now)(), |rows| progress.at(rows))
            .map_err(|problem| format!("{name}: {problem}"))?;
        let zone = match (asked_zone, report.form) {
            (Some(zone), _) => zone,
            // Its days are asked for by that, unless `tz` said otherwise.
            (None, ReportForm::Export) => TimeZone::UTC,
            (None, ReportForm::Partner) => zone_of(reads_by.report.zone.as_ref().unwrap_or(&reads_by.zone).name())?,
        };
        if report.rows.is_empty() && !report.unread.is_empty() {
            let told = report.unread.iter().take(UNREAD_TOLD);
            let told: Vec<_> = told.map(text::unread_text).collect();
            return Err(format!("{name}: none of its {} rows can be read\n{}", report.unread.len(), told.join("\n")));
        }
        let days = days.or_else(|| report.days(&zone)).ok_or_else(|| {
            format!("{name}: it has no times, so it is not known which days it is about: say them with --from and --to")
        })?;
        let rules = Rules { zone, days, tolerance: command.tolerance, threshold: command.threshold };
        Ok(Prepared { registry, reads_by, report, rules, edge })
    }
}
