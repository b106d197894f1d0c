//! What returns take, in dollars: all of an account together, so that a sale that is wholly returned comes to exactly nothing.

use super::super::finding::Finding;
use super::Side;
use super::account::{Account, Accounts, Class, Entry, Worth};
use std::collections::HashMap;

/// Micro-units of dollars that a return takes of a sale's side, by the sale, its side and the return.
pub(super) type Converted = HashMap<(usize, Side, usize), Result<i128, Finding>>;

/// Converts all that returns take.
pub(super) fn convert(accounts: &Accounts) -> Converted {
    let of_account = |((sale, side), account): (&(usize, Side), &Account)| {
        let (sale, side) = (*sale, *side);
        dollars(account).into_iter().map(move |(member, dollars)| ((sale, side, member), dollars))
    };
    accounts.iter().flat_map(of_account).collect()
}

/// Dollars by return. By the sale's own rate they are converted cumulatively, in order of receipt.
fn dollars(account: &Account) -> Vec<(usize, Result<i128, Finding>)> {
    let mut entries: Vec<&Entry> = account.entries.iter().collect();
    entries.sort_by_key(|entry| entry.member);
    let (mut taken, mut before) = (0_i128, Ok(0_i128));
    let mut all = Vec::new();
    for entry in &entries {
        taken = taken.saturating_add(entry.takes());
        let now = account.came.dollars_of(taken);
        let dollars = match (&entry.worth, entry.base) {
            (Worth::Own(own), _) => Ok(own.micros),
            (Worth::Unknown(finding), _) => Err(*finding),
            (Worth::ByTheSale, Err(finding)) => Err(finding),
            (Worth::ByTheSale, Ok(0)) => Ok(0),
            (Worth::ByTheSale, Ok(_)) => now.and_then(|now| Ok(now.saturating_sub(before?))),
        };
        all.push((entry.member, dollars));
        before = now;
    }
    take_what_is_left(account, &entries, &mut all);
    all
}

/// What exhausts the sale takes exactly the dollars that are left, also where others state dollars of their own: the return that took
/// what was left, or else the latest received.
fn take_what_is_left(account: &Account, entries: &[&Entry], all: &mut [(usize, Result<i128, Finding>)]) {
    let Ok(came) = &account.came.dollars else { return };
    let is_exhausted = account.taken() == account.came.micros && entries.iter().all(|entry| entry.base.is_ok());
    let takes = |entry: &&Entry| entry.takes() > 0;
    let rest = entries.iter().position(|entry| takes(entry) && entry.class == Class::Rest);
    let Some(last) = rest.or_else(|| entries.iter().rposition(takes)).filter(|_| is_exhausted) else { return };
    let is_by_the_sale = entries.get(last).is_some_and(|entry| matches!(entry.worth, Worth::ByTheSale));
    let others = all.iter().enumerate().filter(|(index, _)| *index != last);
    let others: Result<i128, Finding> =
        others.map(|(_, (_, dollars))| *dollars).try_fold(0_i128, |sum, dollars| Ok(sum.saturating_add(dollars?)));
    if let (true, Ok(others), Some((_, dollars))) = (is_by_the_sale, others, all.get_mut(last)) {
        *dollars = Ok(came.micros.saturating_sub(others).max(0));
    }
}
