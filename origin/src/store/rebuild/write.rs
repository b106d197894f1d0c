//! Writing what a fold comes to: one transaction, without effect where the request has grown meanwhile.

use super::super::statement::{Column, Dialect, Statement, Step};
use super::super::totals::{Count, count, judging_slot};
use super::super::turns::{Turn, take_turns};
use super::super::worklist::{Account, Again, Replaced, again, firsts_of, replaced};
use super::Growth;
use postback::conversion::{Conversion, Folded, Receipt, Revision};
use postback::field::Field;
use postback::status::Status;
use postback::time::Timestamp;
use std::sync::Arc;

/// Revisions that one statement writes.
const CHUNK: usize = 1_000;

/// How many receipts a request may have grown by.
const GROWTH_MAX: i64 = 1_000_000;

/// What is rebuilt.
#[derive(Clone, Debug)]
pub(in crate::store) struct Key {
    pub conversion_key: String,
    pub generation: i64,
    pub growth: Growth,
    pub now: Timestamp,
    pub deposit_accounts: Vec<String>,
}

impl Key {
    /// The generation up to which it is written: of the same request, so many further receipts.
    const fn generation_max(&self) -> i64 {
        match self.growth {
            Growth::Refused => self.generation,
            Growth::Accepted => self.generation.saturating_add(GROWTH_MAX),
        }
    }
}

/// A key, as its statements need it.
struct KeyRow {
    key: Key,
    occurrences: i64,
    slot: i64,
}

/// A conversion of it.
pub(in crate::store) struct ConversionRow {
    key: Key,
    pub occurrence: i64,
    conversion: Arc<Conversion>,
    last: Receipt,
}

/// A revision of one.
pub(in crate::store) struct RevisionRow {
    key: Key,
    occurrence: i64,
    pub number: i64,
    revision: Revision,
}

/// Who takes turns with a rebuild.
pub(in crate::store) fn turns(key: &Key) -> impl Iterator<Item = Turn> {
    let accounts = key.deposit_accounts.iter().cloned().map(Turn::Account);
    std::iter::once(Turn::Conversion(key.conversion_key.clone())).chain(accounts)
}

/// The statements. Who records or evaluates what is about the key takes turns with them: those are first. Then, where the request is as it
/// was read:
///
/// (1) what the conversions come to is taken out of the totals
/// (2) their history goes, and those that are no more; what was balanced with these, or with one that has another conversion id now, is
///     evaluated again
/// (3) the conversions and their history are as they were folded
/// (4) what they come to now is put into the totals
/// (5) they are evaluated again, once for all receipts that came late, and so is which deposit of an account is the first
/// (6) whether this was written is answered, and the request is done unless it has grown
pub(super) fn statements(dialect: Dialect, key: &Key, folded: Folded) -> Vec<Statement> {
    let turns: Vec<_> = std::iter::once(Turn::Slot(judging_slot(dialect))).chain(turns(key)).collect();
    let turns = take_turns(dialect).map(|step| step.over(&turns));
    turns.into_iter().chain(phases(dialect, key, folded).into_iter().flatten()).collect()
}

/// The statements behind the turns, in three parts: (1) and (2), (3) and (4), (5) and (6). Where several keys are rebuilt together, each
/// part is for all of them before the next: others are evaluated again by conversions as they stand.
pub(in crate::store) fn phases(dialect: Dialect, key: &Key, folded: Folded) -> [Vec<Statement>; 3] {
    let slot = judging_slot(dialect);
    let occurrences = number(folded.conversions.len());
    let of_key = [KeyRow { key: key.clone(), occurrences, slot }];
    let mut statements = Vec::new();
    let join = "join conversions as known on known.conversion_key = input.conversion_key";
    // (1)
    statements.extend(count(dialect, KEY, Count::Out, join, AS_READ).iter().map(|step| step.over(&of_key)));
    // (2)
    let conversions = conversion_rows(key, folded);
    statements.push(replaced(dialect, AS_READ).over(&replacements(key, &conversions)));
    statements.extend([forget_history(dialect).over(&of_key), forget_vanished(dialect).over(&of_key)]);
    let out = std::mem::take(&mut statements);
    // (3)
    statements.push(put_conversions(dialect).over(&conversions));
    let put_revisions = put_revisions(dialect);
    for row in &conversions {
        let revisions: Vec<_> = revision_rows(row).collect();
        statements.extend(revisions.chunks(CHUNK).map(|chunk| put_revisions.over(chunk)));
    }
    // (4)
    statements.extend(count(dialect, KEY, Count::In, join, AS_READ).iter().map(|step| step.over(&of_key)));
    let put = std::mem::take(&mut statements);
    // (5)
    let work: Vec<_> = conversions.iter().map(ConversionRow::work).collect();
    let accounts: Vec<_> =
        key.deposit_accounts.iter().map(|account| Account { account_id: account.clone(), at: key.now }).collect();
    statements.push(drop_jobs(dialect).over(&of_key));
    statements.extend([again(dialect).over(&work), firsts_of(dialect).over(&accounts)]);
    // (6)
    let [answer, done] = finish(dialect);
    statements.extend([answer.over(&of_key), done.over(&of_key)]);
    [out, put, statements]
}

