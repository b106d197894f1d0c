//! One side of a sale that counts: what came, and what returns take of it.

use super::super::finding::Finding;
use super::super::rates::Rate;
use super::came::Came;
use super::group::Group;
use super::{Kind, Member, Side};
use std::collections::BTreeMap;

/// The accounts of a group, by the sale's index and side. A side without any amount has none, and neither has a sale that does not count.
pub(super) type Accounts = BTreeMap<(usize, Side), Account>;

/// One side of a sale.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// What came.
    pub came: Came,
    /// What returns take, in the order in which they take it.
    pub entries: Vec<Entry>,
    /// Micro-units of the base that they take together, as far as that is known.
    taken: i128,
    /// Whether it is still to be decided, for want of a rate, how much one of them takes.
    is_undecided: bool,
    /// Whether a return took what was left.
    pub is_emptied: bool,
}

/// Why a return takes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It states it, in the account's base.
    Stated,
    /// It states it in dollars alone, or in another currency.
    StatedInDollars,
    /// It states the other side only.
    InProportion,
    /// It does not state how much.
    Rest,
}

/// What a return takes from an account.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The return's index: its place in the order of receipt.
    pub member: usize,
    /// Why it takes something.
    pub class: Class,
    /// The magnitude as said, in micro-units of the base, or why that cannot be told.
    pub said: Result<i128, Finding>,
    /// What it takes: as said unless trimmed.
    pub base: Result<i128, Finding>,
    /// How it is converted to dollars.
    pub worth: Worth,
    /// Whether a rate that is not final decides how much of the base it takes.
    pub is_provisional: bool,
}

/// Dollars that a return has without its sale.
#[derive(Clone, Debug)]
pub(super) struct OwnDollars {
    /// Micro-units.
    pub micros: i128,
    /// The rate of its own day, where they are not stated but converted.
    pub rate: Option<Rate>,
}

/// How what a return takes is converted to dollars.
#[derive(Clone, Debug)]
pub(super) enum Worth {
    /// It has micro-units of dollars of its own.
    Own(OwnDollars),
    /// By the sale's own rate.
    ByTheSale,
    /// It cannot be.
    Unknown(Finding),
}

impl Entry {
    /// Micro-units of the base that it takes, as far as that is known.
    pub fn takes(&self) -> i128 {
        self.base.unwrap_or(0)
    }

    /// Micro-units of the dollars that it has of its own, where it has any.
    pub fn own_dollars(&self) -> Option<i128> {
        match &self.worth {
            Worth::Own(own) => Some(own.micros),
            Worth::ByTheSale | Worth::Unknown(_) => None,
        }
    }
}

impl Account {
    fn new(came: Came) -> Account {
        Account { came, entries: Vec::new(), taken: 0, is_undecided: false, is_emptied: false }
    }

    /// Enters what a return takes.
    pub fn enter(&mut self, entry: Entry) {
        self.count(&entry);
        self.entries.push(entry);
    }

    fn count(&mut self, entry: &Entry) {
        self.taken = self.taken.saturating_add(entry.takes());
        self.is_undecided |= entry.base == Err(Finding::RateMissing);
        self.is_emptied |= entry.class == Class::Rest;
    }

    /// Changes what returns take, one after the other as `change` wants.
    pub fn change(&mut self, change: impl FnOnce(&Came, &mut Vec<Entry>)) {
        let Account { came, mut entries, .. } = std::mem::replace(self, Account::new(self.came.clone()));
        change(&came, &mut entries);
        entries.into_iter().for_each(|entry| self.enter(entry));
    }

    /// Micro-units of the dollars that a return has of its own, where it has any.
    pub fn own_dollars_of(&self, member: usize) -> Option<i128> {
        self.entries.iter().find(|entry| entry.member == member)?.own_dollars()
    }

    /// What a return has in dollars of its own is more than the sale has left: its dollars are the sale's.
    pub fn trim_dollars(&mut self, member: usize) {
        for entry in self.entries.iter_mut().filter(|entry| entry.member == member) {
            entry.worth = Worth::ByTheSale;
        }
    }

    /// Micro-units of the base that all returns take, as far as that is known.
    pub fn taken(&self) -> i128 {
        self.taken
    }

    /// What is left of what came; zero where returns take more.
    pub fn left(&self) -> i128 {
        self.came.micros.saturating_sub(self.taken()).max(0)
    }

    /// Whether it is still to be decided, for want of a rate, how much a return takes.
    pub fn is_undecided(&self) -> bool {
        self.is_undecided
    }

    /// Whether rates that are still to come can change how much a return takes.
    pub fn is_unsure(&self) -> bool {
        self.is_undecided() || self.entries.iter().any(|entry| entry.is_provisional)
    }
}

/// The accounts of a group's sales.
pub(super) fn open(group: &Group<'_>) -> Accounts {
    let is_counting = |member: &&Member| member.kind == Kind::Sale && member.counts();
    let sales = group.members.iter().copied().enumerate().filter(|(_, member)| is_counting(member));
    let sides = sales.flat_map(|(index, sale)| Side::ALL.map(|side| (index, sale, side)));
    let account = |(index, sale, side): (usize, &Member, Side)| {
        let came = Came::of(sale.statement(side), sale.day, group.rates)?;
        Some(((index, side), Account::new(came)))
    };
    sides.filter_map(account).collect()
}
