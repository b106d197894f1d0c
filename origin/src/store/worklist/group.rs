//! The group of a sale: every conversion that is balanced together with it. Those of one conversion id, and returns that name one of its
//! events.

use super::super::StoreError;
use super::super::reader::{flag, optional_time};
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::totals::happened_at;
use super::facts::{Counted, Facts, Money, RETURNS, SaleId, counted, money, named_sale, refund_of, time};
use postback::event::Event;
use postback::time::Timestamp;
use serde::Deserialize;
use std::collections::HashMap;

/// Conversions of a group at most: more are a mistake of the sender's, and are refused rather than counted wrongly.
const MEMBERS_MAX: usize = 5_000;
/// Revisions of a sale that are looked at for reductions, the last ones.
const HISTORY_MAX: u32 = 100;

/// A conversion of a group, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
    /// The event that last changed it.
    pub event_id: String,
    /// The event's canonical name.
    pub event: String,
    /// The status' canonical name.
    pub status: Option<String>,
    /// Whether it is marked as a possible duplicate.
    #[serde(deserialize_with = "flag")]
    pub is_duplicate: bool,
    /// Whether it was evaluated since its last change.
    #[serde(deserialize_with = "flag")]
    pub is_processed: bool,
    /// When its first receipt came.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
    /// The request of that.
    pub first_request_id: String,
    /// When it happened.
    #[serde(deserialize_with = "time")]
    pub happened_at: Timestamp,
    /// Its amounts.
    pub money: Money,
    /// The event id of a sale that it names.
    pub original_event_id: Option<String>,
    /// The sale that it names so, where that is known.
    pub named: Option<SaleId>,
    /// How it was evaluated.
    pub evaluated: Evaluated,
    /// What it stated behind each revision, the last ones first; of a sale alone.
    pub history: Option<Vec<Money>>,
}

/// How a member was evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Evaluated {
    /// When, if it was.
    #[serde(deserialize_with = "optional_time")]
    pub processed_at: Option<Timestamp>,
    /// What it goes back of.
    pub refund_of: Option<SaleId>,
    /// What it counts for, where it is a return.
    pub counted: Counted,
    /// Whether chargebacks left nothing of it.
    #[serde(deserialize_with = "flag")]
    pub is_charged_back: bool,
    /// The rate by which it was converted, a decimal.
    pub fx_rate: Option<String>,
    /// The day of that rate.
    pub fx_rate_date: Option<String>,
    /// Codes of what is odd, a list in JSON.
    pub findings: String,
}

impl Facts {
    /// The conversion id whose group decides what a conversion counts for; none where nothing goes back.
    pub fn group_id(&self) -> Option<&str> {
        let conversion = &self.conversion;
        let takes_back = Event::parse(&conversion.event).is_some_and(|event| event.takes_money_back());
        let named = self.marks.named_conversion_id.as_deref().filter(|_| takes_back);
        (takes_back || self.marks.has_returns).then(|| named.unwrap_or(&conversion.conversion_id))
    }
}

/// Reads groups by conversion id.
pub(super) fn groups(dialect: Dialect) -> Step<String> {
    const COLUMNS: &[Column<String>] = &[Column::text("group_id", |id| Some(id.clone()))];
    let column = |name: &'static str| (name, format!("known.{name}"));
    let evaluated = dialect.json_members(&[
        ("processed_at", dialect.time_text("known.processed_at")),
        ("refund_of", refund_of(dialect, "known")),
        ("counted", counted(dialect, "known")),
        column("is_charged_back"),
        ("fx_rate", "cast(known.fx_rate as text)".to_owned()),
        ("fx_rate_date", "cast(known.fx_rate_date as text)".to_owned()),
        ("findings", "cast(known.findings as text)".to_owned()),
    ]);
    let named = dialect.json_members(&[
        ("conversion_key", "sale.conversion_key".to_owned()),
        ("occurrence", "sale.occurrence".to_owned()),
    ]);
    let aggregate = match dialect {
        Dialect::Postgres => "json_agg(stated)",
        Dialect::Sqlite => "json_group_array(json(stated))",
    };
    let history = format!(
        "(select {aggregate} from (select {} as stated from revisions as made
            where made.conversion_key = known.conversion_key and made.occurrence = known.occurrence
            order by made.revision desc limit {HISTORY_MAX}) as history)",
        money(dialect, "made"),
    );
    let is_revised_sale = "case when known.revision > 1 and known.event not in ('refund', 'chargeback') then 1 end";
    let answer = dialect.json_object(&[
        column("conversion_key"),
        column("occurrence"),
        column("event_id"),
        column("event"),
        column("status"),
        column("is_duplicate"),
        column("is_processed"),
        ("received_at", dialect.time_text("known.received_at")),
        column("first_request_id"),
        ("happened_at", dialect.time_text(&happened_at("known"))),
        ("money", money(dialect, "known")),
        column("original_event_id"),
        ("named", dialect.json_or_null("sale.conversion_key", &named)),
        ("evaluated", evaluated),
        ("history", dialect.json_or_null(is_revised_sale, &history)),
    ]);
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", members as (
                select input.group_id, others.conversion_key, others.occurrence
                from input join conversions as others on others.conversion_id = input.group_id
                union
                select input.group_id, others.conversion_key, others.occurrence
                from input join conversions as sale on sale.conversion_id = input.group_id
                    join events on events.conversion_key = sale.conversion_key
                    join conversions as others on others.original_event_id = events.event_id
                where sale.event not in ('refund', 'chargeback') and {RETURNS})
             select members.group_id as id, {answer} as answer from members
             join conversions as known on known.conversion_key = members.conversion_key
                and known.occurrence = members.occurrence
             {}
             where known.event not in ('refund', 'chargeback') or sale.conversion_id is null
                or sale.conversion_id = members.group_id
             order by members.group_id, known.conversion_key, known.occurrence",
            named_sale(dialect, "known.original_event_id"),
        ),
    )
    .answering()
}

/// Groups by their ids.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Those that can be balanced.
    pub groups: HashMap<String, Vec<Member>>,
    /// Why others cannot.
    pub refused: HashMap<String, String>,
}

/// The groups that a statement answers.
///
/// # Errors
/// One is not as our statements make it.
pub(super) fn read(done: Vec<Done>) -> Result<Read, StoreError> {
    let mut read = Read::default();
    for (group_id, answer) in done.into_iter().flat_map(|done| done.answers) {
        if read.refused.contains_key(&group_id) {
            continue;
        }
        let members = read.groups.entry(group_id.clone()).or_default();
        if members.len() < MEMBERS_MAX {
            members.push(read_json("a conversion of a group", &answer)?);
        } else {
            read.groups.remove(&group_id);
            let reason = format!("more than {MEMBERS_MAX} conversions would be balanced together");
            read.refused.insert(group_id, reason);
        }
    }
    Ok(read)
}
