//! What was found, and what can be done about what is missing.

use super::super::edge::{Edge, Filter};
use super::super::progress::Progress;
use crate::app::Platform;
use crate::reconcile::repair::{Rejected, conversion_of_parked, rejected, replay};
use crate::reconcile::{Pair, Reconciliation, Report, Rules};
use crate::shared::{Change, Shared};
use crate::store::Store;
use postback::partner::Partner;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What the audit log calls it.
const ACTION: &str = "reconcile.replay";
/// How long before a report's first day a postback of it may have come, by clocks that are wrong.
const BEFORE_MS: i64 = 24 * 60 * 60 * 1000;
/// Parked postbacks that are looked at, one after the other.
const PARKED_MAX: usize = 5_000;

/// All that is shown.
pub struct Found<'a> {
    pub partner: &'a Partner,
    pub report: &'a Report,
    pub rules: &'a Rules,
    pub compared: &'a Reconciliation,
    pub repairs: &'a Repairs,
}

/// What tells of conversions that are missing.
#[derive(Default)]
pub struct Repairs {
    /// Rejected postbacks, the last of each conversion that would be taken today, or else the last.
    pub rejected: BTreeMap<String, Rejected>,
    /// Parked postbacks: the names of their requests, by conversion.
    pub parked: BTreeMap<String, Vec<String>>,
    /// Whether the edge was asked.
    pub knows_parked: bool,
    /// What was replayed, by conversion, and what came of it.
    pub replayed: BTreeMap<String, String>,
}

impl Repairs {
    /// Looks for them.
    ///
    /// # Errors
    /// The database or the edge cannot say.
    pub async fn look(
        store: &Store,
        partner: &Partner,
        compared: &Reconciliation,
        rules: &Rules,
        edge: Option<&Edge>,
    ) -> Result<Repairs, String> {
        let missing: BTreeSet<&str> =
            compared.pairs.iter().filter(|pair| pair.ours.is_none()).map(Pair::conversion_id).collect();
        let mut repairs = Repairs { knows_parked: edge.is_some(), ..Repairs::default() };
        if missing.is_empty() {
            return Ok(repairs);
        }
        let since = rules
            .begin(compared.from)
            .and_then(|begin| Timestamp::from_unix_ms(begin.unix_ms().saturating_sub(BEFORE_MS)));
        let since = since.ok_or("there is no such day")?;
        for found in rejected(store, partner, &missing, since).await.map_err(|error| error.to_string())? {
            let known = repairs.rejected.get(&found.conversion_id);
            if found.reading.is_ok() || known.is_none_or(|known| known.reading.is_err()) {
                repairs.rejected.insert(found.conversion_id.clone(), found);
            }
        }
        if let Some(edge) = edge {
            repairs.parked = parked(edge, partner, &missing).await?;
        }
        Ok(repairs)
    }

    /// How many conversions a replay would bring, as far as can be told.
    pub fn count(&self) -> usize {
        let taken = self.rejected.iter().filter(|(_, rejected)| rejected.reading.is_ok()).map(|(id, _)| id);
        taken.chain(self.parked.keys()).collect::<BTreeSet<_>>().len()
    }

    /// Records what was rejected and would be taken, and gives back to the edge's queue what is parked.
    ///
    /// # Errors
    /// The database or the edge cannot; what was done until then is in the audit log.
    pub async fn replay(
        &mut self,
        store: &Store,
        shared: &Shared,
        partner: &Partner,
        edge: Option<&Edge>,
        change: &Change,
    ) -> Result<(), String> {
        let outcome = self.replay_each(store, edge).await;
        if !self.replayed.is_empty() {
            let noted = json!({"conversions": self.replayed});
            shared.note(ACTION, &partner.code, &noted, change).await.map_err(|error| {
                format!("{} were replayed, and the audit log does not say so: {error}", self.replayed.len())
            })?;
        }
        outcome
    }

    async fn replay_each(&mut self, store: &Store, edge: Option<&Edge>) -> Result<(), String> {
        let mut progress = Progress::new("replaying".to_owned());
        let taken: Vec<_> = self.rejected.values().filter(|rejected| rejected.reading.is_ok()).cloned().collect();
        for rejected in taken {
            let id = rejected.conversion_id.clone();
            let nonce = Platform::SYSTEM.nonce().ok_or("the system has no random bytes to give")?;
            let verdict = replay(store, rejected, nonce, (Platform::SYSTEM.now)()).await;
            if let Some(verdict) = verdict.map_err(|error| format!("{id}: {error}"))? {
                self.replayed.insert(id, verdict.name().to_owned());
            }
            progress.at(u64::try_from(self.replayed.len()).unwrap_or(u64::MAX));
        }
        let Some(edge) = edge else { return Ok(()) };
        for (id, request_ids) in self.parked.clone() {
            for request_id in request_ids {
                let filter = Filter { request_id: Some(request_id), ..Filter::default() };
                let done = edge.replay(&filter, false).await?;
                if let Some(problem) = done.problem {
                    return Err(format!("{id}: {problem}"));
                }
            }
            self.replayed.entry(id).or_insert_with(|| "queued".to_owned());
            progress.at(u64::try_from(self.replayed.len()).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

/// The parked postbacks of conversions that are missing.
async fn parked(
    edge: &Edge,
    partner: &Partner,
    missing: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<String>>, String> {
    let filter = Filter {
        partner: Some(partner.code.clone()),
        state: Some("parked".to_owned()),
        limit: Some(Filter::LIMIT_MAX),
        ..Filter::default()
    };
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut progress = Progress::new("looking at parked postbacks".to_owned());
    let (mut looked, mut cursor) = (0_usize, None);
    loop {
        let page = edge.list(&filter, cursor.as_deref()).await?;
        for row in page.parked {
            looked = looked.saturating_add(1);
            if looked > PARKED_MAX {
                let why = format!(
                    "more than {PARKED_MAX} postbacks of this partner are parked: replay them all, and reconcile then"
                );
                return Err(why);
            }
            progress.at(u64::try_from(looked).unwrap_or(u64::MAX));
            let Some(shown) = edge.show(&row.request_id).await? else { continue };
            let Some(kept) = shown.postback else { continue };
            let received_at = row.received_at.as_deref().and_then(|text| Timestamp::parse(text, &Zone::utc()));
            let received_at = received_at.unwrap_or_else(|| (Platform::SYSTEM.now)());
            if let Some(id) =
                conversion_of_parked(partner, &kept.canonical, received_at).filter(|id| missing.contains(id.as_str()))
            {
                found.entry(id).or_default().push(row.request_id);
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}
