//! `rates import`: a file of rates, wholly or not at all.

use super::super::input::text_of;
use super::super::{DatabasesArgs, change, ended, print, wrong};
use crate::shared::{AsSql, ByCurrency, Problem, Quote, RateChange, RateFile, Shared, read_ecb, too_large};
use chrono::NaiveDate;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes of a file at most: the whole history has some three million.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Problems of a file that are shown.
const PROBLEMS_SHOWN: usize = 20;

/// What is imported, and where to.
#[derive(Args)]
pub struct Import {
    /// The file; - is standard input.
    file: PathBuf,
    /// Days before this one are left out, YYYY-MM-DD.
    #[arg(long)]
    since: Option<NaiveDate>,
    /// Import a rate also where it is more than 3 times, or less than a third of, that of the same currency within ten days.
    #[arg(long)]
    force: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Change nothing: print the SQL that would, for a D1 database (wrangler d1 execute --file). Rates are compared with those of the
    /// file alone.
    #[arg(long, conflicts_with = "json")]
    sql: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

impl Import {
    /// Runs the command. `today` is the day in UTC.
    pub async fn run(self, today: NaiveDate) -> ExitCode {
        let (file, quotes) = match self.read(today) {
            Ok(read) => read,
            Err(problem) => return wrong(&problem),
        };
        if self.sql {
            let changes = too_large(&quotes, &file.quotes, &ByCurrency::new());
            return match self.refusal(&changes, &file) {
                Some(refusal) => wrong(&refusal),
                None => {
                    ended(change().map(|change| print(&AsSql::for_d1().import_rates(&quotes, changes.len(), &change))))
                }
            };
        }
        let locations = match self.databases.clone().locations() {
            Ok(locations) => locations,
            Err(code) => return code,
        };
        let shared = Shared::at(locations.shared);
        let done = self.import(&shared, &file, &quotes, today).await;
        shared.close().await;
        done
    }

    /// The file, and the rates of it that are meant; or all that is wrong with it.
    fn read(&self, today: NaiveDate) -> Result<(RateFile, Vec<Quote>), String> {
        let text = text_of(&self.file, FILE_BYTES_MAX)?;
        let file = read_ecb(&text, today).map_err(|problems| self.told(&problems, "nothing was imported"))?;
        let is_meant = |quote: &&Quote| self.since.is_none_or(|since| quote.day >= since);
        let quotes: Vec<_> = file.quotes.iter().filter(is_meant).cloned().collect();
        if quotes.is_empty() {
            return Err(format!("{} has no rates since that day", self.file.display()));
        }
        Ok((file, quotes))
    }

    async fn import(&self, shared: &Shared, file: &RateFile, quotes: &[Quote], today: NaiveDate) -> ExitCode {
        let days = || quotes.iter().map(|quote| quote.day);
        let (first, last) = (days().min().unwrap_or(today), days().max().unwrap_or(today));
        let stored = match shared.rates_near(first, last, today).await {
            Ok(stored) => stored,
            Err(error) => return ended(Err(format!("{error}; nothing was imported"))),
        };
        let changes = too_large(quotes, &file.quotes, &stored);
        if let Some(refusal) = self.refusal(&changes, file) {
            return wrong(&refusal);
        }
        let forced = changes.len();
        let changed = match change() {
            Ok(change) => shared.import_rates(quotes, forced, &change).await.map_err(|error| error.to_string()),
            Err(problem) => Err(problem),
        };
        let changed = match changed {
            Ok(changed) => changed,
            Err(problem) => return ended(Err(problem)),
        };
        let count = quotes.len();
        if self.json {
            let [first, last] = [first, last].map(|day| day.to_string());
            print(
                &json!({"rates": count, "changed": changed, "first": first, "last": last, "forced": forced})
                    .to_string(),
            );
        } else {
            let forced =
                if forced > 0 { format!("; {forced} far off those around them (--force)") } else { String::new() };
            print(&format!("{count} rates of {first} to {last} read; {changed} were new or not as they were{forced}"));
        }
        ExitCode::SUCCESS
    }

    /// Why rates that are too far off those around them are not imported.
    fn refusal(&self, changes: &[RateChange], file: &RateFile) -> Option<String> {
        if self.force || changes.is_empty() {
            return None;
        }
        let line = |day: &NaiveDate| file.lines.get(day).copied().unwrap_or_default();
        let problem = |change: &RateChange| Problem { line: line(&change.quote.day), reason: change.to_string() };
        let mut problems: Vec<_> = changes.iter().map(problem).collect();
        problems.sort_by_key(|problem| problem.line);
        Some(self.told(
            &problems,
            "nothing was imported: correct the file, or what is stored (`rates set`, `rates delete`); if all of it is right, --force",
        ))
    }

    /// The first problems, and what comes of them.
    fn told(&self, problems: &[Problem], end: &str) -> String {
        let name = self.file.display();
        let shown = problems.iter().take(PROBLEMS_SHOWN).map(|problem| format!("{name}: {problem}"));
        let rest = problems.len().saturating_sub(PROBLEMS_SHOWN);
        let more = (rest > 0).then(|| format!("and {rest} more"));
        shown.chain(more).chain([end.to_owned()]).collect::<Vec<_>>().join("\n")
    }
}
