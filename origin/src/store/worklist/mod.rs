//! What is to be done for events after they were stored (R52): items that are taken for a while, judged, and put down again. The
//! contract, the same for every kind of database:
//!
//! **An item is one taker's until its lease ends, and what was judged is written by who has it.** A taker that crashed loses its
//! lease, and the item is taken again. A taker that was too slow, or whose item was put back because something that it judged by
//! has changed, writes nothing.
//!
//! **A conversion is judged by the item of its last event alone**, so that nobody else has to be stopped when something changes that it is
//! judged by. An item of another event of it is settled by seeing to it that the last event has one.
//!
//! **A conversion is judged alone.** What a judgement means for others (an account has another first deposit, a refund has found its
//! conversion) is not written for them: their items are put back, and they are judged again. So judgements need no order and come
//! to the same whatever order events came in.

mod take;
mod facts;
mod group;
mod conclude;
mod put_back;
mod backlog;

pub use backlog::Backlog;
pub(super) use conclude::has_earlier;
pub use conclude::{Conclusion, Failure, Judged, Next, Other, Standing};
pub use facts::{After, Before, Click, Counted, Facts, Marks, Money, PAGE, SaleId};
pub(super) use facts::{amount, time};
pub use group::{Evaluated, Member, Read as GroupsRead};
pub use put_back::Again;
pub(super) use put_back::{Account, Replaced, again, firsts_of, replaced, waiting_for_clicks};
pub use take::{ITEMS_MAX, Item, Lease};

use super::limits::Limits;
use super::statement::{Dialect, Statement, Step};
use super::totals::judging_slot;
use super::turns::{Turn, take_turns};
use super::{Database, End, Store, StoreError, in_time};
use conclude::Row;
use postback::event::Event;
use postback::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long a statement about items may take.
const ITEMS_TIMEOUT: Duration = Duration::from_secs(5);

/// Taking items. PostgreSQL plans with what it knows of the table, which is often that it is empty: all were done when it was analyzed. It
/// would read all items that are due, and sort them, to take the first hundred.
const TAKING: Limits = Limits {
    settings: &[("enable_seqscan", "off"), ("enable_bitmapscan", "off"), ("enable_sort", "off")],
    total: ITEMS_TIMEOUT,
};

/// The statements about items.
pub(super) struct Worklist {
    dialect: Dialect,
    take_turns: Option<Step<Turn>>,
    take: Step<Lease>,
    facts: Step<Item>,
    page: Step<After>,
    groups: Step<String>,
    last_of: Step<conclude::Superseded>,
    revoke: Step<conclude::Confirmed>,
    evaluated_meanwhile: Step<conclude::Confirmed>,
    conclude: Vec<Step<Row>>,
    fail: [Step<Failure>; 2],
    put_back: Step<Again>,
    regrouped: Step<put_back::Regrouped>,
    naming: Step<put_back::Ignored>,
    put_back_delayed: Step<put_back::Rates>,
    backlog: Step<Timestamp>,
}

impl Worklist {
    pub(super) fn new(dialect: Dialect) -> Worklist {
        Worklist {
            dialect,
            take_turns: take_turns(dialect),
            take: take::take(dialect),
            facts: facts::facts(dialect),
            page: facts::page(dialect),
            groups: group::groups(dialect),
            last_of: put_back::last_of(dialect),
            revoke: conclude::revoke(dialect),
            evaluated_meanwhile: put_back::evaluated_meanwhile(dialect),
            conclude: conclude::conclude(dialect),
            fail: conclude::fail(dialect),
            put_back: put_back::again(dialect),
            regrouped: put_back::regrouped(dialect),
            naming: put_back::naming(dialect),
            put_back_delayed: put_back::delayed(dialect),
            backlog: backlog::backlog(dialect),
        }
    }

    /// The turn of whoever puts items back without judging: two that put back the same ones would otherwise wait for each other.
    fn turn(&self) -> Option<Statement> {
        self.take_turns.as_ref().map(|step| step.over(&[Turn::Slot(judging_slot(self.dialect))]))
    }

