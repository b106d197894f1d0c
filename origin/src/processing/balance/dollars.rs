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

/// Dollars by return, in order of receipt.
///
/// (1) by the sale's own rate they are converted cumulatively
/// (2) returns that have no dollars of their own take no more than the others leave of the sale's
/// (3) returns up to the one that exhausts the sale come to exactly its dollars: the one without an amount takes what is left of them, or
///     else the latest received that has none of its own
fn dollars(account: &Account) -> Vec<(usize, Result<i128, Finding>)> {
    let mut entries: Vec<&Entry> = account.entries.iter().collect();
    entries.sort_by_key(|entry| entry.member);
    // (1)
    let (mut taken, mut before) = (0_i128, Ok(0_i128));
    let mut exhausting = None;
    let mut all = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        taken = taken.saturating_add(entry.takes());
        if exhausting.is_none() && taken >= account.came.micros && taken > 0 {
            exhausting = Some((place, taken));
        }
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
    // What comes behind the exhausting one is too much, and converted as it is.
    let (end, taken) = exhausting.map_or((entries.len(), 0), |(place, taken)| (place.saturating_add(1), taken));
    let whole = account.came.dollars_of(taken.max(account.came.micros));
    if let (Some(entries), Some(all), Ok(whole)) = (entries.get(..end), all.get_mut(..end), whole) {
        hold_to(whole, entries, all);
        if exhausting.is_some() {
            take_what_is_left(whole, entries, all);
        }
    }
    all
}

/// (2)
fn hold_to(whole: i128, entries: &[&Entry], all: &mut [(usize, Result<i128, Finding>)]) {
    let own = entries.iter().filter_map(|entry| entry.own_dollars()).fold(0_i128, i128::saturating_add);
    let mut left = whole.saturating_sub(own).max(0);
    let by_the_sale = entries.iter().zip(all).filter(|(entry, _)| matches!(entry.worth, Worth::ByTheSale));
    for dollars in by_the_sale.filter_map(|(_, (_, dollars))| dollars.as_mut().ok()) {
        *dollars = left.min(*dollars);
        left = left.saturating_sub(*dollars);
    }
}

/// (3)
fn take_what_is_left(whole: i128, entries: &[&Entry], all: &mut [(usize, Result<i128, Finding>)]) {
    let is_by_the_sale = |entry: &&Entry| entry.takes() > 0 && matches!(entry.worth, Worth::ByTheSale);
    let rest = entries.iter().position(|entry| is_by_the_sale(entry) && entry.class == Class::Rest);
    let Some(taker) = rest.or_else(|| entries.iter().rposition(is_by_the_sale)) else { return };
    let others = all.iter().enumerate().filter(|(index, _)| *index != taker);
    let others: Result<i128, Finding> =
        others.map(|(_, (_, dollars))| *dollars).try_fold(0_i128, |sum, dollars| Ok(sum.saturating_add(dollars?)));
    if let (Ok(others), Some((_, dollars))) = (others, all.get_mut(taker)) {
        *dollars = Ok(whole.saturating_sub(others).max(0));
    }
}

/// Dollars that returns have of their own may be more than those of the sale, beyond what they take too much of its base: that is found
/// already. The latest received are those that overdraw it. A millionth of a dollar for each return is rounding.
fn find_excess(group: &mut Group<'_>, sale: usize, account: &mut Account, all: &mut [(usize, Result<i128, Finding>)]) {
    let Ok(whole) = account.came.dollars_of(account.taken().max(account.came.micros)) else { return };
    let known = || all.iter().filter_map(|(_, dollars)| dollars.ok()).filter(|dollars| *dollars > 0);
    let mut excess = known().fold(0_i128, i128::saturating_add).saturating_sub(whole);
    if excess <= i128::try_from(known().count()).unwrap_or(i128::MAX) {
        return;
    }
    let is_final = account.came.has_final_rate();
    for (member, dollars) in all.iter_mut().rev() {
        let Some(own) = account.own_dollars_of(*member) else { continue };
        let over = own.min(excess);
        if over <= 0 {
            continue;
        }
        excess = excess.saturating_sub(over);
        group.found(sale, Finding::RefundExceedsSale);
        group.found(*member, Finding::RefundExceedsSale);
        match group.rules.exceeding {
            OnExceeding::Flag => {}
            OnExceeding::Cap => {
                *dollars = Ok(own.saturating_sub(over));
                account.trim_dollars(*member);
                if !is_final {
                    group.found(*member, Finding::RateProvisional);
                }
            }
        }
    }
}
