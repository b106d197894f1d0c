//! `subject`: what is stored about a person (R63), by the account that the person has with an advertiser.

use super::stores::{self, in_each};
use super::{DatabasesArgs, change, print, progress::Progress, wrong};
use crate::app::Platform;
use crate::config::registry;
use crate::shared::{AsSql, Change, Shared};
use crate::store::rebuild::Growth;
use crate::store::subject::{Account, Erased, Erasing, Found, erasing_sql, finding_sql};
use crate::store::{Store, StoreError, patiently};
use clap::{Args, Subcommand, ValueEnum};
use postback::field::Field;
use postback::partner::{Partner, Registry};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What the audit log calls it.
const ACTION: &str = "subject.erase";

/// What can be done with a person's data.
#[derive(Subcommand)]
pub enum Subject {
    /// Show all that is stored about an account, in every partner's database.
    Find {
        /// The account; - reads it from standard input, so that it is in no list of processes.
        account_id: String,
        /// As JSON, a line for each partner.
        #[arg(long)]
        json: bool,
        /// Look at nothing: print the SQL that finds it, for a D1 database (wrangler d1 execute --file). Of one partner.
        #[arg(long, conflicts_with = "json")]
        sql: bool,
        #[command(flatten)]
        databases: DatabasesArgs,
    },
    /// Erase it: a random pseudonym takes the account's place, what else tells of the person goes, and money stays.
    Erase(Erase),
}

/// What is erased.
#[derive(Args)]
pub struct Erase {
    /// The account; - reads it from standard input, so that it is in no list of processes.
    account_id: String,
    /// Only say how much there is.
    #[arg(long, required_unless_present_any = ["yes", "sql"])]
    dry_run: bool,
    /// Erase it.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Then write SQLite's files anew, so that nothing is left in their free space. Postbacks wait meanwhile.
    #[arg(long, requires = "yes")]
    vacuum: bool,
    /// As JSON, a line for each partner.
    #[arg(long)]
    json: bool,
    /// Change nothing: print the SQL that would, for D1 databases (wrangler d1 execute --file). Of one partner.
    #[arg(long, value_name = "WHICH", conflicts_with_all = ["json", "yes", "dry_run"])]
    sql: Option<Sql>,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// The database that SQL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sql {
    /// The partner's: it erases.
    Data,
    /// The one that all partners share: it notes that.
    Audit,
}

/// What is done in each database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Find,
    Count,
    Erase { vacuum: bool },
}

/// Runs the command. 0: done; 1: failed for some partner; 2: wrong configuration or usage.
pub async fn subject(command: Subject) -> ExitCode {
    let (account_id, databases, asked, json) = match command {
        Subject::Find { account_id, databases, sql: true, .. } => {
            return printed(
                of_one(&databases).and_then(|partner| Ok(finding_sql(&account(&partner, &read(account_id)?)))),
            );
        }
        Subject::Erase(Erase { account_id, databases, sql: Some(sql), .. }) => {
            return printed(of_one(&databases).and_then(|partner| sql_of(sql, &partner, account_id)));
        }
        Subject::Find { account_id, databases, json, .. } => (account_id, databases, Asked::Find, json),
        Subject::Erase(Erase { account_id, databases, json, yes, vacuum, .. }) => {
            (account_id, databases, if yes { Asked::Erase { vacuum } } else { Asked::Count }, json)
        }
    };
    let locations = match databases.locations() {
        Ok(locations) => locations,
        Err(code) => return code,
    };
    let ready = read(account_id).and_then(|account_id| Ok((account_id, registry()?, change()?)));
    let (account_id, registry, change) = match ready {
        Ok(ready) => ready,
        Err(problem) => return wrong(&problem),
    };
    // The audit log is there. Finding needs none.
    let shared = match asked {
        Asked::Erase { .. } => stores::shared(&locations).await,
        Asked::Find | Asked::Count => Ok(Shared::at(locations.shared.clone())),
    };
    let shared = match shared {
        Ok(shared) => shared,
        Err(code) => return code,
    };
    let done = in_each(&locations, &registry, async |partner, store| {
        one(&shared, partner, store, &account_id, asked, &change, json).await
    });
    let code = done.await;
    shared.close().await;
    code
}

/// One partner's database.
async fn one(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    account_id: &str,
    asked: Asked,
    change: &Change,
    json: bool,
) -> Result<(), String> {
    let code = &partner.code;
    let account = account(partner, account_id);
    let mut progress = Progress::new(format!("{code}: rows looked at"));
    let found = store.find_subject(&account, |rows| progress.at(rows)).await.map_err(|error| error.to_string())?;
    drop(progress);
    match asked {
        Asked::Find => {
            tell_found(code, &found, json);
            Ok(())
        }
        Asked::Count => {
            tell_counts(code, "found", &found.counts(), 0, json);
            Ok(())
        }
        Asked::Erase { vacuum } => {
            let random = Platform::SYSTEM.nonce().ok_or("the system has no random bytes to give")?;
            let erasing = Erasing::new(account, &random, (Platform::SYSTEM.now)());
            let (erased, ids_left) = erase(store, &erasing, &found).await.map_err(|error| error.to_string())?;
            let noted = json!({"rows": erased.rows, "ids_left": ids_left});
            let noted = shared.note(ACTION, code, &noted, change).await;
            tell_counts(code, "erased", &erased.rows, ids_left, json);
            noted.map_err(|error| format!("it was erased, and the audit log does not say so: {error}"))?;
            fold_again(store, &erased.to_rebuild).await?;
            match vacuum {
                true => patiently(|| store.rewrite()).await.map_err(|error| format!("it was erased, but {error}")),
                false => Ok(()),
            }
        }
    }
}

