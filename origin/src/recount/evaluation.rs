//! Whether conversions are evaluated as they should be: they are judged anew by what is known of them, and what comes of it is compared with
//! what is stored.
//!
//! What a conversion is judged by is read in several statements, so a difference is one only if it is found twice over, and nothing that the
//! conversion hangs on waits meanwhile: itself, the others of its group, the others of its account. Whatever changes one of these puts it on
//! the worklist in the same transaction.

use super::Scope;
use crate::processing::again::{self, Anew, Changed, changed, counted};
use crate::store::recount::{Compared, ConversionDifference, Found, HangsOn, Stands};
use crate::store::worklist::{Facts, Item};
use crate::store::{Store, StoreError};
use postback::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is stored and what should be, by column.
type Columns = BTreeMap<&'static str, Compared>;

/// A conversion that seems to differ.
#[derive(Debug, PartialEq, Eq)]
struct Suspect {
    stands: Stands,
    found: Found,
    /// What else it hangs on: keys of conversions, and accounts.
    others: BTreeSet<String>,
    accounts: BTreeSet<String>,
}

/// The conversions of keys whose evaluation differs.
///
/// # Errors
/// A database cannot say.
pub async fn differences(scope: Scope<'_>, keys: &[String]) -> Result<Vec<ConversionDifference>, StoreError> {
    let first = not_waiting(scope, suspects(scope, keys).await?).await?;
    if first.is_empty() {
        return Ok(Vec::new());
    }
    let keys: BTreeSet<_> = first.iter().map(|suspect| suspect.stands.conversion_key.clone()).collect();
    let second = suspects(scope, &keys.into_iter().collect::<Vec<_>>()).await?;
    let twice = second.into_iter().filter(|suspect| first.contains(suspect)).collect();
    let differ = not_waiting(scope, twice).await?;
    Ok(differ.into_iter().map(Suspect::difference).collect())
}

async fn suspects(scope: Scope<'_>, keys: &[String]) -> Result<Vec<Suspect>, StoreError> {
    let Scope { shared, partner, store, now } = scope;
    let stand = store.evaluations(keys).await?;
    let (processed, unprocessed): (Vec<_>, Vec<_>) = stand.into_iter().partition(|stands| stands.is_processed);
    let mut suspects: Vec<_> = unprocessed.into_iter().map(Suspect::unprocessed).collect();
    let mut by_event: HashMap<_, _> = processed.into_iter().map(|stands| (stands.event_id.clone(), stands)).collect();
    let (facts, unreadable) = facts_of(store, by_event.values()).await?;
    for (event_id, reason) in unreadable {
        suspects.extend(by_event.remove(&event_id).map(|stands| Suspect::unreadable(stands, reason)));
    }
    // The items of those whose group cannot be balanced are given up, which is said elsewhere.
    let (judged, _) = again::judge_again(shared, partner, store, now(), facts).await?;
    for anew in judged {
        suspects.extend(by_event.remove(&anew.event_id).and_then(|stands| Suspect::of(stands, &anew)));
    }
    suspects.sort_by(|one, other| one.place().cmp(&other.place()));
    Ok(suspects)
}

/// The facts of conversions, and why those of some cannot be read: of one that cannot, the others are not to suffer.
async fn facts_of(
    store: &Store,
    stand: impl Iterator<Item = &Stands>,
) -> Result<(Vec<(String, Facts)>, Vec<(String, String)>), StoreError> {
    let item = |stands: &Stands| Item {
        event_id: stands.event_id.clone(),
        conversion_key: stands.conversion_key.clone(),
        attempts: 0,
    };
    let items: Vec<_> = stand.map(item).collect();
    if items.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    match store.facts_of(&items).await {
        Ok(facts) => return Ok((facts.into_iter().collect(), Vec::new())),
        Err(StoreError::Bug(_)) => {}
        Err(error) => return Err(error),
    }
    let (mut facts, mut unreadable) = (Vec::new(), Vec::new());
    for item in items {
        match store.facts_of(std::slice::from_ref(&item)).await {
            Ok(of_one) => facts.extend(of_one),
            Err(StoreError::Bug(reason)) => unreadable.push((item.event_id, reason)),
            Err(error) => return Err(error),
        }
    }
    Ok((facts, unreadable))
}

