//! Putting items back whose conversions have to be judged again. Whoever has one of them then has it no longer.

use super::super::statement::{Column, Dialect, Step};
use super::super::totals::happened_at;
use super::conclude::{CONFIRMED, Confirmed, Superseded, counts, has_earlier};
use postback::time::Timestamp;

/// Puts items of conversions' events back that a subquery finds, together with when they are due. An item that was done is there no
/// longer, and is put down anew.
fn put_back<T>(dialect: Dialect, columns: &'static [Column<T>], found: &str) -> Step<T> {
    Step::new(
        dialect,
        columns,
        &format!(
            "insert into work_items (event_id, conversion_key, due_at, created_at, updated_at)
             select event_id, conversion_key, min(at), min(at), min(at) from ({found}) as found
             where event_id is not null group by event_id, conversion_key order by event_id
             on conflict (event_id) do update set state = 'waiting', due_at = excluded.due_at, attempts = 0,
                claim_id = null, updated_at = excluded.updated_at"
        ),
    )
}

/// Of each account: what is called its first deposit and is not, and what is its first deposit and is not called so.
pub(super) fn firsts<T>(dialect: Dialect, columns: &'static [Column<T>]) -> Step<T> {
    let earliest = format!(
        "(others.conversion_key, others.occurrence) = (
            select first.conversion_key, first.occurrence from conversions as first
            where first.account_id = input.account_id and {}
            order by {}, first.received_at, first.first_request_id, first.conversion_key, first.occurrence limit 1)",
        counts("first"),
        happened_at("first")
    );
    // Those too that conversions belonged to when they were judged before.
    let accounts = "(select account_id, settled_at from input
            union all select account_before as account_id, settled_at from input) as input";
    let called_first =
        format!("others.account_id = input.account_id and {} and others.deposit = 'first'", counts("others"));
    let events = format!(
        "select others.event_id, others.conversion_key, input.settled_at as at from {accounts} {} where {}
         union all
         select others.event_id, others.conversion_key, input.settled_at as at from {accounts} {}
         where others.deposit = 'repeat'",
        dialect.left_join_by_key("conversions", "others", &called_first),
        has_earlier(dialect, "others"),
        dialect.left_join_by_key("conversions", "others", &earliest),
    );
    put_back(dialect, columns, &events)
}

/// An account whose first deposit may be another.
pub(in crate::store) struct Account {
    pub(in crate::store) account_id: String,
    pub(in crate::store) at: Timestamp,
}

/// The same of accounts alone.
pub(in crate::store) fn firsts_of(dialect: Dialect) -> Step<Account> {
    const COLUMNS: &[Column<Account>] = &[
        Column::text("account_id", |account| Some(account.account_id.clone())),
        Column::text("account_before", |_| None),
        Column::time("settled_at", |account| Some(account.at)),
    ];
    firsts(dialect, COLUMNS)
}

/// What was judged to name an unknown click, which has become known since its facts were read.
pub(super) fn clicked_meanwhile<T>(dialect: Dialect, columns: &'static [Column<T>]) -> Step<T> {
    let own = "own.conversion_key = input.conversion_key and own.occurrence = input.occurrence";
    let events = format!(
        "select own.event_id, own.conversion_key, input.settled_at as at from input {}
         where own.attribution = 'unknown_click'
            and exists (select 1 from clicks where clicks.click_id = own.click_id{})",
        dialect.left_join_by_key("conversions", "own", own),
        dialect.by_key(),
    );
    put_back(dialect, columns, &events)
}

/// What waited for a click that comes now.
pub(in crate::store) fn waiting_for_clicks<T>(dialect: Dialect, columns: &'static [Column<T>]) -> Step<T> {
    let named = "others.click_id = input.click_id and others.attribution = 'unknown_click'";
    let events = format!(
        "select others.event_id, others.conversion_key, input.received_at as at from input {}",
        dialect.left_join_by_key("conversions", "others", named)
    );
    put_back(dialect, columns, &events)
}