    /// The statements that write down what was judged, in one transaction. Where the database has several writers, those of one account,
    /// one conversion and one click take turns first. Then, of all whose item is still the taker's and whose
    /// conversion is as it was when it was read:
    ///
    /// (0) last events have items whose conversions were changed by others
    /// (1) what the conversions came to is taken out of the totals
    /// (2) they are as they were judged
    /// (3) the first of an account's deposits is told from the others
    /// (4) what they come to now is put into the totals
    /// (5) items are put back of what has to be judged again on account of it
    /// (6) the items are settled
    /// (7) others of their groups, of those that they were in, and those that name an event without a conversion, are judged again where
    ///     they have to be, and nobody judges them by older facts
    fn conclusions(&self, lease: &Lease, conclusions: Vec<Conclusion>) -> Vec<Statement> {
        let slot = judging_slot(self.dialect);
        let ignored = conclusions.iter().filter(|concluded| concluded.judged.is_none());
        let ignored: Vec<_> = ignored
            .map(|concluded| put_back::Ignored { event_id: concluded.item.event_id.clone(), at: lease.now })
            .collect();
        let (conclusions, superseded) = conclude::part_superseded(conclusions, lease);
        let (put_back, confirmed) = of_others(lease, &conclusions);
        let regrouped: Vec<_> = conclusions.iter().filter_map(|concluded| regrouped(lease, concluded)).collect();
        let rows: Vec<_> = conclusions.into_iter().map(|concluded| Row::of(concluded, lease, slot)).collect();
        let turns: Vec<_> = std::iter::once(Turn::Slot(slot)).chain(rows.iter().flat_map(Row::turns)).collect();
        let mut statements: Vec<_> = self.take_turns.iter().map(|step| step.over(&turns)).collect();
        if !superseded.is_empty() {
            statements.push(self.last_of.over(&superseded));
        }
        statements.extend(self.conclude.iter().map(|step| step.over(&rows)));
        if !put_back.is_empty() {
            statements.push(self.put_back.over(&put_back));
        }
        if !regrouped.is_empty() {
            statements.push(self.regrouped.over(&regrouped));
        }
        if !ignored.is_empty() {
            statements.push(self.naming.over(&ignored));
        }
        if !confirmed.is_empty() {
            statements.push(self.revoke.over(&confirmed));
            statements.push(self.evaluated_meanwhile.over(&confirmed));
        }
        statements
    }
}

/// The others of the groups of what was judged, each once: what has to be evaluated again, and what nobody may write by older facts. What is
/// judged here goes by the same facts.
fn of_others(lease: &Lease, conclusions: &[Conclusion]) -> (Vec<Again>, Vec<conclude::Confirmed>) {
    let judged = conclusions.iter().filter_map(|conclusion| conclusion.judged.as_ref());
    let judged: HashSet<_> =
        judged.map(|(facts, _)| (facts.conversion.conversion_key.as_str(), facts.conversion.occurrence)).collect();
    let others = conclusions.iter().flat_map(|conclusion| &conclusion.others);
    let others: BTreeMap<_, _> = others
        .map(|other| ((other.conversion_key.as_str(), other.occurrence), other))
        .filter(|(conversion, _)| !judged.contains(conversion))
        .collect();
    let again = |other: &&Other| Again {
        event_id: other.event_id.clone(),
        conversion_key: other.conversion_key.clone(),
        due_at: lease.now,
    };
    let confirmed = |other: &&Other| conclude::Confirmed {
        event_id: other.event_id.clone(),
        conversion_key: other.conversion_key.clone(),
        occurrence: other.occurrence,
        processed_at: other.processed_at,
        claim_id: lease.id.clone(),
        at: lease.now,
    };
    let (outdated, up_to_date): (Vec<_>, Vec<_>) =
        others.into_values().partition(|other| other.standing == Standing::Outdated);
    (outdated.iter().map(again).collect(), up_to_date.iter().map(confirmed).collect())
}

/// A conversion that others are balanced with, or were: None where none can be.
fn regrouped(lease: &Lease, conclusion: &Conclusion) -> Option<put_back::Regrouped> {
    let (facts, judged) = conclusion.judged.as_ref()?;
    let before = facts.judged.as_ref().and_then(|before| before.refund_of.clone());
    let left = before.filter(|before| judged.refund_of.as_ref() != Some(before));
    let is_needed = left.is_some() || facts.marks.has_returns;
    is_needed.then(|| put_back::Regrouped {
        conversion_key: facts.conversion.conversion_key.clone(),
        conversion_id: facts.conversion.conversion_id.clone(),
        is_return: Event::parse(&facts.conversion.event).is_some_and(|event| event.takes_money_back()),
        left_key: left.map(|sale| sale.conversion_key),
        at: lease.now,
    })
}

/// The statement that says how much there is to do, for whoever looks at a database that is not opened as a store.
#[cfg(not(target_family = "wasm"))]
pub(super) fn count(dialect: Dialect, now: Timestamp) -> Statement {
    backlog::backlog(dialect).over(&[now])
}