/// Those that wait for nothing.
async fn not_waiting(scope: Scope<'_>, suspects: Vec<Suspect>) -> Result<Vec<Suspect>, StoreError> {
    if suspects.is_empty() {
        return Ok(suspects);
    }
    // Where no rates were imported, none came that it could wait for.
    let delayed_before = again::delayed_before(scope.shared).await?.unwrap_or(Timestamp::EPOCH);
    let hang_on: Vec<_> = suspects.iter().flat_map(|suspect| suspect.hangs_on(delayed_before)).collect();
    let waiting = scope.store.waiting_of(&hang_on).await?;
    Ok(suspects.into_iter().filter(|suspect| !waiting.contains(&suspect.stands.event_id)).collect())
}

impl Suspect {
    /// A conversion that was judged anew, if it was judged otherwise before.
    fn of(stands: Stands, anew: &Anew) -> Option<Suspect> {
        let Anew { event_id: _, facts, judged, others } = anew;
        let account = counted(facts, judged);
        let deposit = match account {
            Some(_) if stands.has_earlier => Some("repeat"),
            Some(_) => Some("first"),
            None => judged.deposit,
        };
        let mut columns = match &facts.judged {
            Some(before) => {
                let changed = changed(facts, before, judged, deposit).into_iter();
                changed.map(|Changed { column, before, after, .. }| (column, compared(before, after))).collect()
            }
            None => never_judged(),
        };
        if stands.is_charged_back != judged.is_charged_back {
            let both = [stands.is_charged_back, judged.is_charged_back].map(|flag| Some(flag.to_string()));
            let [before, after] = both;
            columns.insert("is_charged_back", compared(before, after));
        }
        let accounts =
            [facts.conversion.account_id.clone(), facts.judged.as_ref().and_then(|was| was.deposit_account.clone())];
        (!columns.is_empty()).then(|| Suspect {
            found: Found::Evaluated { event_id: stands.event_id.clone(), columns },
            others: others.iter().map(|other| other.conversion_key.clone()).collect(),
            accounts: accounts.into_iter().flatten().collect(),
            stands,
        })
    }

    /// One that is not evaluated: it waits, or somebody has lost it.
    fn unprocessed(stands: Stands) -> Suspect {
        let found = Found::Evaluated { event_id: stands.event_id.clone(), columns: never_judged() };
        Suspect { stands, found, others: BTreeSet::new(), accounts: BTreeSet::new() }
    }

    fn unreadable(stands: Stands, reason: String) -> Suspect {
        Suspect { stands, found: Found::Unreadable { reason }, others: BTreeSet::new(), accounts: BTreeSet::new() }
    }

    fn place(&self) -> (&str, i64) {
        (&self.stands.conversion_key, self.stands.occurrence)
    }

    fn hangs_on(&self, delayed_before: Timestamp) -> Vec<HangsOn> {
        let Stands { event_id, conversion_key, .. } = &self.stands;
        let hangs = |other_key: Option<&String>, account_id: Option<&String>| HangsOn {
            event_id: event_id.clone(),
            other_key: other_key.cloned(),
            account_id: account_id.cloned(),
            delayed_before,
        };
        let others = std::iter::once(conversion_key).chain(&self.others).map(|key| hangs(Some(key), None));
        others.chain(self.accounts.iter().map(|account| hangs(None, Some(account)))).collect()
    }

    fn difference(self) -> ConversionDifference {
        let Stands { conversion_key, occurrence, .. } = self.stands;
        ConversionDifference { conversion_key, occurrence: Some(occurrence), revision: None, found: self.found }
    }
}

fn never_judged() -> Columns {
    Columns::from([("is_processed", compared(Some(false.to_string()), Some(true.to_string())))])
}

fn compared(stored: Option<String>, recounted: Option<String>) -> Compared {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    Compared { stored: text(stored), recounted: text(recounted) }
}
