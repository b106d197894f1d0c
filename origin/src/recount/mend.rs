//! Mending what a recount found: conversions that differ are rebuilt and evaluated again, then the totals of days that differ are replaced.

use super::{Count, Difference, whole};
use crate::app::Platform;
use crate::processing::process;
use crate::shared::Shared;
use crate::store::recount::Found;
use crate::store::{Store, StoreError, patiently};
use postback::partner::Partner;
use std::collections::BTreeSet;

/// Requests that one statement makes.
const REQUESTS: usize = 500;

/// Keys whose conversions can be rebuilt. One with a receipt that cannot be read is left as it is: its rebuild would fail again and again.
#[derive(Debug, Default)]
pub struct Keys(BTreeSet<String>);

impl Keys {
    /// Adds the key of a difference.
    pub fn add(&mut self, difference: &Difference) {
        match difference {
            Difference::Conversion(difference) => match difference.found {
                Found::Missing | Found::Surplus | Found::Differs { .. } => {
                    self.0.insert(difference.conversion_key.clone());
                }
                Found::Unreadable { .. } => {}
            },
            Difference::Total(..) => {}
        }
    }
}

/// Mends what differs, and recounts: what is left is answered, and given to `left`. `progress` hears how many keys, conversions and days
/// are done.
///
/// 1. Rebuilds are requested.
/// 2. What is due is rebuilt and evaluated.
/// 3. Totals of days that differ are replaced. A conversion that was wrong has been taken out of them by its wrong amounts.
/// 4. Everything is recounted.
///
/// # Errors
/// Some is not mended. What was requested is rebuilt by the origin.
pub async fn mend(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    keys: &Keys,
    mut progress: impl FnMut(u64),
    left: impl FnMut(Difference),
) -> Result<Count, StoreError> {
    let platform = Platform::SYSTEM;
    // (1)
    let all: Vec<_> = keys.0.iter().cloned().collect();
    for some in all.chunks(REQUESTS) {
        patiently(|| store.request_rebuilds(some, (platform.now)())).await?;
    }
    // (2)
    loop {
        let items = patiently(|| process(&platform, shared, partner, store)).await?;
        if items == 0 && patiently(|| store.due_rebuilds((platform.now)())).await?.is_empty() {
            break;
        }
    }
    // (3)
    let mut days = BTreeSet::new();
    whole(store, &mut progress, |difference| match difference {
        Difference::Total(day, _) => drop(days.insert(day)),
        Difference::Conversion(_) => {}
    })
    .await?;
    for day in days {
        patiently(|| store.replace_totals(day)).await?;
    }
    // (4)
    whole(store, progress, left).await
}
