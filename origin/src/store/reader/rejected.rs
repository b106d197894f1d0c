//! Rejected requests, by the page.

use super::super::StoreError;
use super::super::record::{RejectedIds, Via};
use super::super::statement::{Dialect, Done, Statement, Step, read_json};
use super::super::worklist::time;
use super::flag;
use super::listing::{Asked, COLUMNS, Ids, Place, all, asked, rows_with};
use postback::time::Timestamp;
use serde::Deserialize;

/// Which rejected requests are meant: all that what is given lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectionFilter {
    /// They were received at this instant or later.
    pub from: Option<Timestamp>,
    /// They were received before this instant.
    pub to: Option<Timestamp>,
    /// Why they were rejected.
    pub code: Option<String>,
    /// How they came.
    pub via: Option<Via>,
    /// Whether their sender was authenticated.
    pub is_authenticated: Option<bool>,
    /// What they name, as far as they could be read.
    pub ids: Ids,
}

/// A page of rejected requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionPage {
    /// What is on it.
    pub filter: RejectionFilter,
    /// Behind which request it begins; None: with the latest.
    pub after: Option<Place>,
    /// How many are on it at most.
    pub limit: u32,
}

/// A rejected request. Secrets were taken out before it was stored; the sender's address and the body are not read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RejectedRequest {
    /// Its number in its table.
    pub rejection_id: i64,
    /// Its name in replies and logs.
    pub request_id: String,
    /// When it reached us.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
    /// Why it was rejected.
    pub code: String,
    /// The field at fault, in the sender's words.
    pub field: Option<String>,
    /// The HTTP status of the reply, where it was noted.
    pub status: Option<i64>,
    /// `edge` or `direct`.
    pub via: String,
    /// Whether its sender was authenticated. Where not, nothing of it is verified.
    #[serde(deserialize_with = "flag")]
    pub is_authenticated: bool,
    /// How its sender was authenticated.
    pub auth_mode: String,
    /// The version of the partner's rules that rejected it.
    pub rules: Option<String>,
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// What it names, as far as it could be read.
    pub ids: RejectedIds,
}

/// The statement for a page: only what the filter has stands in it, so that each text has one plan.
pub(super) fn select(dialect: Dialect, page: &RejectionPage) -> Statement {
    let RejectionPage { filter, after, limit } = page.clone();
    let RejectionFilter { from, to, code, via, is_authenticated, ids } = filter;
    let row = Asked { from, to, ids, code, after };
    let given = row.ids.given();
    let source = match given.first() {
        None => "rejections as known".to_owned(),
        Some(name) => rows_with(dialect, "rejections", name),
    };
    let mut conditions = row.within("rejection_id");
    conditions.extend(row.code.as_ref().map(|_| format!("known.code = {}", asked("code"))));
    conditions.extend(via.map(|via| format!("known.via = '{}'", via.name())));
    // As the index of unauthenticated requests has it.
    conditions.extend(is_authenticated.map(|is| match (dialect, is) {
        (Dialect::Postgres, true) => "known.is_authenticated".to_owned(),
        (Dialect::Postgres, false) => "not known.is_authenticated".to_owned(),
        (Dialect::Sqlite, true) => "known.is_authenticated = 1".to_owned(),
        (Dialect::Sqlite, false) => "known.is_authenticated = 0".to_owned(),
    }));
    conditions.extend(given.iter().skip(1).map(|name| format!("known.{name} = {}", asked(name))));
    let statement = format!(
        "select known.request_id as id, {} as answer from {source} where {}
         order by known.received_at desc, known.rejection_id desc limit {limit}",
        object(dialect),
        all(&conditions),
    );
    Step::new(dialect, COLUMNS, &statement).answering().over(&[row])
}

/// A rejected request that is `known`, in JSON.
pub(super) fn object(dialect: Dialect) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let ids = ["event_id", "conversion_id", "order_id", "click_id", "account_id"].map(column);
    dialect.json_object(&[
        column("rejection_id"),
        column("request_id"),
        ("received_at", dialect.time_text("known.received_at")),
        column("code"),
        column("field"),
        column("status"),
        column("via"),
        column("is_authenticated"),
        column("auth_mode"),
        column("rules"),
        column("method"),
        column("target"),
        ("ids", dialect.json_members(&ids)),
    ])
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<RejectedRequest>, StoreError> {
    let rejected = |(_, answer): (String, String)| read_json("a rejected request", &answer);
    done.into_iter().flat_map(|done| done.answers).map(rejected).collect()
}