async fn erase(store: &Store, erasing: &Erasing, found: &Found) -> Result<(Erased, u64), StoreError> {
    // Also where nothing was found: that is then what was erased.
    let erased = patiently(|| store.erase_subject(erasing, found)).await?;
    Ok((erased, store.ids_with_subject(erasing).await?))
}

/// Folds again what was folded from events of others as well. The origin would do it too; done here, nothing is left when the command
/// ends, nor in a file that is written anew behind it.
async fn fold_again(store: &Store, keys: &[String]) -> Result<(), String> {
    let mut failed = None;
    for key in keys {
        // What came meanwhile, or another origin that was quicker, is no failure.
        if let Err(error) = patiently(|| store.rebuild(key, Growth::Accepted, (Platform::SYSTEM.now)())).await {
            failed = Some(error);
        }
    }
    match failed {
        Some(error) => Err(format!(
            "it was erased, but conversions that other accounts' events are about as well have some of it until they are rebuilt, which the origin goes on trying (table rebuilds): {error}"
        )),
        None => Ok(()),
    }
}

/// The account, as this partner's requests name it.
fn account(partner: &Partner, account_id: &str) -> Account {
    let own = partner.aliases.iter().filter(|(_, field)| **field == Field::AccountId).map(|(name, _)| name.clone());
    let canonical = Field::AccountId.name();
    let names = own.chain((partner.field_of(canonical) == Some(Field::AccountId)).then(|| canonical.to_owned()));
    Account::new(account_id, &names.collect::<Vec<_>>())
}

fn read(account_id: String) -> Result<String, String> {
    let text = match account_id.as_str() {
        "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| format!("standard input cannot be read: {error}"))?,
        _ => account_id,
    };
    let text = text.trim();
    if text.is_empty() { Err("ACCOUNT_ID is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The one partner that is named, for which SQL is printed.
fn of_one(databases: &DatabasesArgs) -> Result<Partner, String> {
    let known: Registry = registry()?;
    match databases.partners.as_slice() {
        [code] => known.by_code(code).cloned().ok_or_else(|| format!("there is no partner {code}")),
        [] | [_, ..] => Err("--sql is for one database: name one partner with --partner".to_owned()),
    }
}

fn sql_of(sql: Sql, partner: &Partner, account_id: String) -> Result<String, String> {
    match sql {
        Sql::Data => {
            let account = account(partner, &read(account_id)?);
            let random = Platform::SYSTEM.nonce().ok_or("the system has no random bytes to give")?;
            Ok(erasing_sql(&Erasing::new(account, &random, (Platform::SYSTEM.now)())))
        }
        Sql::Audit => Ok(AsSql::for_d1().note(ACTION, &partner.code, &json!({"by": "sql"}), &change()?)),
    }
}

fn printed(sql: Result<String, String>) -> ExitCode {
    match sql {
        Ok(sql) => {
            print(&sql);
            ExitCode::SUCCESS
        }
        Err(problem) => wrong(&problem),
    }
}

fn tell_found(code: &str, found: &Found, json: bool) {
    if json {
        let tables: serde_json::Map<_, _> = found
            .tables()
            .map(|(table, rows)| {
                (table.to_owned(), json!({"count": rows.len(), "rows": rows.values().collect::<Vec<_>>()}))
            })
            .collect();
        print(&json!({"partner": code, "found": tables}).to_string());
        return;
    }
    tell_counts(code, "found", &found.counts(), 0, false);
    for (table, rows) in found.tables() {
        for row in rows.values() {
            print(&format!("  {table} {row}"));
        }
    }
}

fn tell_counts<N: Copy + PartialEq + Default + std::fmt::Display + serde::Serialize>(
    code: &str,
    what: &str,
    counts: &BTreeMap<&'static str, N>,
    ids_left: u64,
    json: bool,
) {
    if json {
        print(&json!({"partner": code, what: counts, "ids_left": ids_left}).to_string());
        return;
    }
    let counts: Vec<_> = counts.iter().filter(|(_, count)| **count != N::default()).collect();
    let counts = counts.iter().map(|(table, count)| format!("{table} {count}")).collect::<Vec<_>>().join(", ");
    print(&format!("{code}: {what}: {}", if counts.is_empty() { "nothing" } else { &counts }));
    if ids_left > 0 {
        print(&format!(
            "  the account is part of {ids_left} id(s) of conversions, events or clicks: these stay, or a repeat would count again"
        ));
    }
}
