//! How postbacks and clicks enter a partner's database: the statements of the one transaction that [`super::Store`]
//! promises, the same for every kind of database.
//!
//! They are one atomic batch: no statement needs an answer of the one before, because a database that is far away (D1) has
//! no transaction that waits for us. What an earlier statement did a later one finds in the tables, by the name of the
//! receipt that did it. Each works on several postbacks at once, as long as these share no nonce, event or conversion
//! ([`waves`]).

#![deny(clippy::disallowed_methods)]

mod entry;
mod waves;
mod requests;
mod conversions;
mod totals;
mod work;
mod links;
mod rejections;
mod clicks;

pub use entry::Entry;

use super::StoreError;
use super::record::{ClickBatch, EdgeReport, Record, Recorded, RecordedClicks, Rejected};
use super::statement::{Column, Dialect, Done, Statement, Step};
use super::totals::{Lane, judging_slot};
use super::turns::{Turn, take_turns};
use clicks::{BatchedClick, enter_clicks, put_back_for_clicks};
use conversions::{create_conversion, note_revision, revise_conversion};
use links::enter_links;
use postback::duplicate::DuplicatePolicy;
use postback::id::Nonce;
use postback::verdict::Verdict;
use rejections::{Counted, add_counts, insert_batches, insert_rejections};
use requests::{Spending, enter_event, spend_nonces, write_down};
use std::collections::HashMap;
use std::iter;
use totals::{count_in, count_out};
use waves::waves;
use work::enter_work;

/// The statements of one partner's database.
pub struct Ledger {
    dialect: Dialect,
    policy: DuplicatePolicy,
    take_turns: Option<Step<Turn>>,
    spend_nonces: Step<Spending>,
    record: Vec<Step<Entry>>,
    conclude: [Step<Entry>; 2],
    enter_clicks: Step<BatchedClick>,
    put_back: Step<BatchedClick>,
    insert_rejections: Step<Rejected>,
    insert_batches: Step<Counted>,
    add_counts: Step<Counted>,
}

impl Ledger {
    /// The statements for a kind of database and a partner's policy.
    pub fn new(dialect: Dialect, policy: DuplicatePolicy) -> Ledger {
        let mut record = vec![enter_event(dialect)];
        record.extend(count_out(dialect, policy));
        record.push(create_conversion(dialect, policy));
        record.extend(revise_conversion(dialect, policy));
        record.push(note_revision(dialect, policy));
        record.extend(count_in(dialect, policy));
        record.extend(write_down(dialect, policy));
        Ledger {
            dialect,
            policy,
            take_turns: take_turns(dialect),
            spend_nonces: spend_nonces(dialect),
            record,
            conclude: [enter_work(dialect), enter_links(dialect)],
            enter_clicks: enter_clicks(dialect),
            put_back: put_back_for_clicks(dialect),
            insert_rejections: insert_rejections(dialect),
            insert_batches: insert_batches(dialect),
            add_counts: add_counts(dialect),
        }
    }

    /// What a further event of a known conversion does.
    pub fn policy(&self) -> DuplicatePolicy {
        self.policy
    }

    /// A record, made ready.
    pub fn entry(&self, record: Record) -> Entry {
        Entry::of(record, &self.policy)
    }

    /// The statements that record postbacks in one transaction. Where the database has several writers, those of one
    /// conversion and those of one slot of the totals take turns first, for all of the transaction: a lock that was taken later
    /// would be out of order. Then for each wave:
    ///
    /// (1) the nonces are spent, except those that were; what came with one of these is a replay and goes no further
    /// (2) the events enter under their ids, except those that are known: duplicates, or conflicts
    /// (3) what conversions came to that new events are about to revise is taken out of the totals
    /// (4) conversions begin, where they are new
    /// (5) the others are brought up to date, where the receipt is the newest one
    /// (6) which event made which revision is noted
    /// (7) what the conversions come to now is put into the totals
    /// (8) each request is written down with its verdict; this is answered. Further receipts of known events are kept, and conversions whose
    /// receipts are not stored in order are to be folded again
    ///
    /// And once for all waves, because nothing in them builds on it:
    ///
    /// (9) what is to be done for each new event is put down
    /// (10) whose click it was, as new events say it, is kept
    pub(super) fn statements(&self, entries: Vec<Entry>, lane: Lane) -> Vec<Statement> {
        let slot = lane.slot(self.dialect, entries.first().map_or("", Entry::receipt_id));
        let entries: Vec<_> = entries.into_iter().map(|entry| Entry { slot, ..entry }).collect();
        let turns = self.take_turns.iter().map(|step| step.over(&turns(slot, &entries)));
        let mut statements: Vec<_> = turns.collect();
        let conclusion: Vec<_> = self.conclude.iter().map(|step| step.over(&entries)).collect();
        for wave in waves(entries) {
            let spending: Vec<_> = wave.iter().map(Spending::of).collect();
            statements.push(self.spend_nonces.over(&spending));
            statements.extend(self.record.iter().map(|step| step.over(&wave)));
        }
        statements.extend(conclusion);
        statements
    }

