//! The partners' databases: each opened on its own, so that one that is broken disturbs no other (R45). A database that
//! could not be opened is tried again when it is next needed.

use crate::deadline::within;
use crate::store::location::Location;
use crate::store::{Store, StoreError};
use futures_util::future::join_all;
use postback::duplicate::DuplicatePolicy;
use postback::partner::Registry;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long a request waits for a database that was not there before.
const OPEN_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Every partner's database, by partner code.
#[derive(Debug)]
pub struct Databases {
    partners: BTreeMap<String, Database>,
}

#[derive(Debug)]
struct Database {
    location: Location,
    policy: DuplicatePolicy,
    store: OnceCell<Store>,
}

impl Databases {
    /// Databases of these partners at their places, none of them opened yet.
    pub fn at(locations: &BTreeMap<String, Location>, registry: &Registry) -> Databases {
        let database = |code: &String, location: &Location| Database {
            location: location.clone(),
            policy: registry.by_code(code).map(|partner| partner.duplicates).unwrap_or_default(),
            store: OnceCell::new(),
        };
        let partners = locations.iter().map(|(code, location)| (code.clone(), database(code, location)));
        Databases { partners: partners.collect() }
    }

    /// The store of a partner, opened if it is not yet.
    ///
    /// # Errors
    /// When it cannot be opened within [`OPEN_TIMEOUT`], which a request has to spare.
    pub async fn of(&self, code: &str) -> Result<&Store, StoreError> {
        match within(OPEN_TIMEOUT, self.open(code)).await {
            Some(outcome) => outcome,
            None => Err(StoreError::Unavailable("it does not open in time".to_owned())),
        }
    }

    async fn open(&self, code: &str) -> Result<&Store, StoreError> {
        let database =
            self.partners.get(code).ok_or_else(|| StoreError::Bug(format!("partner {code} has no database")))?;
        database.store.get_or_try_init(|| Store::open(&database.location, database.policy)).await
    }

    /// Opens all at once, migrations however long they take, and tells of each whether that worked.
    pub async fn open_all(&self) -> BTreeMap<&str, Result<(), StoreError>> {
        let openings = self.partners.keys().map(async |code| (code.as_str(), self.open(code).await.map(|_| ())));
        join_all(openings).await.into_iter().collect()
    }

    /// Whether each database answers now.
    pub async fn ping_all(&self) -> BTreeMap<&str, Result<(), StoreError>> {
        // All at once, so that several that hang cost no more time than one.
        let pings = self.partners.keys().map(async |code| {
            let outcome = match self.of(code).await {
                Ok(store) => store.ping().await,
                Err(error) => Err(error),
            };
            (code.as_str(), outcome)
        });
        join_all(pings).await.into_iter().collect()
    }

    /// The stores that are open.
    pub fn opened(&self) -> impl Iterator<Item = (&str, &Store)> {
        self.partners.iter().filter_map(|(code, database)| Some((code.as_str(), database.store.get()?)))
    }

    /// Where each partner's database is.
    pub fn locations(&self) -> impl Iterator<Item = (&str, &Location)> {
        self.partners.iter().map(|(code, database)| (code.as_str(), &database.location))
    }

    /// Closes all, after what is running has ended.
    pub async fn close(&self) {
        for (_, store) in self.opened() {
            store.close().await;
        }
    }
}
