//! `migrate`: databases and tables, without serving.

use crate::config::registry;
use crate::databases::Databases;
use crate::store::location::Location;
use postback::time::Timestamp;
use std::collections::BTreeMap;

/// Opens, creates and migrates every partner's database, and makes room in it for what comes around `now`.
///
/// # Errors
/// How many could not be; each was named as it failed.
pub async fn migrate(locations: &BTreeMap<String, Location>, now: Timestamp) -> Result<(), String> {
    let databases = Databases::at(locations, &registry()?);
    let mut failed: usize = 0;
    for (code, outcome) in databases.open_all().await {
        match outcome {
            Ok(()) => println!("{code}: up to date"),
            Err(error) => {
                failed = failed.saturating_add(1);
                println!("{code}: failed: {error}");
            }
        }
    }
    for (code, store) in databases.opened() {
        if let Err(error) = store.make_ready(now).await {
            println!("{code}: no room was made for the time to come; serve will: {error}");
        }
    }
    databases.close().await;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} database(s) could not be migrated")) }
}