/// What it says.
#[cfg(not(target_family = "wasm"))]
pub(super) fn counted(answers: Vec<(String, String)>) -> Result<Backlog, StoreError> {
    backlog::read_answers(answers)
}

impl std::fmt::Debug for Worklist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worklist").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

impl Store {
    /// Takes items that are due: each is the lease's until it ends.
    ///
    /// # Errors
    /// None was taken, or, when time ran out, that is not known: those that were are due again when the lease ends.
    pub async fn take_items(&self, lease: &Lease) -> Result<Vec<Item>, StoreError> {
        let statement = self.worklist().take.over(std::slice::from_ref(lease));
        take::taken(self.run_within(&TAKING, vec![statement]).await?)
    }

    /// What items' conversions are judged by. An event that made no revision of one has no facts.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn facts_of(&self, items: &[Item]) -> Result<HashMap<String, Facts>, StoreError> {
        let done = self.of_items(vec![self.worklist().facts.over(items)]).await?;
        facts::by_event(done)
    }

    /// What the next conversions are judged by and how they were judged, each with the last event that made it what it is, in the
    /// order of their keys: at most [`PAGE`]; fewer are the last.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn facts_after(&self, after: &After) -> Result<Vec<(String, Facts)>, StoreError> {
        facts::read(self.of_items(vec![self.worklist().page.over(std::slice::from_ref(after))]).await?)
    }

    /// The groups of these conversion ids: all that is balanced together.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn groups_of(&self, ids: &[String]) -> Result<GroupsRead, StoreError> {
        if ids.is_empty() {
            return Ok(GroupsRead::default());
        }
        group::read(self.of_items(vec![self.worklist().groups.over(ids)]).await?)
    }

    /// Has conversions judged again.
    ///
    /// # Errors
    /// None is, because of this.
    pub async fn put_back(&self, conversions: &[Again]) -> Result<(), StoreError> {
        let worklist = self.worklist();
        let statements = worklist.turn().into_iter().chain([worklist.put_back.over(conversions)]).collect();
        self.of_items(statements).await.map(|_| ())
    }

    /// Writes down what was judged, as the contract above says. Answers what the database found of deposits: by the event of an item, the
    /// codes of its conversion as a JSON list.
    ///
    /// # Errors
    /// Nothing was written, or, when time ran out, that is not known: the items are due again when the lease ends.
    pub async fn conclude_items(
        &self,
        lease: &Lease,
        conclusions: Vec<Conclusion>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let done = self.of_items(self.worklist().conclusions(lease, conclusions)).await?;
        Ok(done.into_iter().flat_map(|done| done.answers).collect())
    }

    /// Puts an item off, or gives it up, because it could not be done.
    ///
    /// # Errors
    /// As [`Store::conclude_items`].
    pub async fn fail_item(&self, failure: Failure) -> Result<(), StoreError> {
        let failures = [failure];
        let statements = self.worklist().fail.iter().map(|step| step.over(&failures)).collect();
        self.of_items(statements).await.map(|_| ())
    }

    /// Makes items due that have waited for rates since before an instant; answers how many.
    ///
    /// # Errors
    /// None is due because of this.
    pub async fn put_back_delayed(&self, delayed_before: Timestamp, now: Timestamp) -> Result<u64, StoreError> {
        let rates = put_back::Rates { now, delayed_before };
        let worklist = self.worklist();
        let statements = worklist.turn().into_iter().chain([worklist.put_back_delayed.over(&[rates])]).collect();
        let done = self.of_items(statements).await?;
        Ok(done.last().map_or(0, |done| done.changed))
    }

    /// How much there is to do.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn backlog(&self, now: Timestamp) -> Result<Backlog, StoreError> {
        backlog::read(self.of_items(vec![self.worklist().backlog.over(&[now])]).await?)
    }

    /// How many items are due that somebody has taken, and has not put down yet.
    ///
    /// # Errors
    /// The database cannot say.
    #[cfg(not(target_family = "wasm"))]
    pub async fn taken_items(&self, now: Timestamp) -> Result<u64, StoreError> {
        let statement = backlog::taken(self.database().dialect()).over(&[now]);
        backlog::read_taken(self.of_items(vec![statement]).await?)
    }

    fn worklist(&self) -> &Worklist {
        &self.core.worklist
    }

    async fn of_items(&self, statements: Vec<Statement>) -> Result<Vec<super::statement::Done>, StoreError> {
        let database: &Database = self.database();
        in_time(ITEMS_TIMEOUT, database.run(statements, End::Commit)).await
    }
}
