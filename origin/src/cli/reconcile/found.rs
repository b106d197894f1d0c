//! What was found, and what can be done about it.

use super::super::edge::{Edge, Filter};
use super::super::progress::Progress;
use super::super::terminal::plain;
use crate::app::Platform;
use crate::reconcile::repair::{Rejected, Use, Wanted, rejected, replay, use_of_parked};
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

/// Postbacks that tell of conversions that are missing or differ, by conversion.
#[derive(Default)]
pub struct Repairs {
    /// Those that were rejected, as they came.
    pub rejected: BTreeMap<String, Vec<Rejected>>,
    /// Those that are parked.
    pub parked: BTreeMap<String, Vec<Parked>>,
    /// Whether the edge was asked.
    pub knows_parked: bool,
    /// Why the edge did not say.
    pub edge_problem: Option<String>,
    /// What was replayed, and what came of it.
    pub replayed: BTreeMap<String, Vec<String>>,
}

/// A parked postback.
pub struct Parked {
    /// The name of its request.
    pub request_id: String,
    /// When that was received.
    pub received_at: Timestamp,
    /// What is to be thought of it.
    pub use_of: Use,
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
        let is_off = |pair: &&Pair| pair.ours.is_none() || (pair.theirs.is_some() && !pair.differences.is_empty());
        let mut wanted = Wanted::new();
        for pair in compared.pairs.iter().filter(is_off) {
            let want = wanted.entry(pair.conversion_id()).or_default();
            if let Some(standing) = compared.stands.get(pair.conversion_id()) {
                want.stored.clone_from(&standing.keys);
            }
            want.add(pair);
        }
        let mut repairs = Repairs::default();
        if wanted.is_empty() {
            return Ok(repairs);
        }
        let since_ms = rules.begin(compared.from).map(|begin| begin.unix_ms().saturating_sub(BEFORE_MS));
        let since = since_ms.and_then(Timestamp::from_unix_ms).ok_or("there is no such day")?;
        for found in rejected(store, partner, &wanted, since).await.map_err(|error| error.to_string())? {
            repairs.rejected.entry(found.conversion_id.clone()).or_default().push(found);
        }
        if let Some(edge) = edge {
            // What is known is told all the same.
            match parked(edge, partner, &wanted).await {
                Ok(parked) => (repairs.parked, repairs.knows_parked) = (repairs.behind(parked), true),
                Err(problem) => repairs.edge_problem = Some(problem),
            }
        }
        Ok(repairs)
    }

    /// Parked ones are delivered behind what was rejected: those that came before it are overtaken.
    fn behind(&self, mut parked: BTreeMap<String, Vec<Parked>>) -> BTreeMap<String, Vec<Parked>> {
        for (id, all) in &mut parked {
            let good = self.rejected.get(id).into_iter().flatten().filter(|rejected| rejected.is_good());
            let last = good.map(|rejected| rejected.rejection.receipt.received_at).max();
            for parked in all.iter_mut().filter(|parked| last.is_some_and(|last| parked.received_at <= last)) {
                parked.use_of = Use::Overtaken;
            }
        }
        parked
    }

    /// The conversions that a replay would tell of.
    pub fn good(&self) -> BTreeSet<&str> {
        let rejected = self.rejected.iter().filter(|(_, rejected)| rejected.iter().any(Rejected::is_good));
        let parked = self.parked.iter().filter(|(_, parked)| parked.iter().any(|parked| parked.use_of == Use::Good));
        rejected.map(|(id, _)| id.as_str()).chain(parked.map(|(id, _)| id.as_str())).collect()
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
        let mut done: u64 = 0;
        for (id, all) in &self.rejected {
            for rejected in all.iter().filter(|rejected| rejected.is_good()) {
                let verdict = replay(store, rejected, || Platform::SYSTEM.nonce(), (Platform::SYSTEM.now)()).await;
                if let Some(verdict) = verdict.map_err(|error| format!("{id}: {error}"))? {
                    self.replayed.entry(id.clone()).or_default().push(verdict.name().to_owned());
                }
                done = done.saturating_add(1);
                progress.at(done);
            }
        }
        let Some(edge) = edge else { return Ok(()) };
        for (id, all) in &self.parked {
            for parked in all.iter().filter(|parked| parked.use_of == Use::Good) {
                let filter = Filter { request_id: Some(parked.request_id.clone()), ..Filter::default() };
                let answer = edge.replay(&filter, false).await?;
                if let Some(problem) = answer.problem {
                    return Err(plain(&format!("{id}: {problem}")));
                }
                // Where somebody else was quicker there is nothing left to replay.
                if answer.replayed > 0 {
                    self.replayed.entry(id.clone()).or_default().push("queued".to_owned());
                }
                done = done.saturating_add(1);
                progress.at(done);
            }
        }
        Ok(())
    }
}

/// The parked postbacks of conversions that are wanted, the longest parked first.
async fn parked(edge: &Edge, partner: &Partner, wanted: &Wanted<'_>) -> Result<BTreeMap<String, Vec<Parked>>, String> {
    let filter = Filter {
        partner: Some(partner.code.clone()),
        state: Some("parked".to_owned()),
        limit: Some(Filter::LIMIT_MAX),
        ..Filter::default()
    };
    let mut found: BTreeMap<String, Vec<Parked>> = BTreeMap::new();
    let mut progress = Progress::new("looking at parked postbacks".to_owned());
    let (mut looked, mut cursor) = (0_usize, None);
    loop {
        let page = edge.list(&filter, cursor.as_deref()).await?;
        for row in page.parked {
            looked = looked.saturating_add(1);
            if looked > PARKED_MAX {
                return Err(format!(
                    "more than {PARKED_MAX} postbacks of this partner are parked: replay them all, and reconcile then"
                ));
            }
            progress.at(u64::try_from(looked).unwrap_or(u64::MAX));
            let Some(shown) = edge.show(&row.request_id).await? else { continue };
            let Some(kept) = shown.postback else { continue };
            let received_at = row.received_at.as_deref().and_then(|text| Timestamp::parse(text, &Zone::utc()));
            // Of one that does not say when it came anything that is known is later.
            let Some(received_at) = received_at.or_else(|| Timestamp::from_unix_ms(0)) else { continue };
            if let Some((id, use_of)) = use_of_parked(partner, wanted, &kept.canonical, received_at) {
                found.entry(id).or_default().push(Parked { request_id: row.request_id, received_at, use_of });
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}
