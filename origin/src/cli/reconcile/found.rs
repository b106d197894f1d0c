//! What was found: what is not alike, and the postbacks that tell of it.

use super::super::edge::Edge;
use super::parked::parked;
use crate::reconcile::repair::{Judge, Notice, Use, Want, rejected};
use crate::reconcile::{Reconciliation, Report, Rules};
use crate::store::Store;
use postback::partner::Partner;
use postback::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// How long before the first day a postback of it may have come, by clocks that are wrong.
const BEFORE_MS: i64 = 24 * 60 * 60 * 1000;

/// All that is shown.
pub struct Found<'a> {
    pub partner: &'a Partner,
    pub report: &'a Report,
    pub rules: &'a Rules,
    pub compared: &'a Reconciliation,
    pub repairs: &'a Repairs,
}

/// Postbacks that tell of conversions that are missing or differ.
#[derive(Default)]
pub struct Repairs {
    /// By conversion, in the order in which they came.
    pub notices: BTreeMap<String, Vec<Notice>>,
    /// Whether the edge was asked.
    pub knows_parked: bool,
    /// Why the edge did not say.
    pub edge_problem: Option<String>,
    /// What was replayed, and what came of it, by conversion.
    pub replayed: BTreeMap<String, Vec<String>>,
}

impl Repairs {
    /// Looks for them.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn look(
        store: &Store,
        partner: &Partner,
        compared: &Reconciliation,
        rules: &Rules,
        edge: Option<&Edge>,
    ) -> Result<Repairs, String> {
        let judge = Judge { partner, wanted: Want::of(compared), tolerance: rules.tolerance };
        let mut repairs = Repairs::default();
        if judge.wanted.is_empty() {
            return Ok(repairs);
        }
        let since_ms = rules.begin(compared.from).map(|begin| begin.unix_ms().saturating_sub(BEFORE_MS));
        let since = since_ms.and_then(Timestamp::from_unix_ms).ok_or("there is no such day")?;
        let mut found = rejected(store, &judge, since).await.map_err(|error| error.to_string())?;
        if let Some(edge) = edge {
            // What is known is told all the same.
            match parked(edge, &judge).await {
                Ok(parked) => {
                    found.extend(parked);
                    repairs.knows_parked = true;
                }
                Err(problem) => repairs.edge_problem = Some(problem),
            }
        }
        let mut by_id: BTreeMap<String, Vec<Notice>> = BTreeMap::new();
        for notice in found {
            by_id.entry(notice.conversion_id.clone()).or_default().push(notice);
        }
        let judged = by_id.into_iter().map(|(id, notices)| {
            let notices = judge.together(&id, notices);
            (id, notices)
        });
        repairs.notices = judged.collect();
        Ok(repairs)
    }

    /// The conversions of which a postback can be replayed.
    pub fn good(&self) -> BTreeSet<&str> {
        let good = self.notices.iter().filter(|(_, notices)| notices.iter().any(Notice::is_good));
        good.map(|(id, _)| id.as_str()).collect()
    }

    /// The conversions of which something was not replayed, because they have changed since they were compared.
    pub fn changed(&self) -> BTreeSet<&str> {
        let is_changed = |notices: &[Notice]| notices.iter().any(|notice| notice.use_of == Use::Changed);
        self.notices.iter().filter(|(_, notices)| is_changed(notices)).map(|(id, _)| id.as_str()).collect()
    }
}
