//! `rates delete` and `rates set`: rates that are stored and wrong. What they concern is counted before anything is changed.
//!
//! (1) the rates of the day are read
//! (2) what was converted by them is counted, in every partner's database
//! (3) with `--yes`, they are changed and that is noted

use super::super::stores::{self, in_each};
use super::super::{DatabasesArgs, change, ended, print, wrong};
use crate::config::{Locations, registry};
use crate::processing::REPORTING_CURRENCY;
use crate::shared::{AsSql, Change, Quote, Shared, read_rate, refuse_day, too_large};
use chrono::NaiveDate;
use clap::Args;
use postback::money::Currency;
use postback::partner::Registry;
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Which rates are deleted.
#[derive(Args)]
pub struct Delete {
    /// The day, YYYY-MM-DD; also one in the future.
    day: NaiveDate,
    /// Only the rate of this currency.
    #[arg(long, value_parser = currency)]
    currency: Option<String>,
    #[command(flatten)]
    how: How,
}

/// Which rate is set.
#[derive(Args)]
pub struct Set {
    /// The day, YYYY-MM-DD.
    day: NaiveDate,
    /// The currency, such as USD.
    #[arg(value_parser = currency)]
    currency: String,
    /// How many units of it one euro was worth, such as 1.0843.
    #[arg(value_parser = rate)]
    rate: Decimal,
    /// Set it also where it is more than 3 times, or less than a third of, that of the currency within ten days. With --sql nothing is
    /// compared, which the SQL says unless this is given.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    how: How,
}

/// Whether and where it is done, and how it is told.
#[derive(Args)]
struct How {
    /// Only say what would change.
    #[arg(long, required_unless_present_any = ["yes", "sql"])]
    dry_run: bool,
    /// Change it.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Change nothing: print the SQL that would, for a D1 database (wrangler d1 execute --file).
    #[arg(long, conflicts_with_all = ["json", "yes", "dry_run"])]
    sql: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

fn currency(text: &str) -> Result<String, String> {
    match Currency::parse(text).map(Currency::code) {
        Some("EUR") => Err("rates say what one EUR is worth: it has none itself".to_owned()),
        Some(code) => Ok(code.to_owned()),
        None => Err("is no currency of ISO 4217, such as USD".to_owned()),
    }
}

fn rate(text: &str) -> Result<Decimal, String> {
    read_rate(text).ok_or_else(|| "is no rate: a decimal above zero, such as 1.0843".to_owned())
}

/// What is to be changed.
struct Edit {
    day: NaiveDate,
    kind: Kind,
}

enum Kind {
    /// The rate of a currency, or of all.
    Delete(Option<String>),
    Set(Quote),
}

/// What is changed, and what it concerns.
struct Effect {
    /// The rates as they are, by currency.
    before: BTreeMap<String, Decimal>,
    /// How many conversions of each partner were converted by them.
    conversions: BTreeMap<String, u64>,
    /// Whether the rates were changed.
    is_applied: bool,
}

impl Delete {
    /// Runs the command.
    pub async fn run(self) -> ExitCode {
        let Delete { day, currency, how } = self;
        if how.sql {
            return ended(change().map(|change| {
                print(&AsSql::for_d1().delete_rates(day, currency.as_deref(), &change));
            }));
        }
        let edit = Edit { day, kind: Kind::Delete(currency) };
        how.run(&edit, async |_| Ok(())).await
    }
}

impl Set {
    /// Runs the command. `today` is the day in UTC.
    pub async fn run(self, today: NaiveDate) -> ExitCode {
        let Set { day, currency, rate, force, how } = self;
        if let Err(problem) = refuse_day(day, today) {
            return wrong(&problem);
        }
        let quote = Quote { day, currency, rate };
        if how.sql {
            return ended(change().map(|change| print(&set_sql(&quote, force, &change))));
        }
        let edit = Edit { day, kind: Kind::Set(quote.clone()) };
        how.run(&edit, async |shared| {
            let near = shared.rates_near(day, day, today).await.map_err(|error| ended(Err(error.to_string())))?;
            let one = std::slice::from_ref(&quote);
            match too_large(one, one, &near).first() {
                Some(change) if !force => Err(wrong(&format!("{change}; if it is right, --force"))),
                Some(_) | None => Ok(()),
            }
        })
        .await
    }
}

/// The SQL that sets a rate. No command reads the rates of a D1 database, so it begins with what has not been looked at, and how to.
fn set_sql(quote: &Quote, force: bool, change: &Change) -> String {
    let Quote { day, currency, rate } = quote;
    let sql = AsSql::for_d1().set_rate(quote, change);
    if force {
        return sql;
    }
    format!(
        "-- {rate} {currency} of {day} was compared with no other rate, because no command reads D1. It should be less than 3 times, and
-- more than a third of, the rates of the days around it. Look before you run this:
-- select rate_date, rate from rates where currency = '{currency}' and rate_date between date('{day}', '-10 days') and date('{day}', '+10 days');
{sql}"
    )
}

impl How {
    /// `check` refuses what is not to be done.
    async fn run(self, edit: &Edit, check: impl AsyncFnOnce(&Shared) -> Result<(), ExitCode>) -> ExitCode {
        let locations = match self.databases.clone().locations() {
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
        let done = match check(&shared).await {
            Ok(()) => {
                let effect = edit.run(&shared, &locations, &registry, self.yes.then_some(&change)).await;
                ended(effect.map(|effect| {
                    print(&if self.json { edit.as_json(&effect).to_string() } else { edit.as_text(&effect) });
                }))
            }
            Err(code) => code,
        };
        shared.close().await;
        done
    }
}

impl Edit {
    async fn run(
        &self,
        shared: &Shared,
        locations: &Locations,
        registry: &Registry,
        apply: Option<&Change>,
    ) -> Result<Effect, String> {
        let Edit { day, kind } = self;
        // (1)
        let before = self.before(shared).await?;
        let is_same = match kind {
            Kind::Delete(_) if before.is_empty() => {
                return Err(format!("{} is not stored: nothing to delete", self.name()));
            }
            Kind::Set(quote) => before.get(&quote.currency) == Some(&quote.rate),
            Kind::Delete(_) => false,
        };
        // (2)
        let conversions = self.count(locations, registry).await?;
        // (3)
        let apply = apply.filter(|_| !is_same);
        if let Some(change) = apply {
            let details = json!({"conversions": conversions});
            let is_done = match kind {
                Kind::Delete(currency) => shared.delete_rates(*day, currency.as_deref(), &details, change).await,
                Kind::Set(quote) => shared.set_rate(quote, &details, change).await,
            };
            if !is_done.map_err(|error| error.to_string())? {
                return Err("the rates changed meanwhile: nothing was changed; look again with --dry-run".to_owned());
            }
        }
        Ok(Effect { before, conversions, is_applied: apply.is_some() })
    }

