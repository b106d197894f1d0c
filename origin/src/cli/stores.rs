//! What a command does in each partner's database.

use crate::app::Platform;
use crate::config::Locations;
use crate::databases::Databases;
use crate::shared::{self, Shared};
use crate::store::location::Location;
use crate::store::look::{Look, Unseen};
use crate::store::{Store, Tables};
use futures_util::future::join_all;
use postback::partner::{Partner, Registry};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What a partner without a database means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The place is a wrong one.
    IsWrong,
    /// There is nothing of this partner's to be read. Where no partner has a database, the place is a wrong one.
    IsSkipped,
}

/// Does it in one after the other; one in which it cannot be done, which is told, keeps it from no other. 0: done; 1: failed in some.
///
/// It makes no database: where there is none, the place is a wrong one. And it migrates none: an origin of before may be at work there.
pub async fn in_each(
    locations: &Locations,
    registry: &Registry,
    work: impl AsyncFnMut(&Partner, &Store) -> Result<(), String>,
) -> ExitCode {
    let is_done = in_those(locations, registry, Absent::IsWrong, work).await;
    if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The same, and answers whether it was done in all of them that are there, or should be.
pub async fn in_those(
    locations: &Locations,
    registry: &Registry,
    absent: Absent,
    mut work: impl AsyncFnMut(&Partner, &Store) -> Result<(), String>,
) -> bool {
    let looks = locations.partners.iter();
    let looks = looks.map(async |(code, location)| (code, location, look(location, Tables::Partner).await));
    let looks = join_all(looks).await;
    let are_some = looks.iter().any(|(_, _, looked)| !matches!(looked, Err(Unfit::Absent(_))));
    let mut usable = BTreeMap::new();
    let mut failed = false;
    for (code, location, looked) in looks {
        match looked {
            Ok(()) => drop(usable.insert(code.clone(), location.clone())),
            Err(Unfit::Absent(_)) if absent == Absent::IsSkipped && are_some => {}
            Err(Unfit::Absent(problem) | Unfit::Unusable(problem)) => {
                eprintln!("{code}: {problem}");
                failed = true;
            }
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
    !failed
}

/// What partners share, which a command makes and migrates no more than their databases. Otherwise what is wrong was told.
///
/// # Errors
/// It is not there, not up to date, or cannot be looked at.
pub async fn shared(locations: &Locations) -> Result<Shared, ExitCode> {
    match look(&locations.shared, Tables::Shared).await {
        Ok(()) => Ok(Shared::at(locations.shared.clone())),
        Err(Unfit::Absent(problem) | Unfit::Unusable(problem)) => {
            eprintln!("{}: {problem}", shared::NAME);
            Err(ExitCode::FAILURE)
        }
    }
}

/// Why a command does not open a database.
enum Unfit {
    /// There is none.
    Absent(String),
    /// It cannot be looked at, or its tables are older than this program.
    Unusable(String),
}

/// Whether a database is there, and its tables are this program's. One that cannot be looked at now might be made or migrated by opening
/// it in a moment, so it is as if it were not.
async fn look(location: &Location, tables: Tables) -> Result<(), Unfit> {
    if matches!(location, Location::D1 { .. }) {
        return Ok(());
    }
    let mut look = Look::open(location, tables).await.map_err(|unseen| match unseen {
        Unseen::Missing { .. } => Unfit::Absent(format!(
            "there is no database {location:?}; see whether DATA_DIR or DATABASE_URL names the right place, or make it: bytec-origin migrate"
        )),
        Unseen::Refused(why) | Unseen::Away(why) | Unseen::Broken(why) => {
            Unfit::Unusable(format!("the database is not available: {why}"))
        }
    })?;
    let seen = look.see(Platform::SYSTEM.now).await;
    look.close().await;
    match seen {
        Ok(seen) if seen.schema.missing.is_empty() => Ok(()),
        Ok(_) => Err(Unfit::Unusable(
            "its tables are older than this program: stop the origins, then bytec-origin migrate".to_owned(),
        )),
        Err(error) => Err(Unfit::Unusable(error.to_string())),
    }
}