    /// The statements that record a batch of clicks: the nonce is spent, every click that is not known enters, and conversions that
    /// came before their click are judged again.
    pub fn click_statements(&self, batch: &ClickBatch) -> Vec<Statement> {
        let ClickBatch { clicks, nonce, receipt_id, now } = batch;
        // Conversions are put back, which only one at a time does.
        let slot = Turn::Slot(judging_slot(self.dialect));
        let turns = clicks.iter().map(|click| Turn::Click(click.click_id.to_string())).chain([slot]);
        let turns: Vec<_> = turns.collect();
        let spending = Spending { nonce: Some(nonce.clone()), receipt_id: receipt_id.clone(), now: *now };
        let clicks = clicks.iter().map(|click| BatchedClick {
            click: click.clone(),
            nonce: nonce.clone(),
            receipt_id: receipt_id.clone(),
            now: *now,
        });
        let clicks: Vec<_> = clicks.collect();
        let recording =
            [self.spend_nonces.over(&[spending]), self.enter_clicks.over(&clicks), self.put_back.over(&clicks)];
        self.take_turns.iter().map(|step| step.over(&turns)).chain(recording).collect()
    }

    /// The statement that inserts a rejected request.
    pub fn rejection_statement(&self, rejected: Rejected) -> Statement {
        self.insert_rejections.over(&[rejected])
    }

    /// The statements that insert what the edge reports: its rejected requests, the batches of counts, and the counts of batches that are
    /// new.
    pub fn report_statements(&self, report: EdgeReport) -> Vec<Statement> {
        let EdgeReport { rejected, outcomes, receipt_id, now } = report;
        let counted = |outcome| Counted { outcome, receipt_id: receipt_id.clone(), now };
        let counted: Vec<_> = outcomes.into_iter().map(counted).collect();
        vec![self.insert_rejections.over(&rejected), self.insert_batches.over(&counted), self.add_counts.over(&counted)]
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The receipts of entries, in their order.
pub fn receipts(entries: &[Entry]) -> Vec<Nonce> {
    entries.iter().map(|entry| entry.record.receipt_id.clone()).collect()
}

/// What became of the entries of these receipts, by what the statements of their waves answered.
///
/// # Errors
/// The database answered with a word that is no verdict.
pub fn recorded(receipts: &[Nonce], done: Vec<Done>) -> Result<Vec<Recorded>, StoreError> {
    let mut verdicts = HashMap::new();
    for (receipt_id, verdict) in done.into_iter().flat_map(|done| done.answers) {
        let verdict = Verdict::parse(&verdict);
        verdicts.insert(receipt_id, verdict.ok_or_else(|| StoreError::Bug("a verdict without a name".to_owned()))?);
    }
    // What was not written down is a replay.
    let of =
        |receipt: &Nonce| verdicts.get(receipt.as_str()).map_or(Recorded::Replayed, |verdict| Recorded::As(*verdict));
    Ok(receipts.iter().map(of).collect())
}

/// What became of a batch of clicks, by what its statements did.
pub fn recorded_clicks(batch: &ClickBatch, done: &[Done]) -> RecordedClicks {
    // The last three statements, whatever came before them.
    let [.., spent, entered, _] = done else { return RecordedClicks::Replayed };
    if spent.changed == 0 {
        return RecordedClicks::Replayed;
    }
    let stored = entered.changed;
    let sent = u64::try_from(batch.clicks.len()).unwrap_or(u64::MAX);
    RecordedClicks::As { stored, known: sent.saturating_sub(stored) }
}

/// What a transaction takes its turn about: the slot of its totals, each of its events, and each of its conversions. Events,
/// too, because two waves may meet those of another transaction in the other order.
fn turns(slot: i64, entries: &[Entry]) -> Vec<Turn> {
    let of_an_entry = |entry: &Entry| {
        [Turn::Event(entry.postback().event_id().to_string()), Turn::Conversion(entry.conversion_key.clone())]
    };
    iter::once(Turn::Slot(slot)).chain(entries.iter().flat_map(of_an_entry)).collect()
}

/// That a row's nonce is spent by the row's own receipt, or that it has none.
fn nonce_is_own(dialect: Dialect) -> String {
    format!(
        "(input.nonce is null or exists (select 1 from nonces
            where nonces.nonce = input.nonce and nonces.receipt_id = input.receipt_id{}))",
        dialect.by_key()
    )
}

/// That a row's event entered by the row's own receipt.
fn event_is_new(dialect: Dialect) -> String {
    format!(
        "exists (select 1 from events
            where events.event_id = input.event_id and events.receipt_id = input.receipt_id{})",
        dialect.by_key()
    )
}

/// Inserts rows, except those of whose key one is there, and those that came with a nonce which was spent before. In one order: two
/// transactions that hold the same would otherwise wait for each other.
fn enter_once<T>(dialect: Dialect, columns: &'static [Column<T>], table: &str, key: &str, names: &[&str]) -> Step<T> {
    let statement = format!(
        "insert into {table} ({}) select {} from input where {} order by input.{key} on conflict ({key}) do nothing",
        names.join(", "),
        of("input", names),
        nonce_is_own(dialect),
    );
    Step::new(dialect, columns, &statement)
}

/// The columns of a table, as in `input.a, input.b`.
fn of(table: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}
