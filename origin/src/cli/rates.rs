//! `rates`: exchange rates by day (R51).

use super::input::text_of;
use super::{DatabasesArgs, change, ended, print, wrong};
use crate::shared::{AsSql, Quote, Shared, read_ecb};
use chrono::NaiveDate;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of a file at most: the whole history has some three million.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Problems of a file that are shown.
const PROBLEMS_SHOWN: usize = 20;

/// What can be done with rates.
#[derive(Subcommand)]
pub enum Rates {
    /// Take over a file of rates as the European Central Bank publishes them (eurofxref.csv, eurofxref-hist.csv). What was imported
    /// before and is not as it was is brought up to date; amounts that waited are converted within two minutes.
    Import(Import),
    /// Show the rates of a day, or of the last day before it that has any.
    Show {
        /// The day, YYYY-MM-DD.
        day: NaiveDate,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        databases: DatabasesArgs,
    },
}

/// What is imported, and where to.
#[derive(Args)]
pub struct Import {
    /// The file; - is standard input.
    file: PathBuf,
    /// Days before this one are left out, YYYY-MM-DD.
    #[arg(long)]
    since: Option<NaiveDate>,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Change nothing: print the SQL that would, for a D1 database (wrangler d1 execute --file).
    #[arg(long, conflicts_with = "json")]
    sql: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// Runs the command. 0: done; 1: failed; 2: a file or a configuration that is wrong.
pub async fn rates(command: Rates) -> ExitCode {
    let (databases, outcome) = match command {
        Rates::Import(import) => {
            let quotes = match read(&import) {
                Ok(quotes) => quotes,
                Err(problem) => return wrong(&problem),
            };
            if import.sql {
                return ended(change().map(|change| print(&AsSql::for_d1().import_rates(&quotes, &change))));
            }
            (import.databases, Asked::Import { quotes, json: import.json })
        }
        Rates::Show { day, json, databases } => (databases, Asked::Show { day, json }),
    };
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    let shared = Shared::at(locations.shared);
    let done = match outcome {
        Asked::Import { quotes, json } => import(&shared, &quotes, json).await,
        Asked::Show { day, json } => show(&shared, day, json).await,
    };
    shared.close().await;
    ended(done)
}

enum Asked {
    Import { quotes: Vec<Quote>, json: bool },
    Show { day: NaiveDate, json: bool },
}

/// The rates of a file, or all that is wrong with it.
fn read(import: &Import) -> Result<Vec<Quote>, String> {
    let name = import.file.display();
    let text = text_of(&import.file, FILE_BYTES_MAX)?;
    let quotes = read_ecb(&text).map_err(|problems| {
        let shown = problems.iter().take(PROBLEMS_SHOWN).map(|problem| format!("{name}: {problem}"));
        let rest = problems.len().saturating_sub(PROBLEMS_SHOWN);
        let more = (rest > 0).then(|| format!("and {rest} more"));
        shown.chain(more).chain(["nothing was imported".to_owned()]).collect::<Vec<_>>().join("\n")
    })?;
    let is_meant = |quote: &Quote| import.since.is_none_or(|since| quote.day >= since);
    let quotes: Vec<_> = quotes.into_iter().filter(is_meant).collect();
    if quotes.is_empty() { Err(format!("{name} has no rates since that day")) } else { Ok(quotes) }
}

async fn import(shared: &Shared, quotes: &[Quote], json: bool) -> Result<(), String> {
    let changed = shared.import_rates(quotes, &change()?).await.map_err(|error| error.to_string())?;
    let days = || quotes.iter().map(|quote| quote.day);
    let (first, last) = (days().min(), days().max());
    let [first, last] = [first, last].map(|day| day.map(|day| day.to_string()).unwrap_or_default());
    if json {
        print(&json!({"rates": quotes.len(), "changed": changed, "first": first, "last": last}).to_string());
    } else {
        print(&format!("{} rates of {first} to {last} read; {changed} were new or not as they were", quotes.len()));
    }
    Ok(())
}

async fn show(shared: &Shared, day: NaiveDate, json: bool) -> Result<(), String> {
    let (first, last) = crate::processing::Rates::days_needed(day, day);
    let rates = shared.rates(first, last).await.map_err(|error| error.to_string())?;
    let Some((date, of_day)) = rates.last_day() else {
        return Err(format!("there are no rates of {day}, nor of the week before it; `rates import` brings some"));
    };
    if json {
        let rates: serde_json::Value =
            of_day.iter().map(|(currency, rate)| (currency.clone(), rate.normalize().to_string())).collect();
        print(&json!({"day": date.to_string(), "base": "EUR", "rates": rates}).to_string());
    } else {
        print(&format!("{date}, units for one EUR"));
        for (currency, rate) in of_day {
            print(&format!("{currency}  {}", rate.normalize()));
        }
    }
    Ok(())
}
