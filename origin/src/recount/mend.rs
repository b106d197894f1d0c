//! Mending what a recount found: conversions that differ are rebuilt and evaluated again, then the totals of days that differ are
//! replaced.

use super::{Count, Difference, Scope, whole};
use crate::app::Platform;
use crate::processing::{again, finish};
use crate::store::recount::Found;
use crate::store::{StoreError, patiently};
use std::collections::BTreeSet;

/// Requests that one statement makes.
const REQUESTS: usize = 500;
/// How often conversions are put back that are evaluated otherwise than they should be.
const ROUNDS_MAX: usize = 3;

/// What can be mended: keys whose conversions can be rebuilt, and conversions that can be evaluated again. A key with a receipt that cannot
/// be read is left as it is: its rebuild would fail again and again.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    rebuilt: BTreeSet<String>,
    /// Last events, and keys.
    evaluated: BTreeSet<(String, String)>,
}

impl Keys {
    /// Adds the key of a difference.
    pub fn add(&mut self, difference: &Difference) {
        match difference {
            Difference::Conversion(difference) => match &difference.found {
                Found::Missing | Found::Surplus | Found::Differs { .. } => {
                    self.rebuilt.insert(difference.conversion_key.clone());
                }
                Found::Evaluated { event_id, .. } => {
                    self.evaluated.insert((event_id.clone(), difference.conversion_key.clone()));
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
/// 1. Rebuilds are requested, and what is evaluated wrongly is put back.
/// 2. What is due is rebuilt and evaluated. Where something is still evaluated wrongly, that is put back too.
/// 3. Totals of days that differ are replaced. A conversion that was wrong has been taken out of them by its wrong amounts.
/// 4. Everything is recounted.
///
/// Totals are made of what conversions were evaluated to. So as long as some of it is wrong, none are replaced: right ones could become
/// wrong.
///
/// # Errors
/// Some is not mended. What was requested is rebuilt and evaluated by the origin.
pub async fn mend(
    scope: Scope<'_>,
    keys: &Keys,
    mut progress: impl FnMut(u64),
    left: impl FnMut(Difference),
) -> Result<Count, StoreError> {
    let store = scope.store;
    let mut keys = keys.clone();
    let mut days = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        // (1)
        request(scope, &keys).await?;
        // (2)
        process_all(scope).await?;
        days.clear();
        keys = Keys::default();
        whole(scope, &mut progress, |difference| {
            keys.add(&difference);
            match difference {
                Difference::Total(day, _) => drop(days.insert(day)),
                Difference::Conversion(_) => {}
            }
        })
        .await?;
        if keys.evaluated.is_empty() {
            break;
        }
    }
    // (3)
    if keys.evaluated.is_empty() {
        for day in days {
            patiently(|| store.replace_totals(day)).await?;
        }
    }
    // (4)
    whole(scope, progress, left).await
}

async fn request(scope: Scope<'_>, keys: &Keys) -> Result<(), StoreError> {
    let Scope { shared, store, now, .. } = scope;
    let rebuilt: Vec<_> = keys.rebuilt.iter().cloned().collect();
    for some in rebuilt.chunks(REQUESTS) {
        patiently(|| store.request_rebuilds(some, now())).await?;
    }
    let evaluated: Vec<_> = keys.evaluated.iter().cloned().collect();
    for some in evaluated.chunks(REQUESTS) {
        patiently(|| again::put_back(store, some.to_vec(), now())).await?;
    }
    // Rates may have come that an origin would have put conversions back for.
    if let Some(before) = patiently(|| again::delayed_before(shared)).await? {
        patiently(|| store.put_back_delayed(before, now())).await?;
    }
    Ok(())
}

/// Rebuilds and evaluates until nothing is due. What an origin has taken meanwhile, it takes out of the totals by what it was.
async fn process_all(scope: Scope<'_>) -> Result<(), StoreError> {
    let Scope { shared, partner, store, now } = scope;
    let platform = Platform { now, ..Platform::SYSTEM };
    finish(&platform, shared, partner, store, |_| ()).await
}
