//! Room for requests in flight: so many in all, and of these so many of one partner's, so that one whose database hangs leaves room
//! for the others (R45).

use postback::partner::Registry;
use std::collections::BTreeMap;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Requests about partners' data in flight at most; more are asked to come back, so that those inside are served in time.
const IN_FLIGHT_MAX: usize = 256;
/// Of these, one partner's.
const OF_A_PARTNER_MAX: usize = 192;

/// The places there are.
#[derive(Debug)]
pub struct Room {
    all: Semaphore,
    partners: BTreeMap<String, Semaphore>,
}

/// A place, for as long as it is held.
#[derive(Debug)]
pub struct Place<'r> {
    _of_all: Option<SemaphorePermit<'r>>,
    _of_the_partner: Option<SemaphorePermit<'r>>,
}

impl Room {
    /// Room for requests of these partners.
    pub fn of(registry: &Registry) -> Room {
        let codes = registry.all().iter().map(|partner| partner.code.clone());
        Room {
            all: Semaphore::new(IN_FLIGHT_MAX),
            partners: codes.map(|code| (code, Semaphore::new(OF_A_PARTNER_MAX))).collect(),
        }
    }

    /// How many places are taken.
    pub fn taken(&self) -> u64 {
        self.places().saturating_sub(u64::try_from(self.all.available_permits()).unwrap_or(0))
    }

    /// How many places there are.
    pub fn places(&self) -> u64 {
        u64::try_from(IN_FLIGHT_MAX).unwrap_or(u64::MAX)
    }

    /// A place for a request of a partner's; None when there is none.
    ///
    /// In a Worker there is always one: what a request holds there is not let go of when its caller goes away, because it is then
    /// neither continued nor dropped; and how many run at once is the platform's to limit.
    #[cfg(target_family = "wasm")]
    pub fn enter(&self, code: &str) -> Option<Place<'_>> {
        self.partners.contains_key(code).then_some(Place { _of_all: None, _of_the_partner: None })
    }

    /// A place for a request of a partner's; None when there is none.
    #[cfg(not(target_family = "wasm"))]
    pub fn enter(&self, code: &str) -> Option<Place<'_>> {
        let of_the_partner = self.partners.get(code)?.try_acquire().ok()?;
        Some(Place { _of_all: Some(self.all.try_acquire().ok()?), _of_the_partner: Some(of_the_partner) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_partner_leaves_room_for_the_others() {
        let room = Room::of(&crate::config::registry().unwrap());
        let rectors: Vec<_> = std::iter::from_fn(|| room.enter("rector")).collect();
        assert_eq!(rectors.len(), OF_A_PARTNER_MAX);
        let others: Vec<_> = std::iter::from_fn(|| room.enter("involve_asia")).collect();
        assert_eq!(rectors.len() + others.len(), IN_FLIGHT_MAX);
        assert!(room.enter("s2s").is_none());
        drop(rectors);
        assert!(room.enter("s2s").is_some() && room.enter("rector").is_some(), "a place that is left is free");
        assert!(room.enter("nobody").is_none());
    }
}
