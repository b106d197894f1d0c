//! The table of postbacks that wait in the queue, in D1 beside what is parked. It is written behind replies and batches, and only ever read by
//! operators: delivery does not depend on it.

use crate::delivery::parcel::Parcel;
use crate::log::{self, Level, Line};
use crate::parked::table::Table;
use crate::platform::database::Statement;
use crate::platform::{Bindings, in_background, now};
use postback::field::Field;
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};
use worker::worker_sys::Context;

/// Rows that one reply lists at most.
pub const LIMIT_MAX: u32 = 1_000;

/// A postback that waits in the queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Queued {
    /// The edge's id of its request.
    pub request_id: String,
    /// The partner's code.
    pub partner: Option<String>,
    /// The event.
    pub event_id: Option<String>,
    /// The conversion, where the sender named it.
    pub conversion_id: Option<String>,
    /// When the request arrived.
    pub received_at: Option<String>,
    /// Since when it waits.
    pub queued_at: String,
}

/// How many postbacks of a partner wait, and since when the oldest does.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Depth {
    /// The partner's code.
    pub partner: Option<String>,
    /// Postbacks.
    pub count: u64,
    /// Since when the oldest waits.
    pub oldest: String,
}

/// Which of them are asked for; what is not given matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A request, event or conversion.
    pub id: Option<String>,
    /// A partner's code.
    pub partner: Option<String>,
    /// Rows at most.
    pub limit: u32,
}

/// Notes behind the reply that a postback waits in the queue.
pub fn note_queued(bindings: &Bindings, context: &Context, parcel: &Parcel) {
    let conversion_id = parcel.canonical.iter().find(|(name, _)| *name == Field::ConversionId.name());
    let conversion_id = conversion_id.map(|(_, id)| id.to_owned());
    let queued = Queued {
        request_id: parcel.request_id.to_string(),
        partner: Some(parcel.partner.clone()),
        event_id: Some(parcel.event_id.to_string()),
        conversion_id,
        received_at: Some(parcel.received_at.to_sortable()),
        queued_at: now().to_sortable(),
    };
    let bindings = bindings.clone();
    in_background(context, async move {
        let noted = async { Table::open(&bindings).await?.insert_queued(&queued).await };
        if let Err(problem) = noted.await {
            not_noted(&queued.request_id, &problem);
        }
    });
}

/// Notes behind a batch that postbacks have left the queue.
pub fn note_done(bindings: &Bindings, context: &Context, request_ids: Vec<String>) {
    let Some(first) = request_ids.first().cloned() else { return };
    let bindings = bindings.clone();
    in_background(context, async move {
        let noted = async { Table::open(&bindings).await?.finish_queued(&request_ids, now()).await };
        if let Err(problem) = noted.await {
            not_noted(&first, &problem);
        }
    });
}

fn not_noted(request_id: &str, problem: &str) {
    let line = Line::of("the table of queued postbacks was not updated", request_id, "failed", 0);
    log::write(&Line { level: Level::Warn, reason: Some(problem), ..line });
}

impl Table {
    async fn insert_queued(&self, queued: &Queued) -> Result<(), String> {
        let statement = Statement::of(
            "insert into queued (request_id, partner, event_id, conversion_id, received_at, queued_at, state, changed_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?6)
             on conflict (request_id) do update set partner = excluded.partner, event_id = excluded.event_id,
                conversion_id = excluded.conversion_id, received_at = excluded.received_at",
        )
        .with(Some(queued.request_id.as_str()))
        .with(queued.partner.as_deref())
        .with(queued.event_id.as_deref())
        .with(queued.conversion_id.as_deref())
        .with(queued.received_at.as_deref())
        .with(Some(queued.queued_at.as_str()));
        self.database().run_one(statement).await.map(|_| ())
    }

    async fn finish_queued(&self, request_ids: &[String], now: Timestamp) -> Result<(), String> {
        let ids = serde_json::to_string(request_ids).map_err(|error| error.to_string())?;
        let statement = Statement::of(
            "insert into queued (request_id, queued_at, state, changed_at)
             select value, ?2, 'done', ?2 from json_each(?1) where true
             on conflict (request_id) do update set state = 'done', changed_at = excluded.changed_at",
        )
        .with(Some(ids))
        .with(Some(now.to_sortable()));
        self.database().run_one(statement).await.map(|_| ())
    }

    /// The postbacks that wait, those that have waited the longest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn queued(&self, asked: &Asked) -> Result<Vec<Queued>, String> {
        let sql = format!(
            "select request_id, partner, event_id, conversion_id, received_at, queued_at from queued
              where state = 'queued' and (?1 is null or partner = ?1)
                and (?2 is null or request_id = ?2 or event_id = ?2 or conversion_id = ?2)
              order by queued_at, request_id limit {}",
            asked.limit
        );
        let statement = Statement::of(sql).with(asked.partner.as_deref()).with(asked.id.as_deref());
        self.database().run_one(statement).await?.rows()
    }

    /// How many wait, by partner.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn depths(&self) -> Result<Vec<Depth>, String> {
        let sql = "select partner, count(*) as count, min(queued_at) as oldest from queued
                    where state = 'queued' group by partner order by partner";
        self.database().run_one(Statement::of(sql)).await?.rows()
    }

    /// Deletes rows that were done before `done`, and rows of postbacks that were queued before `lost`, which no queue has any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn forget_queued(&self, done: Timestamp, lost: Timestamp) -> Result<(), String> {
        let statements = vec![
            Statement::of("delete from queued where state = 'done' and changed_at < ?1").with(Some(done.to_sortable())),
            Statement::of("delete from queued where queued_at < ?1").with(Some(lost.to_sortable())),
        ];
        self.database().run(statements).await.map(|_| ())
    }
}