/// The rows that a fold comes to, for whoever compares them with what is stored: each conversion with its revisions.
pub(in crate::store) fn folded_rows(conversion_key: &str, folded: Folded) -> Vec<(ConversionRow, Vec<RevisionRow>)> {
    let key = Key {
        conversion_key: conversion_key.to_owned(),
        generation: 0,
        growth: Growth::Refused,
        now: Timestamp::EPOCH,
        deposit_accounts: Vec::new(),
    };
    let with_revisions = |row: ConversionRow| {
        let revisions = revision_rows(&row).collect();
        (row, revisions)
    };
    conversion_rows(&key, folded).into_iter().map(with_revisions).collect()
}

fn replacements(key: &Key, conversions: &[ConversionRow]) -> Vec<Replaced> {
    let row = |occurrence: i64, conversion_id: &str| Replaced {
        conversion_key: key.conversion_key.clone(),
        generation: key.generation,
        generation_max: key.generation_max(),
        occurrence,
        is_last: occurrence == number(conversions.len()),
        conversion_id: conversion_id.to_owned(),
        at: key.now,
    };
    if conversions.is_empty() {
        return vec![row(0, "")];
    }
    conversions.iter().map(|each| row(each.occurrence, &each.conversion.state.conversion_id)).collect()
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// That the request of a row's key is the one that was read, or has grown so far as is accepted.
const AS_READ: &str = "exists (select 1 from rebuilds where rebuilds.conversion_key = input.conversion_key
    and rebuilds.generation between input.generation and input.generation_max)";
/// The keys of which that is so.
fn keys_as_read() -> String {
    format!("select input.conversion_key from input where {AS_READ}")
}

const KEY: &[Column<KeyRow>] = &[
    Column::text("conversion_key", |row| Some(row.key.conversion_key.clone())),
    Column::number("generation", |row| row.key.generation),
    Column::number("generation_max", |row| row.key.generation_max()),
    Column::number("occurrences", |row| row.occurrences),
    Column::number("slot", |row| row.slot),
];

fn forget_history(dialect: Dialect) -> Step<KeyRow> {
    Step::new(dialect, KEY, &format!("delete from revisions where conversion_key in ({})", keys_as_read()))
}

fn forget_vanished(dialect: Dialect) -> Step<KeyRow> {
    let statement = format!(
        "delete from conversions where conversion_key in ({}) and occurrence > (select occurrences from input)",
        keys_as_read()
    );
    Step::new(dialect, KEY, &statement)
}

/// Drops the jobs that the receipts brought: each would evaluate a conversion that has a job of its own in a moment, and find it among as
/// many revisions as there are receipts. Jobs that somebody has leased are left to them.
fn drop_jobs(dialect: Dialect) -> Step<KeyRow> {
    let skip = match dialect {
        Dialect::Postgres => "for update of work_items skip locked",
        Dialect::Sqlite => "",
    };
    let statement = format!(
        "delete from work_items where work_item_id in (
            select work_items.work_item_id from work_items
            where work_items.state = 'waiting' and work_items.claim_id is null and work_items.event_id in (
                select events.event_id from events where events.conversion_key in ({})) {skip})",
        keys_as_read()
    );
    Step::new(dialect, KEY, &statement)
}

