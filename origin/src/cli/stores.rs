//! What a command does in each partner's database.

use crate::app::Platform;
use crate::config::Locations;
use crate::databases::Databases;
use crate::store::location::Location;
use crate::store::look::{Look, Unseen};
use crate::store::{Store, Tables};
use futures_util::future::join_all;
use postback::partner::{Partner, Registry};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Does it in one after the other; one in which it cannot be done, which is told, keeps it from no other. 0: done; 1: failed in some.
///
/// It makes no database: where there is none, the place is a wrong one. And it migrates none: an origin of before may be at work there.
pub async fn in_each(
    locations: &Locations,
    registry: &Registry,
    mut work: impl AsyncFnMut(&Partner, &Store) -> Result<(), String>,
) -> ExitCode {
    let looks = locations.partners.iter().map(async |(code, location)| (code, location, unusable(location).await));
    let mut usable = BTreeMap::new();
    let mut failed = false;
    for (code, location, problem) in join_all(looks).await {
        match problem {
            Some(problem) => {
                eprintln!("{code}: {problem}");
                failed = true;
            }
            None => drop(usable.insert(code.clone(), location.clone())),
        }
    }
    let databases = Databases::at(&usable, registry);
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

/// Why a command does nothing with a database as it is. Whatever else keeps it from being used, opening it says.
async fn unusable(location: &Location) -> Option<String> {
    let mut look = match Look::open(location, Tables::Partner).await {
        Ok(look) => look,
        Err(Unseen::Missing { .. }) => {
            return Some(format!(
                "there is no database {location:?}; see whether DATA_DIR or DATABASE_URL names the right place, or make it: bytec-origin migrate"
            ));
        }
        Err(Unseen::Refused(_) | Unseen::Away(_) | Unseen::Broken(_)) => return None,
    };
    let seen = look.see(Platform::SYSTEM.now).await;
    look.close().await;
    let is_older = seen.is_ok_and(|seen| !seen.schema.missing.is_empty());
    is_older.then(|| "its tables are older than this program: stop the origins, then bytec-origin migrate".to_owned())
}