    /// The rates that are changed, as they are stored.
    async fn before(&self, shared: &Shared) -> Result<BTreeMap<String, Decimal>, String> {
        let rates = shared.rates(self.day, self.day, self.day).await.map_err(|error| error.to_string())?;
        let of_day = rates.last_day().map(|(_, rates)| rates.clone()).unwrap_or_default();
        Ok(match self.currency() {
            Some(currency) => of_day.into_iter().filter(|(known, _)| known == currency).collect(),
            None => of_day,
        })
    }

    /// The currency whose rate is changed; None: of every one that the day has.
    fn currency(&self) -> Option<&str> {
        match &self.kind {
            Kind::Delete(currency) => currency.as_deref(),
            Kind::Set(quote) => Some(&quote.currency),
        }
    }

    /// How many conversions of each partner were converted by the rates. Dollars are in every conversion's rate, because all are
    /// converted to them.
    async fn count(&self, locations: &Locations, registry: &Registry) -> Result<BTreeMap<String, u64>, String> {
        let currency = self.currency().filter(|currency| *currency != REPORTING_CURRENCY);
        let mut conversions = BTreeMap::new();
        // What failed was told by partner.
        let _ = in_each(locations, registry, async |partner, store| {
            let count = store.count_converted(self.day, currency).await.map_err(|error| error.to_string())?;
            conversions.insert(partner.code.clone(), count);
            Ok(())
        })
        .await;
        if conversions.len() < locations.partners.len() {
            return Err(
                "nothing was changed: it is not known what was converted by the rates; --partner leaves databases out"
                    .to_owned(),
            );
        }
        Ok(conversions)
    }

    /// The rates as they will be.
    fn after(&self, currency: &str) -> Option<Decimal> {
        match &self.kind {
            Kind::Set(quote) if quote.currency == currency => Some(quote.rate),
            Kind::Set(_) | Kind::Delete(_) => None,
        }
    }

    fn name(&self) -> String {
        match self.currency() {
            Some(currency) => format!("a rate of {currency} on {}", self.day),
            None => format!("a rate of {}", self.day),
        }
    }

    /// Each currency with its rate before and after.
    fn changes<'a>(&'a self, effect: &'a Effect) -> BTreeMap<&'a str, (Option<Decimal>, Option<Decimal>)> {
        let known = effect.before.iter().map(|(currency, rate)| (currency.as_str(), Some(*rate)));
        let all = self.currency().map(|currency| (currency, None)).into_iter().chain(known);
        all.map(|(currency, before)| (currency, (before, self.after(currency)))).collect()
    }

    fn as_json(&self, effect: &Effect) -> serde_json::Value {
        let text = |rate: Option<Decimal>| rate.map(|rate| rate.normalize().to_string());
        let changes = self.changes(effect).into_iter().map(|(currency, (before, after))| {
            (currency.to_owned(), json!({"before": text(before), "after": text(after)}))
        });
        json!({
            "applied": effect.is_applied,
            "day": self.day.to_string(),
            "rates": changes.collect::<serde_json::Map<_, _>>(),
            "conversions": effect.conversions,
        })
    }

    fn as_text(&self, effect: &Effect) -> String {
        let text = |rate: Option<Decimal>| rate.map_or("none".to_owned(), |rate| rate.normalize().to_string());
        let changes = self
            .changes(effect)
            .into_iter()
            .map(|(currency, (before, after))| format!("{} {currency}: {} -> {}", self.day, text(before), text(after)));
        let conversions = effect.conversions.iter().map(|(code, count)| match count {
            1 => format!("{code}: 1 conversion was converted by it"),
            count => format!("{code}: {count} conversions were converted by it"),
        });
        let end = match effect.is_applied {
            true => {
                "conversions stay as they are until `bytec-origin reprocess --yes`; --dry-run shows what that changes"
            }
            false => "nothing was changed",
        };
        changes.chain(conversions).chain([end.to_owned()]).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_sql_says_that_the_rate_was_compared_with_none() {
        let quote =
            Quote { day: "2026-11-20".parse().unwrap(), currency: "MYR".to_owned(), rate: Decimal::from(480_u32) };
        let change = change().unwrap();
        let forced = set_sql(&quote, true, &change);
        assert!(forced.starts_with("with ") && forced.contains("480"), "{forced}");
        let sql = set_sql(&quote, false, &change);
        let said = sql.strip_suffix(&forced).unwrap();
        assert!(said.lines().all(|line| line.starts_with("-- ")), "nothing that is run: {said}");
        assert!(said.contains("480 MYR of 2026-11-20 was compared with no other rate"), "{said}");
    }
}