/// Ends the request, unless it has grown, and says that all this was written.
fn finish(dialect: Dialect) -> [Step<KeyRow>; 2] {
    let answer =
        format!("select written.conversion_key as id, 'written' as answer from ({}) as written", keys_as_read());
    let done = "delete from rebuilds where exists (select 1 from input
        where input.conversion_key = rebuilds.conversion_key and input.generation = rebuilds.generation)";
    [Step::new(dialect, KEY, &answer).answering(), Step::new(dialect, KEY, done)]
}

fn conversion_rows(key: &Key, folded: Folded) -> Vec<ConversionRow> {
    let Folded { conversions, last } = folded;
    let count = conversions.len();
    let row = |(place, conversion): (usize, Conversion)| {
        let own = conversion.revisions.last().map_or(&conversion.first, |revision| &revision.receipt);
        // The last one is known by all receipts of its key: also by those that changed nothing.
        let last = last.as_ref().filter(|_| place == count).unwrap_or(own).clone();
        ConversionRow { key: key.clone(), occurrence: number(place), conversion: Arc::new(conversion), last }
    };
    (1_usize..).zip(conversions).map(row).collect()
}

fn revision_rows(row: &ConversionRow) -> impl Iterator<Item = RevisionRow> {
    (1_i64..).zip(&row.conversion.revisions).map(|(number, revision)| RevisionRow {
        key: row.key.clone(),
        occurrence: row.occurrence,
        number,
        revision: revision.clone(),
    })
}

impl ConversionRow {
    fn text(&self, field: Field) -> Option<String> {
        self.conversion.state.texts.get(&field).cloned()
    }

    /// It is evaluated again.
    fn work(&self) -> Again {
        Again {
            event_id: self.conversion.event_id.clone(),
            conversion_key: self.key.conversion_key.clone(),
            due_at: self.key.now,
        }
    }
}

fn status(status: Option<Status>) -> Option<String> {
    status.map(|status| status.name().to_owned())
}

pub(in crate::store) const CONVERSION: &[Column<ConversionRow>] = &[
    Column::text("conversion_key", |row| Some(row.key.conversion_key.clone())),
    Column::number("generation", |row| row.key.generation),
    Column::number("generation_max", |row| row.key.generation_max()),
    Column::number("occurrence", |row| row.occurrence),
    Column::number("revision", |row| number(row.conversion.revisions.len())),
    Column::text("conversion_id", |row| Some(row.conversion.state.conversion_id.clone())),
    Column::text("event_id", |row| Some(row.conversion.event_id.clone())),
    Column::text("event", |row| Some(row.conversion.state.event.clone())),
    Column::text("click_id", |row| row.text(Field::ClickId)),
    Column::text("order_id", |row| row.text(Field::OrderId)),
    Column::text("media_id", |row| row.text(Field::MediaId)),
    Column::text("sub_id", |row| row.text(Field::SubId)),
    Column::text("offer_id", |row| row.text(Field::OfferId)),
    Column::text("offer_name", |row| row.text(Field::OfferName)),
    Column::text("account_id", |row| row.text(Field::AccountId)),
    Column::text("payment_method", |row| row.text(Field::PaymentMethod)),
    Column::text("consent_version", |row| row.text(Field::ConsentVersion)),
    Column::text("campaign", |row| row.text(Field::Campaign)),
    Column::text("geo", |row| row.text(Field::Geo)),
    Column::text("device", |row| row.text(Field::Device)),
    Column::text("original_event_id", |row| row.text(Field::OriginalEventId)),
    Column::text("status", |row| status(row.conversion.state.status)),
    Column::time("ts_event", |row| row.conversion.state.ts_event),
    Column::time("conversion_datetime", |row| row.conversion.state.conversion_datetime),
    Column::flag("is_ftd", |row| row.conversion.state.is_ftd),
    Column::amount("sale_amount", |row| row.conversion.state.sale.amount),
    Column::text("currency", |row| row.conversion.state.sale.currency.clone()),
    Column::amount("usd_sale_amount", |row| row.conversion.state.sale.dollars),
    Column::flag("is_sale_amount_dropped", |row| Some(row.conversion.state.sale.is_dropped)),
    Column::amount("payout", |row| row.conversion.state.payout.amount),
    Column::text("payout_currency", |row| row.conversion.state.payout.currency.clone()),
    Column::amount("usd_payout", |row| row.conversion.state.payout.dollars),
    Column::flag("is_payout_dropped", |row| Some(row.conversion.state.payout.is_dropped)),
    Column::flag("is_duplicate", |row| Some(row.conversion.is_duplicate)),
    Column::flag("is_returned", |row| Some(row.conversion.is_returned)),
    Column::time("received_at", |row| Some(row.conversion.first.received_at)),
    Column::text("first_request_id", |row| Some(row.conversion.first.request_id.clone())),
    Column::number("last_received_ms", |row| row.last.received_at.unix_ms()),
    Column::text("last_request_id", |row| Some(row.last.request_id.clone())),
    Column::text("last_event_id", |row| Some(row.last.event_id.clone())),
    Column::time("updated_at", |row| Some(row.key.now)),
    Column::time("created_at", |row| Some(row.key.now)),
];

