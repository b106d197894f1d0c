//! Rejected requests, and the counts that the edge reports beside them.

use super::super::record::{EdgeOutcome, Rejected};
use super::super::statement::{Column, Dialect, Step};
use super::entry::storable;
use super::of;
use postback::id::Nonce;
use postback::time::Timestamp;

/// Inserts rejected requests, each once. Their nonces are not spent: a replay of such a request has no effect.
pub(super) fn insert_rejections(dialect: Dialect) -> Step<Rejected> {
    const COLUMNS: &[Column<Rejected>] = &[
        Column::text("receipt_id", |rejected| Some(rejected.receipt_id.to_string())),
        Column::text("request_id", |rejected| Some(rejected.receipt.request_id.clone())),
        Column::time("received_at", |rejected| Some(rejected.receipt.received_at)),
        Column::text("auth_mode", |rejected| Some(rejected.receipt.auth_mode.clone())),
        Column::text("key_id", |rejected| rejected.receipt.key_id.clone()),
        Column::text("client_ip", |rejected| rejected.receipt.client_ip.clone()),
        Column::text("method", |rejected| Some(rejected.receipt.method.clone())),
        Column::text("target", |rejected| Some(storable(&rejected.receipt.target))),
        Column::json("headers", |rejected| rejected.receipt.headers.to_string()),
        Column::text("content_type", |rejected| rejected.receipt.content_type.clone()),
        Column::text("body", body),
        Column::text("code", |rejected| Some(rejected.code.clone())),
        Column::text("field", |rejected| rejected.field.as_deref().map(storable)),
        Column::text("via", |rejected| Some(rejected.via.name().to_owned())),
        Column::flag("is_authenticated", |rejected| Some(rejected.is_authenticated)),
        Column::number("status", |rejected| i64::from(rejected.status)),
        Column::text("rules", |rejected| Some(rejected.rules.clone())),
        Column::text("event_id", |rejected| rejected.ids.event_id.clone()),
        Column::text("conversion_id", |rejected| rejected.ids.conversion_id.clone()),
        Column::text("order_id", |rejected| rejected.ids.order_id.clone()),
        Column::text("click_id", |rejected| rejected.ids.click_id.clone()),
        Column::text("account_id", |rejected| rejected.ids.account_id.clone()),
    ];
    let names: Vec<_> = COLUMNS.iter().map(Column::name).collect();
    let statement = format!(
        "insert into rejections ({}) select {} from input where true order by input.request_id
         on conflict (request_id) do nothing",
        names.join(", "),
        of("input", &names)
    );
    Step::new(dialect, COLUMNS, &statement)
}

/// A count on its way into the database.
pub(super) struct Counted {
    pub(super) outcome: EdgeOutcome,
    pub(super) receipt_id: Nonce,
    pub(super) now: Timestamp,
}

const COUNTED: &[Column<Counted>] = &[
    Column::text("batch_id", |counted| Some(counted.outcome.batch_id.clone())),
    Column::text("kind", |counted| Some(counted.outcome.kind.clone())),
    Column::text("outcome", |counted| Some(counted.outcome.outcome.clone())),
    Column::number("count", |counted| i64::try_from(counted.outcome.count).unwrap_or(i64::MAX)),
    Column::text("receipt_id", |counted| Some(counted.receipt_id.to_string())),
    Column::time("received_at", |counted| Some(counted.now)),
];

/// Inserts the batches of counts, each once.
pub(super) fn insert_batches(dialect: Dialect) -> Step<Counted> {
    let statement = "insert into edge_batches (batch_id, receipt_id, received_at)
         select distinct input.batch_id, input.receipt_id, input.received_at from input where true order by input.batch_id
         on conflict (batch_id) do nothing";
    Step::new(dialect, COUNTED, statement)
}

/// Adds the counts of those batches that the same report inserted.
pub(super) fn add_counts(dialect: Dialect) -> Step<Counted> {
    let statement = format!(
        "insert into edge_outcomes (kind, outcome, count)
         select input.kind, input.outcome, cast(sum(input.count) as bigint) from input
          where exists (select 1 from edge_batches as batch
                         where batch.batch_id = input.batch_id and batch.receipt_id = input.receipt_id{})
          group by input.kind, input.outcome order by input.kind, input.outcome
         on conflict (kind, outcome) do update set count = edge_outcomes.count + excluded.count",
        dialect.by_key()
    );
    Step::new(dialect, COUNTED, &statement)
}

fn body(rejected: &Rejected) -> Option<String> {
    rejected.receipt.body.as_deref().map(storable)
}
