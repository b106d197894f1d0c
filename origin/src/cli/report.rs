//! `report`: what conversions come to, by days of any time zone, at the terminal (R54). The numbers are those of the API's statistics.

use super::stores::in_each;
use super::{DatabasesArgs, print, wrong};
use crate::app::Platform;
use crate::config::registry;
use crate::reports::{StatisticsQuestion, statistics};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::process::ExitCode;

/// What is reported.
#[derive(Args)]
pub struct Report {
    /// The first day, or an instant (RFC 3339); thirty days ago where it is not said.
    #[arg(long)]
    from: Option<String>,
    /// The last day, or an instant that is not in it any more; today where it is not said.
    #[arg(long)]
    to: Option<String>,
    /// The time zone of the days, such as Asia/Kuala_Lumpur.
    #[arg(long, default_value = "UTC")]
    tz: String,
    /// Into what the time is parted.
    #[arg(long, value_enum, default_value_t = By::Day)]
    by: By,
    /// As JSON, as the API answers it, a line for each partner.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// As CSV; of one partner.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Hour,
    /// Not at all.
    All,
}

/// The parts of an answer that are shown.
#[derive(Deserialize)]
struct Shown {
    time_zone: String,
    currency: String,
    total: Row,
    periods: Vec<Period>,
}

#[derive(Deserialize)]
struct Period {
    start: String,
    #[serde(flatten)]
    row: Row,
}

#[derive(Deserialize)]
struct Row {
    conversions: i64,
    rejected: i64,
    duplicates: i64,
    first_deposits: i64,
    sale_amount: String,
    payout: String,
}

/// Runs the command. 0: done; 1: some partner's database does not answer; 2: wrong configuration or question.
pub async fn report(command: Report) -> ExitCode {
    let question = match command.question() {
        Ok(question) => question,
        Err(problem) => return wrong(&problem),
    };
    let Report { json, csv, databases, .. } = command;
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    if csv && locations.partners.len() != 1 {
        return wrong("CSV has one partner: say which, --partner CODE");
    }
    let registry = match registry() {
        Ok(registry) => registry,
        Err(problem) => return wrong(&problem),
    };
    in_each(&locations, &registry, async |partner, store| {
        let answer = statistics(&partner.code, store, &question).await.map_err(|error| error.to_string())?;
        if json || csv {
            print(&answer.body);
        } else {
            let shown: Shown = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
            print(&shown.text(&partner.code));
        }
        Ok(())
    })
    .await
}

impl Report {
    /// The same question as the API would be asked.
    fn question(&self) -> Result<StatisticsQuestion, String> {
        let by = self.by.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let format = if self.csv { "csv" } else { "json" };
        let pairs = [
            ("from", self.from.as_deref().unwrap_or("")),
            ("to", self.to.as_deref().unwrap_or("")),
            ("tz", &self.tz),
            ("interval", &by),
            ("format", format),
        ];
        let query = serde_urlencoded::to_string(pairs).map_err(|error| error.to_string())?;
        StatisticsQuestion::read(&query, None, (Platform::SYSTEM.now)())
            .map_err(|problem| format!("--{}: {}", problem.field, problem.hint))
    }
}

impl Shown {
    fn text(&self, code: &str) -> String {
        let Shown { time_zone, currency, total, periods } = self;
        let mut lines = vec![
            format!("{code}, {time_zone}, amounts in {currency}"),
            line("", "conversions", "rejected", "duplicates", "first deposits", "sale amount", "payout"),
        ];
        // Days on which nothing was are of no interest to anybody.
        let busy = periods.iter().filter(|Period { row, .. }| row.any());
        lines.extend(busy.map(|Period { start, row }| row.line(start)));
        lines.push(total.line("total"));
        lines.join("\n")
    }
}

impl Row {
    fn any(&self) -> bool {
        self.conversions != 0 || self.rejected != 0 || self.duplicates != 0
    }

    fn line(&self, name: &str) -> String {
        let Row { conversions, rejected, duplicates, first_deposits, sale_amount, payout } = self;
        let [conversions, rejected, duplicates, first_deposits] =
            [conversions, rejected, duplicates, first_deposits].map(i64::to_string);
        line(name, &conversions, &rejected, &duplicates, &first_deposits, sale_amount, payout)
    }
}

fn line(name: &str, a: &str, b: &str, c: &str, d: &str, sale_amount: &str, payout: &str) -> String {
    format!("  {name:<26}{a:>12}{b:>10}{c:>12}{d:>16}{sale_amount:>18}{payout:>18}")
}