/// Puts the conversions in the place of those that stood there. What they were evaluated to stays until they are again.
fn put_conversions(dialect: Dialect) -> Step<ConversionRow> {
    let amounts = ["sale_amount", "usd_sale_amount", "payout", "usd_payout"];
    let column = |name: &str| if amounts.contains(&name) { dialect.amount(name) } else { name.to_owned() };
    let names: Vec<_> =
        CONVERSION.iter().map(Column::name).filter(|name| !name.starts_with("generation")).map(column).collect();
    let is_kept = |name: &String| ["conversion_key", "occurrence", "created_at"].contains(&name.as_str());
    let replaced = names.iter().filter(|name| !is_kept(name)).map(|name| format!("{name} = excluded.{name}"));
    let values: Vec<_> = names.iter().map(|name| format!("input.{name}")).collect();
    Step::new(
        dialect,
        CONVERSION,
        &format!(
            "insert into conversions ({}) select {} from input where {AS_READ}
             on conflict (conversion_key, occurrence) do update set is_processed = false, {}",
            names.join(", "),
            values.join(", "),
            replaced.collect::<Vec<_>>().join(", "),
        ),
    )
}

pub(in crate::store) const REVISION: &[Column<RevisionRow>] = &[
    Column::text("conversion_key", |row| Some(row.key.conversion_key.clone())),
    Column::number("generation", |row| row.key.generation),
    Column::number("generation_max", |row| row.key.generation_max()),
    Column::number("occurrence", |row| row.occurrence),
    Column::number("revision", |row| row.number),
    Column::text("event_id", |row| Some(row.revision.receipt.event_id.clone())),
    Column::time("received_at", |row| Some(row.revision.receipt.received_at)),
    Column::time("effective_at", |row| Some(row.revision.effective_at)),
    Column::text("status", |row| status(row.revision.status)),
    Column::amount("sale_amount", |row| row.revision.sale.amount),
    Column::text("currency", |row| row.revision.sale.currency.clone()),
    Column::amount("usd_sale_amount", |row| row.revision.sale.dollars),
    Column::amount("payout", |row| row.revision.payout.amount),
    Column::text("payout_currency", |row| row.revision.payout.currency.clone()),
    Column::amount("usd_payout", |row| row.revision.payout.dollars),
    Column::flag("is_return", |row| Some(row.revision.is_return)),
];

fn put_revisions(dialect: Dialect) -> Step<RevisionRow> {
    let amounts = ["sale_amount", "usd_sale_amount", "payout", "usd_payout"];
    let column = |name: &str| if amounts.contains(&name) { dialect.amount(name) } else { name.to_owned() };
    let names: Vec<_> =
        REVISION.iter().map(Column::name).filter(|name| !name.starts_with("generation")).map(column).collect();
    let values: Vec<_> = names.iter().map(|name| format!("input.{name}")).collect();
    Step::new(
        dialect,
        REVISION,
        &format!(
            "insert into revisions ({}) select {} from input where {AS_READ}",
            names.join(", "),
            values.join(", "),
        ),
    )
}
