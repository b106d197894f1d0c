//! Replaying what was found, and noting it in the audit log: before it begins, and when it has ended.

use super::super::edge::{Edge, Filter};
use super::super::progress::Progress;
use super::super::terminal::plain;
use super::found::Repairs;
use crate::app::Platform;
use crate::reconcile::Reconciliation;
use crate::reconcile::repair::{Notice, Use, replay, stands_as_judged};
use crate::shared::{Change, Shared};
use crate::store::Store;
use postback::partner::Partner;
use serde_json::{Value, json};

/// What the audit log calls it.
const ACTION: &str = "reconcile.replay";

/// Where it is replayed to, and where it is noted.
pub struct Replay<'a> {
    pub store: &'a Store,
    pub shared: &'a Shared,
    pub partner: &'a Partner,
    pub edge: Option<&'a Edge>,
    pub compared: &'a Reconciliation,
    pub change: Change,
}

impl Replay<'_> {
    /// Records what was rejected and would be taken, and gives back to the edge's queue what is parked. A conversion that has changed
    /// since it was compared is left as it is.
    ///
    /// # Errors
    /// The database or the edge cannot; what was done until then is in the audit log. Where that cannot be written, nothing is replayed.
    pub async fn run(&self, repairs: &mut Repairs) -> Result<(), String> {
        // Whatever ends this command in between, it is known what it was about.
        let intended = json!({"begins": repairs.good()});
        self.note(&intended).await.map_err(|error| format!("nothing was replayed: {error}"))?;
        let outcome = self.each(repairs).await;
        let done = json!({"conversions": repairs.replayed, "changed_meanwhile": repairs.changed()});
        self.note(&done).await.map_err(|error| {
            format!("{} were replayed, and the audit log does not say what came of it: {error}", repairs.replayed.len())
        })?;
        outcome
    }

    async fn note(&self, details: &Value) -> Result<(), String> {
        let Replay { shared, partner, change, .. } = self;
        shared.note(ACTION, &partner.code, details, change).await.map_err(|error| error.to_string())
    }

    async fn each(&self, repairs: &mut Repairs) -> Result<(), String> {
        let mut progress = Progress::new("replaying".to_owned());
        let mut done: u64 = 0;
        for (id, notices) in repairs.notices.iter_mut().filter(|(_, notices)| notices.iter().any(Notice::is_good)) {
            let told = |problem: String| plain(&format!("{id}: {problem}"));
            let judged = self.compared.stands.get(id);
            let stands = stands_as_judged(self.store, id, judged).await.map_err(|error| told(error.to_string()))?;
            if !stands {
                notices.iter_mut().filter(|notice| notice.is_good()).for_each(|notice| notice.use_of = Use::Changed);
                continue;
            }
            let (parked, rejected): (Vec<_>, Vec<_>) =
                notices.iter_mut().filter(|notice| notice.is_good()).partition(|notice| notice.is_parked());
            // What is parked is delivered behind what was rejected.
            for notice in rejected.into_iter().chain(parked) {
                let outcome = if notice.is_parked() { self.queue(notice).await } else { self.record(notice).await };
                if let Some(outcome) = outcome.map_err(told)? {
                    repairs.replayed.entry(id.clone()).or_default().push(outcome);
                }
                notice.use_of = Use::Replayed;
                done = done.saturating_add(1);
                progress.at(done);
            }
        }
        Ok(())
    }

    /// Records what was rejected, and says what came of it.
    async fn record(&self, notice: &Notice) -> Result<Option<String>, String> {
        let verdict = replay(self.store, notice, || Platform::SYSTEM.nonce(), (Platform::SYSTEM.now)()).await;
        Ok(verdict.map_err(|error| error.to_string())?.map(|verdict| verdict.name().to_owned()))
    }

    /// Gives what is parked back to the queue. Where somebody else was quicker there is nothing left to replay.
    async fn queue(&self, notice: &Notice) -> Result<Option<String>, String> {
        let Some(edge) = self.edge else { return Ok(None) };
        let filter = Filter { request_id: Some(notice.request_id.clone()), ..Filter::default() };
        let answer = edge.replay(&filter, false).await?;
        match answer.problem {
            Some(problem) => Err(problem),
            None => Ok((answer.replayed > 0).then(|| "queued".to_owned())),
        }
    }
}
