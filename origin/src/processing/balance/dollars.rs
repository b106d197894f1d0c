//! What returns take, in dollars: all of an account together, so that a sale that is wholly returned comes to exactly nothing.

use super::super::finding::Finding;
use super::account::{Account, Accounts, Class, Entry, Worth};
use super::group::Group;
use super::{OnExceeding, Side};
use std::collections::HashMap;

/// Micro-units of dollars that a return takes of a sale's side, by the sale, its side and the return.
pub(super) type Converted = HashMap<(usize, Side, usize), Result<i128, Finding>>;

/// Converts all that returns take. What they take more than came, in dollars alone, is found, or trimmed.
pub(super) fn convert(group: &mut Group<'_>, accounts: &mut Accounts) -> Converted {
    let mut converted = Converted::new();
    for ((sale, side), account) in accounts {
        let mut all = dollars(account);
        find_excess(group, *sale, account, &mut all);
        converted.extend(all.into_iter().map(|(member, dollars)| ((*sale, *side, member), dollars)));
    }
    converted
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

/// Returns up to the one that exhausts the sale come to exactly its dollars, also where some of them state dollars of their own: the return
/// without an amount takes what is left of them, or else the latest received that states none.
fn take_what_is_left(account: &Account, entries: &[&Entry], all: &mut [(usize, Result<i128, Finding>)]) {
    let mut taken = 0_i128;
    let exhausts = |entry: &&Entry| {
        taken = taken.saturating_add(entry.takes());
        taken >= account.came.micros && taken > 0
    };
    let Some(last) = entries.iter().position(exhausts) else { return };
    let (Some(entries), Some(all)) = (entries.get(..=last), all.get_mut(..=last)) else { return };
    let is_by_the_sale = |entry: &&Entry| entry.takes() > 0 && matches!(entry.worth, Worth::ByTheSale);
    let rest = entries.iter().position(|entry| is_by_the_sale(entry) && entry.class == Class::Rest);
    let Some(taker) = rest.or_else(|| entries.iter().rposition(is_by_the_sale)) else { return };
    let others = all.iter().enumerate().filter(|(index, _)| *index != taker);
    let others: Result<i128, Finding> =
        others.map(|(_, (_, dollars))| *dollars).try_fold(0_i128, |sum, dollars| Ok(sum.saturating_add(dollars?)));
    if let (Ok(whole), Ok(others), Some((_, dollars))) = (account.came.dollars_of(taken), others, all.get_mut(taker)) {
        *dollars = Ok(whole.saturating_sub(others).max(0));
    }
}

/// Dollars that returns state may be more than those of the sale, beyond what they take too much of its base: that is found already. The latest
/// received are those that overdraw it.
fn find_excess(
    group: &mut Group<'_>,
    sale: usize,
    account: &mut Account,
    all: &mut [(usize, Result<i128, Finding>)],
) {
    let Ok(whole) = account.came.dollars_of(account.taken().max(account.came.micros)) else { return };
    let taken = all.iter().filter_map(|(_, dollars)| dollars.ok()).fold(0_i128, i128::saturating_add);
    let mut excess = taken.saturating_sub(whole);
    if excess <= 0 {
        return;
    }
    group.found(sale, Finding::RefundExceedsSale);
    let is_final = account.came.has_final_rate();
    for (member, dollars) in all.iter_mut().rev() {
        let Ok(takes) = *dollars else { continue };
        let over = takes.min(excess);
        if over <= 0 {
            continue;
        }
        excess = excess.saturating_sub(over);
        group.found(*member, Finding::RefundExceedsSale);
        match group.rules.exceeding {
            OnExceeding::Flag => {}
            OnExceeding::Cap => {
                *dollars = Ok(takes.saturating_sub(over));
                account.trim_dollars(*member);
                if !is_final {
                    group.found(*member, Finding::RateProvisional);
                }
            }
        }
    }
}
