//! How postbacks have been arriving. What that says about a sender is for [`crate::watch`].

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::Span;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;

/// So many of the newest postbacks are looked at, whatever they are: a sender may give no times, or repeat itself.
const LOOKED_AT_MAX: usize = 1_000;
/// Of how many new events at most it is told how late they came.
pub const DELAYS_MAX: usize = 200;
/// How long ago they came at most, in milliseconds.
const DELAYS_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// How postbacks have been arriving lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Arrivals {
    /// When the last one came, in Unix seconds.
    pub last_s: Option<i64>,
    /// By how many seconds the newest new events came after they happened, of those that say when that was; less than none where
    /// they came before.
    #[serde(rename = "newest", deserialize_with = "delays")]
    pub delays_s: Vec<i64>,
}

/// When an event came, in Unix seconds, and when it happened.
#[derive(Deserialize)]
struct Came {
    received_s: i64,
    happened_at: String,
}

/// The database reads no times out of what was sent: one that it does not know would fail the whole statement.
fn delays<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<i64>, D::Error> {
    let delay_s = |came: Came| {
        let happened = Timestamp::parse(&came.happened_at, &Zone::utc())?;
        Some(came.received_s.saturating_sub(happened.unix_s()))
    };
    Ok(Vec::<Came>::deserialize(from)?.into_iter().filter_map(delay_s).collect())
}

pub(super) fn lately(dialect: Dialect) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("since", |now| Some(since(*now)))];
    let happened_at = "coalesce(content ->> 'ts_event', content ->> 'conversion_datetime')";
    let came =
        dialect.json_members(&[("received_s", dialect.unix_s("received_at")), ("happened_at", happened_at.to_owned())]);
    let newest = format!(
        "select received_at, content from (
            select received_at, verdict, content from postbacks where received_at >= (select since from input)
            order by received_at desc limit {LOOKED_AT_MAX}) as latest
         where verdict = 'created' and {happened_at} is not null
         order by received_at desc limit {DELAYS_MAX}"
    );
    let list = match dialect {
        Dialect::Postgres => format!("(select coalesce(json_agg({came}), '[]'::json) from ({newest}) as newest)"),
        Dialect::Sqlite => format!("(select json_group_array({came}) from ({newest}) as newest)"),
    };
    let last_s = format!("(select {} from postbacks order by received_at desc limit 1)", dialect.unix_s("received_at"));
    let answer = dialect.json_object(&[("last_s", last_s), ("newest", list)]);
    Step::new(dialect, COLUMNS, &format!("select 'arrivals' as id, {answer} as answer from input")).answering()
}

fn since(now: Timestamp) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(DELAYS_MS)).unwrap_or(Timestamp::EPOCH)
}

pub(super) fn read_lately(done: Vec<Done>) -> Result<Arrivals, StoreError> {
    let answer = done.into_iter().flat_map(|done| done.answers).next();
    let (_, answer) = answer.ok_or_else(|| StoreError::Bug("arrivals without an answer".to_owned()))?;
    read_json("arrivals", &answer)
}

pub(super) fn within(dialect: Dialect) -> Step<Span> {
    const COLUMNS: &[Column<Span>] = &[
        Column::number("number", |span| span.number),
        Column::time("span_start", |span| Some(span.start)),
        Column::time("span_end", |span| Some(span.end)),
    ];
    let any = "select 1 from postbacks where received_at >= input.span_start and received_at < input.span_end limit 1";
    let any = format!("exists ({any}{})", dialect.by_key());
    let statement = format!("select cast(number as text) as id, '' as answer from input where {any}");
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read_within(done: Vec<Done>) -> Result<BTreeSet<i64>, StoreError> {
    let number = |text: String| text.parse().map_err(|_| StoreError::Bug(format!("{text:?} is no span")));
    done.into_iter().flat_map(|done| done.answers).map(|(id, _)| number(id)).collect()
}
