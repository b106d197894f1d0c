//! What a command does in each partner's database.

use crate::config::Locations;
use crate::databases::Databases;
use crate::store::Store;
use postback::partner::{Partner, Registry};
use std::process::ExitCode;

/// Does it in one after the other; one in which it cannot be done, which is told, keeps it from no other. 0: done; 1: failed in some.
pub async fn in_each(
    locations: &Locations,
    registry: &Registry,
    mut work: impl AsyncFnMut(&Partner, &Store) -> Result<(), String>,
) -> ExitCode {
    let databases = Databases::at(&locations.partners, registry);
    let mut failed = false;
    for (code, opened) in databases.open_all().await {
        let Some(partner) = registry.by_code(code) else { continue };
        let store = match opened {
            Ok(()) => databases.of(code).await,
            Err(error) => Err(error),
        };
        let done = match store {
            Ok(store) => work(partner, store).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(problem) = done {
            eprintln!("{code}: {problem}");
            failed = true;
        }
    }
    databases.close().await;
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
