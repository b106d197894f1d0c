//! `migrate`: databases and tables, without serving.

use crate::config::{Locations, registry};
use crate::databases::Databases;
use crate::shared::{self, Change, Shared};

/// Opens, creates and migrates every partner's database, makes room in it for what comes around the time of the change, and takes
/// over what the partner files say into what partners share.
///
/// # Errors
/// How many could not be; each was named as it failed.
pub async fn migrate(locations: &Locations, change: &Change) -> Result<(), String> {
    show_what_waits();
    let registry = registry()?;
    let databases = Databases::at(&locations.partners, &registry);
    let mut failed: usize = 0;
    let shared = Shared::at(locations.shared.clone());
    match shared.sync(registry.all(), change).await {
        Ok(()) => println!("{}: up to date", shared::NAME),
        Err(error) => {
            failed = failed.saturating_add(1);
            println!("{}: failed: {error}", shared::NAME);
        }
    }
    shared.close().await;
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
        if let Err(error) = store.make_ready(change.at).await {
            println!("{code}: no room was made for the time to come; serve will: {error}");
        }
    }
    databases.close().await;
    if failed == 0 { Ok(()) } else { Err(format!("{failed} database(s) could not be migrated")) }
}

/// On standard error, so that whoever migrates sees why it takes long.
fn show_what_waits() {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("bytec_origin=warn"))
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    // Without it nothing but these lines is missing.
    let _ = lines.try_init();
}
