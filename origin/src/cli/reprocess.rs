//! `reprocess`: what was stored is judged again, by the rules and rates of now (R49-R51).

use super::stores::{self, in_each};
use super::{DatabasesArgs, change, print, progress::Progress, wrong};
use crate::app::Platform;
use crate::config::registry;
use crate::processing::{REPORTING_CURRENCY, again, finish};
use crate::shared::{Change, Shared};
use crate::store::Store;
use clap::Args;
use postback::partner::Partner;
use serde_json::json;
use std::process::ExitCode;

/// What is judged again.
#[derive(Args)]
pub struct Reprocess {
    /// Only say what would change, in rows and money.
    #[arg(long, required_unless_present = "yes")]
    dry_run: bool,
    /// Change it.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// As JSON, a line for each partner.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// Runs the command. 0: done; 1: failed for some partner; 2: wrong configuration.
pub async fn reprocess(command: Reprocess) -> ExitCode {
    let Reprocess { yes, json, databases, .. } = command;
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
    let done = in_each(&locations, &registry, async |partner, store| {
        one(&shared, partner, store, yes.then_some(&change), json).await
    });
    let code = done.await;
    shared.close().await;
    code
}

/// One partner: what differs is told, and where it is to be applied, put back and judged.
async fn one(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    apply: Option<&Change>,
    json: bool,
) -> Result<(), String> {
    let code = &partner.code;
    let mut progress = Progress::new(format!("{code}: looking at conversions"));
    let difference = again::compare(
        shared,
        partner,
        store,
        (Platform::SYSTEM.now)(),
        |conversions| progress.at(conversions),
        async |changed| match apply {
            Some(change) => again::put_back(store, changed, change.at).await,
            None => Ok(()),
        },
    );
    let difference = difference.await.map_err(|error| error.to_string())?;
    if let Some(change) = apply {
        let told = serde_json::to_value(&difference).unwrap_or_default();
        shared.note("reprocess", code, &told, change).await.map_err(|error| error.to_string())?;
        let mut progress = Progress::new(format!("{code}: judging"));
        let judged = finish(&Platform::SYSTEM, shared, partner, store, |judged| progress.at(judged));
        judged.await.map_err(|error| error.to_string())?;
    }
    if json {
        let applied = apply.is_some();
        print(
            &json!({"partner": code, "applied": applied, "currency": REPORTING_CURRENCY, "difference": difference})
                .to_string(),
        );
        return Ok(());
    }
    let would = if apply.is_some() { "" } else { "would be " };
    let again::Difference { conversions, changed, new, changes, first_deposits, sale_amount, payout } = difference;
    print(&format!("{code}: of {conversions} conversions {changed} {would}judged otherwise, {new} for the first time"));
    for (what, count) in changes {
        print(&format!("  {what:<16}{count}"));
    }
    print(&format!("  first deposits  {} -> {}", first_deposits.before, first_deposits.after));
    for (name, amount) in [("sale amount", sale_amount), ("payout", payout)] {
        let by = amount.after.saturating_sub(amount.before);
        let sign = if by.is_sign_negative() { "" } else { "+" };
        print(&format!("  {name:<16}{} -> {} {REPORTING_CURRENCY} ({sign}{by})", amount.before, amount.after));
    }
    Ok(())
}
