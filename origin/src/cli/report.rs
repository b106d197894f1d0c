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
    waiting: Vec<Waiting>,
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
    refunds: i64,
    chargebacks: i64,
    rejected: i64,
    duplicates: i64,
    first_deposits: i64,
    waiting_for_rates: i64,
    sale_amount: String,
    payout: String,
    gross_sale_amount: String,
    gross_payout: String,
    returned_sale_amount: String,
    returned_payout: String,
    pending_sale_amount: String,
    pending_payout: String,
}

#[derive(Deserialize)]
struct Waiting {
    currency: String,
    conversions: i64,
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
        let Shown { time_zone, currency, total, waiting, periods } = self;
        let heads = COUNTS.map(|(head, _)| head);
        let mut lines = vec![
            format!("{code}, {time_zone}, amounts in {currency}"),
            line("", &heads.map(str::to_owned), "sale amount", "payout"),
        ];
        // Days on which nothing was are of no interest to anybody.
        let busy = periods.iter().filter(|Period { row, .. }| row.any());
        lines.extend(busy.map(|Period { start, row }| row.line(start)));
        lines.push(total.line("total"));
        lines.extend(total.parts());
        lines.extend(waiting.iter().map(|waiting| waiting.line(currency)));
        lines.join("\n")
    }
}

/// Reads a count of a row.
type Count = fn(&Row) -> i64;

/// Columns of counts, and where each comes from.
const COUNTS: [(&str, Count); 7] = [
    ("conversions", |row| row.conversions),
    ("refunds", |row| row.refunds),
    ("chargebacks", |row| row.chargebacks),
    ("rejected", |row| row.rejected),
    ("duplicates", |row| row.duplicates),
    ("first deposits", |row| row.first_deposits),
    ("waiting for rates", |row| row.waiting_for_rates),
];

impl Row {
    fn any(&self) -> bool {
        COUNTS.iter().any(|(_, count)| count(self) != 0)
    }

    fn line(&self, name: &str) -> String {
        line(name, &COUNTS.map(|(_, count)| count(self).to_string()), &self.sale_amount, &self.payout)
    }

    /// What the amounts of a total are made of.
    fn parts(&self) -> [String; 3] {
        let none = COUNTS.map(|_| String::new());
        [
            line("gross", &none, &self.gross_sale_amount, &self.gross_payout),
            line("returned", &none, &self.returned_sale_amount, &self.returned_payout),
            line("of the total, pending", &none, &self.pending_sale_amount, &self.pending_payout),
        ]
    }
}

impl Waiting {
    fn line(&self, reporting: &str) -> String {
        let Waiting { currency, conversions, sale_amount, payout } = self;
        format!(
            "  no rate yet from {currency} to {reporting}, in no sum above: conversions {conversions}, sale amount {sale_amount}, payout {payout}"
        )
    }
}

fn line(name: &str, counts: &[String; 7], sale_amount: &str, payout: &str) -> String {
    let counts: String = counts
        .iter()
        .zip(COUNTS)
        .map(|(count, (head, _))| format!("{count:>0$}", head.len().saturating_add(2)))
        .collect();
    format!("  {name:<26}{counts}{sale_amount:>20}{payout:>20}").trim_end().to_owned()
}