/// A conversion whose group may be another than before.
pub(super) struct Regrouped {
    /// Its key.
    pub(super) conversion_key: String,
    /// Its conversion id.
    pub(super) conversion_id: String,
    /// Whether it takes money back: nothing goes back of it then.
    pub(super) is_return: bool,
    /// The key of the sale that it took from, where it takes from that no longer.
    pub(super) left_key: Option<String>,
    /// When they are due.
    pub(super) at: Timestamp,
}

/// The group that a return has left, and what was found to go back of a conversion and is no longer in its group.
pub(super) fn regrouped(dialect: Dialect) -> Step<Regrouped> {
    const COLUMNS: &[Column<Regrouped>] = &[
        Column::text("conversion_key", |row| Some(row.conversion_key.clone())),
        Column::text("conversion_id", |row| Some(row.conversion_id.clone())),
        Column::flag("is_return", |row| Some(row.is_return)),
        Column::text("left_key", |row| row.left_key.clone()),
        Column::time("at", |row| Some(row.at)),
    ];
    let left = dialect.left_join_by_key("conversions", "sale", "sale.conversion_key = input.left_key");
    let other = |condition: &str| dialect.left_join_by_key("conversions", "others", condition);
    let found = format!(
        "select others.event_id, others.conversion_key, input.at from input {left} {}
         union all select others.event_id, others.conversion_key, input.at from input {}
         union all select others.event_id, others.conversion_key, input.at from input {}
         where input.is_return or others.conversion_id <> input.conversion_id
            and not exists (select 1 from events where events.event_id = others.original_event_id
                            and events.conversion_key = input.conversion_key{})",
        other("others.conversion_id = sale.conversion_id"),
        other("others.refund_of = input.left_key"),
        other("others.refund_of = input.conversion_key"),
        dialect.by_key(),
    );
    put_back(dialect, COLUMNS, &found)
}

/// Puts the last events' items of conversions down in the place of those of other events: one that came too late may have added what was not
/// known, and changed the conversion without becoming its last event. An item that the same taker has was read together with them.
pub(super) fn last_of(dialect: Dialect) -> Step<Superseded> {
    const COLUMNS: &[Column<Superseded>] = &[
        Column::text("event_id", |row| Some(row.event_id.clone())),
        Column::text("conversion_key", |row| Some(row.conversion_key.clone())),
        Column::number("occurrence", |row| row.occurrence),
        Column::text("claim_id", |row| Some(row.claim_id.to_string())),
        Column::time("at", |row| Some(row.at)),
    ];
    let known = dialect.join_by_key(
        "conversions",
        "known",
        "known.conversion_key = input.conversion_key and known.occurrence = input.occurrence",
    );
    put_back(
        dialect,
        COLUMNS,
        &format!(
            "select known.event_id, known.conversion_key, input.at from input {known}
             where known.event_id <> input.event_id
                and exists (select 1 from work_items where work_items.event_id = input.event_id
                    and work_items.claim_id = input.claim_id{by_key})
                and not exists (select 1 from work_items where work_items.event_id = known.event_id
                    and work_items.claim_id = input.claim_id{by_key})",
            by_key = dialect.by_key(),
        ),
    )
}

/// Puts those back that were evaluated since they were read: by whom has facts from before what is written now, and is done.
pub(super) fn evaluated_meanwhile(dialect: Dialect) -> Step<Confirmed> {
    let others = dialect.join_by_key(
        "conversions",
        "others",
        "others.conversion_key = input.conversion_key and others.occurrence = input.occurrence",
    );
    put_back(
        dialect,
        CONFIRMED,
        &format!(
            "select others.event_id, others.conversion_key, input.at from input {others}
             where (others.processed_at is null) <> (input.processed_at is null) or others.processed_at <> input.processed_at"
        ),
    )
}

/// An event that changed no conversion.
pub(super) struct Ignored {
    /// Its id.
    pub(super) event_id: String,
    /// When those that name it are due.
    pub(super) at: Timestamp,
}

/// Returns that name an event which changed no conversion, so that no conversion is judged on account of it.
pub(super) fn naming(dialect: Dialect) -> Step<Ignored> {
    const COLUMNS: &[Column<Ignored>] =
        &[Column::text("named_event_id", |row| Some(row.event_id.clone())), Column::time("at", |row| Some(row.at))];
    let others = dialect.left_join_by_key("conversions", "others", "others.original_event_id = input.named_event_id");
    put_back(dialect, COLUMNS, &format!("select others.event_id, others.conversion_key, input.at from input {others}"))
}

