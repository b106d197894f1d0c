//! What is read beside the facts of conversions to see whether they are evaluated as they should be, and which of them wait for it.

use super::super::StoreError;
use super::super::reader::flag;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::worklist::has_earlier;
use postback::time::Timestamp;
use serde::Deserialize;
use std::collections::HashSet;

/// How a conversion stands, but for what its facts say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stands {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
    /// The last event that made it what it is.
    pub event_id: String,
    /// Whether it was evaluated since its last change.
    #[serde(deserialize_with = "flag")]
    pub is_processed: bool,
    /// Whether chargebacks were found to leave nothing of it.
    #[serde(deserialize_with = "flag")]
    pub is_charged_back: bool,
    /// Whether there is an earlier deposit of its account that counts.
    #[serde(deserialize_with = "flag")]
    pub has_earlier: bool,
}

/// How the conversions of keys stand.
pub(super) fn select(dialect: Dialect) -> Step<String> {
    const COLUMNS: &[Column<String>] = &[Column::text("conversion_key", |key| Some(key.clone()))];
    let column = |name: &'static str| (name, format!("known.{name}"));
    let answer = dialect.json_object(&[
        column("conversion_key"),
        column("occurrence"),
        column("event_id"),
        column("is_processed"),
        column("is_charged_back"),
        ("has_earlier", format!("({})", has_earlier(dialect, "known"))),
    ]);
    let join = dialect.join_by_key("conversions", "known", "known.conversion_key = input.conversion_key");
    let statement = format!("select '' as id, {answer} as answer from input {join}");
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<Stands>, StoreError> {
    let stands = |(_, answer): (String, String)| read_json("how a conversion stands", &answer);
    done.into_iter().flat_map(|done| done.answers).map(stands).collect()
}

/// Something that the evaluation of a conversion hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HangsOn {
    /// The last event of the conversion.
    pub event_id: String,
    /// What: the conversions of this key, its own or another.
    pub other_key: Option<String>,
    /// What: all conversions of this account.
    pub account_id: Option<String>,
    /// Items that wait for rates since before this instant are about to be put back.
    pub delayed_before: Timestamp,
}

/// The events of the conversions that wait: something that they hang on has yet to be rebuilt or evaluated.
pub(super) fn waiting(dialect: Dialect) -> Step<HangsOn> {
    const COLUMNS: &[Column<HangsOn>] = &[
        Column::text("event_id", |hangs| Some(hangs.event_id.clone())),
        Column::text("other_key", |hangs| hangs.other_key.clone()),
        Column::text("account_id", |hangs| hangs.account_id.clone()),
        Column::time("delayed_before", |hangs| Some(hangs.delayed_before)),
    ];
    let by_key = dialect.by_key();
    let waits = "(work_items.state = 'waiting' or work_items.state = 'delayed' and work_items.updated_at < input.delayed_before)";
    // Of any event of it: also one that came too late may have changed it.
    let item = |key: &str| {
        let events = dialect.join_by_key(
            "work_items",
            "work_items",
            &format!("work_items.event_id = events.event_id and {waits}"),
        );
        format!("select 1 from events {events} where events.conversion_key = {key}{by_key}")
    };
    let statement = format!(
        "select input.event_id as id, '' as answer from input
         where exists ({item_of_key})
            or exists (select 1 from rebuilds where rebuilds.conversion_key = input.other_key{by_key})
            or exists (select 1 from conversions as others
                where others.account_id = input.account_id and exists ({item_of_account}){by_key})
            or exists (select 1 from conversions as others
                join rebuilds on rebuilds.conversion_key = others.conversion_key
                where others.account_id = input.account_id{by_key})",
        item_of_key = item("input.other_key"),
        item_of_account = item("others.conversion_key"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read_waiting(done: Vec<Done>) -> HashSet<String> {
    done.into_iter().flat_map(|done| done.answers).map(|(event_id, _)| event_id).collect()
}
