//! `rates`: exchange rates by day (R51).

mod import;
mod edit;

use super::{DatabasesArgs, ended, print};
use crate::app::Platform;
use crate::shared::Shared;
use chrono::NaiveDate;
use clap::Subcommand;
use edit::{Delete, Set};
use import::Import;
use serde_json::json;
use std::process::ExitCode;

/// What can be done with rates.
#[derive(Subcommand)]
pub enum Rates {
    /// Take over a file of rates as the European Central Bank publishes them (eurofxref.csv, eurofxref-hist.csv). What was imported
    /// before and is not as it was is brought up to date; amounts that waited are converted within two minutes. A file with a wrong
    /// line, a day in the future, or a rate far off those around it is refused as a whole.
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
    /// Delete the rates of a day. Says how many conversions were converted by them; `reprocess` converts these again.
    Delete(Delete),
    /// Set one rate of a day. Says how many conversions were converted by the previous one; `reprocess` converts these again.
    Set(Set),
}

/// Runs the command. 0: done; 1: failed; 2: a file, a rate or a configuration that is wrong.
pub async fn rates(command: Rates) -> ExitCode {
    match command {
        Rates::Import(import) => import.run(today()).await,
        Rates::Show { day, json, databases } => {
            let locations = match databases.locations() {
                Ok(locations) => locations,
                Err(code) => return code,
            };
            let shared = Shared::at(locations.shared);
            let shown = show(&shared, day, json).await;
            shared.close().await;
            ended(shown)
        }
        Rates::Delete(delete) => delete.run().await,
        Rates::Set(set) => set.run(today()).await,
    }
}

/// The day in UTC.
fn today() -> NaiveDate {
    (Platform::SYSTEM.now)().to_chrono().date_naive()
}

async fn show(shared: &Shared, day: NaiveDate, json: bool) -> Result<(), String> {
    let (first, last) = crate::processing::Rates::days_needed(day, day);
    // Also of a day in the future, which an earlier version may have imported: how else would it be found?
    let rates = shared.rates(first, last, day).await.map_err(|error| error.to_string())?;
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