/// A conversion as a rebuild is about to write it.
pub(in crate::store) struct Replaced {
    pub(in crate::store) conversion_key: String,
    pub(in crate::store) generation: i64,
    pub(in crate::store) generation_max: i64,
    /// Which under the key; those behind the last one are no more.
    pub(in crate::store) occurrence: i64,
    pub(in crate::store) is_last: bool,
    pub(in crate::store) conversion_id: String,
    pub(in crate::store) at: Timestamp,
}

/// The groups of stored conversions that a rebuild removes or gives another conversion id, before it does; `is_as_read` is the condition
/// under which it does.
pub(in crate::store) fn replaced(dialect: Dialect, is_as_read: &str) -> Step<Replaced> {
    const COLUMNS: &[Column<Replaced>] = &[
        Column::text("conversion_key", |row| Some(row.conversion_key.clone())),
        Column::number("generation", |row| row.generation),
        Column::number("generation_max", |row| row.generation_max),
        Column::number("occurrence", |row| row.occurrence),
        Column::flag("is_last", |row| Some(row.is_last)),
        Column::text("conversion_id", |row| Some(row.conversion_id.clone())),
        Column::time("at", |row| Some(row.at)),
    ];
    let own = dialect.join_by_key(
        "conversions",
        "own",
        "own.conversion_key = input.conversion_key
            and (own.occurrence = input.occurrence and own.conversion_id <> input.conversion_id
                or input.is_last and own.occurrence > input.occurrence)",
    );
    let sale = dialect.left_join_by_key("conversions", "sale", "sale.conversion_key = own.refund_of");
    let other = |condition: &str| dialect.left_join_by_key("conversions", "others", condition);
    let of = |joins: &str| {
        format!(
            "select others.event_id, others.conversion_key, input.at from input {own} {joins}
             where {is_as_read} and others.conversion_key <> input.conversion_key"
        )
    };
    let found = [
        of(&other("others.conversion_id = own.conversion_id")),
        of(&other("others.refund_of = own.conversion_key")),
        of(&format!("{sale} {}", other("others.conversion_id = sale.conversion_id"))),
        of(&other("others.refund_of = own.refund_of")),
    ];
    put_back(dialect, COLUMNS, &found.join(" union all "))
}

/// A conversion that is to be judged again.
#[derive(Clone, Debug)]
pub struct Again {
    /// The last event that made it what it is.
    pub event_id: String,
    /// Its key.
    pub conversion_key: String,
    /// When it is due.
    pub due_at: Timestamp,
}

/// Conversions that somebody wants to be judged again. An event that is no more since they were read has none.
pub(in crate::store) fn again(dialect: Dialect) -> Step<Again> {
    const COLUMNS: &[Column<Again>] = &[
        Column::text("event_id", |again| Some(again.event_id.clone())),
        Column::text("conversion_key", |again| Some(again.conversion_key.clone())),
        Column::time("at", |again| Some(again.due_at)),
    ];
    let found = format!(
        "select input.event_id, input.conversion_key, input.at from input
         where exists (select 1 from events where events.event_id = input.event_id{})",
        dialect.by_key()
    );
    put_back(dialect, COLUMNS, &found)
}

/// When items that wait for rates are due, and since when they must have waited.
pub(super) struct Rates {
    pub(super) now: Timestamp,
    pub(super) delayed_before: Timestamp,
}

/// What has waited for rates since before some came.
pub(super) fn delayed(dialect: Dialect) -> Step<Rates> {
    const COLUMNS: &[Column<Rates>] = &[
        Column::time("at", |rates| Some(rates.now)),
        Column::time("delayed_before", |rates| Some(rates.delayed_before)),
    ];
    Step::new(
        dialect,
        COLUMNS,
        "update work_items set state = 'waiting', due_at = input.at, attempts = 0, claim_id = null, updated_at = input.at
         from input where state = 'delayed' and work_items.updated_at < input.delayed_before",
    )
}
