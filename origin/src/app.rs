//! What every request shares: configuration, databases, the platform's clock and randomness, and the number of requests
//! that may be in flight.

use crate::api::{Documents, Looks};
use crate::config::Config;
use crate::databases::Databases;
use crate::metrics::Metrics;
use crate::quota::Quotas;
use crate::room::Room;
use crate::shared::{Change, Shared};
use crate::store::StoreError;
use postback::id::Nonce;
use postback::time::Timestamp;
use std::sync::Arc;

/// Clock and randomness, passed in so that tests decide them.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Now.
    pub now: fn() -> Timestamp,
    /// Sixteen random bytes; None when the system has none to give.
    pub random: fn() -> Option<[u8; 16]>,
}

impl Platform {
    /// The operating system's.
    pub const SYSTEM: Platform = Platform { now: system_now, random: system_random };

    /// A fresh random name.
    pub fn nonce(&self) -> Option<Nonce> {
        (self.random)().map(Nonce::from_bytes)
    }

    /// A fresh name for the receipt of a request, for a change or a lease, of which there must be no second.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn receipt_id(&self) -> Result<Nonce, StoreError> {
        self.nonce().ok_or_else(|| StoreError::Unavailable("the system has no random bytes to give".to_owned()))
    }
}

fn system_now() -> Timestamp {
    // The clock's milliseconds are in range until the year 262000.
    Timestamp::from_unix_ms(clock_ms()).unwrap_or(Timestamp::EPOCH)
}

#[cfg(not(target_family = "wasm"))]
fn clock_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// A Worker's clock stands still between one answer from outside and the next.
#[cfg(target_family = "wasm")]
fn clock_ms() -> i64 {
    i64::try_from(worker::Date::now().as_millis()).unwrap_or(i64::MAX)
}

fn system_random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}

/// The running origin.
#[derive(Debug)]
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The partners' databases.
    pub databases: Databases,
    /// What all partners share.
    pub shared: Shared,
    /// How much each partner has sent.
    pub quotas: Quotas,
    /// Clock and randomness.
    pub platform: Platform,
    /// Which of possibly several origins this one is: 8 hexadecimal digits, random at the start.
    pub instance: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// What can be asked here, for whoever asks that.
    pub documents: Documents,
    /// What was last seen of the databases.
    pub looks: Looks,
    /// For requests about a partner's data.
    pub room: Room,
    /// What this process counts of itself.
    pub metrics: Metrics,
}

impl App {
    /// A fresh name for a request, which begins with the time; `-` when the system has no randomness to give.
    pub fn request_id(&self) -> String {
        let Platform { now, random } = self.platform;
        random().map_or_else(|| "-".to_owned(), |random| Nonce::time_ordered(now(), random).to_string())
    }

    /// A change that this origin makes to what partners share.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn change(&self) -> Result<Change, StoreError> {
        let actor = format!("origin:{}", self.instance);
        Ok(Change { id: self.platform.receipt_id()?, at: (self.platform.now)(), actor })
    }

    /// An origin with this configuration; no database is opened yet.
    ///
    /// # Errors
    /// What it counts has a wrong name, which a test holds.
    pub fn new(config: Config, platform: Platform) -> Result<Arc<App>, String> {
        let metrics = Metrics::new().map_err(|error| error.to_string())?;
        let room = Room::of(&config.registry);
        let databases = Databases::at(&config.locations.partners, &config.registry);
        let shared = Shared::at(config.locations.shared.clone());
        let started_at = (platform.now)();
        // The first four bytes: a name to tell apart, not a secret.
        let random = (platform.random)().map_or(0, |bytes| u128::from_be_bytes(bytes) >> 96);
        let instance = format!("{random:08x}");
        let (quotas, documents, looks) = (Quotas::default(), Documents::default(), Looks::default());
        Ok(Arc::new(App {
            config,
            databases,
            shared,
            quotas,
            platform,
            instance,
            started_at,
            documents,
            looks,
            room,
            metrics,
        }))
    }
}
