//! Returns that state only one of sale and payout: the other goes back in proportion.

use super::super::finding::Finding;
use super::account::{Account, Accounts, Class, Entry, Worth};
use super::group::Group;
use super::original::Original;
use super::ratio::ratio;
use super::{OtherAmount, Side};
use std::collections::{HashMap, HashSet};

/// Enters what goes back in proportion. Answers the returns and sides of which no proportion can be made, because nothing is known to have
/// come on the side that they state: how much of the other they take is not said.
pub(super) fn enter(
    group: &mut Group<'_>,
    originals: &HashMap<usize, Original>,
    accounts: &mut Accounts,
) -> HashSet<(usize, Side)> {
    let mut unstated = HashSet::new();
    match group.rules.other_amount {
        OtherAmount::Stated => return unstated,
        OtherAmount::InProportion => {}
    }
    let entries =
        accounts.iter().flat_map(|((_, side), account)| account.entries.iter().map(move |entry| (*side, entry)));
    let stated: HashMap<(usize, Side), Entry> =
        entries.map(|(side, entry)| ((entry.member, side), entry.clone())).collect();
    // What the returns before took of the side that they state, by sale and side.
    let mut returned: HashMap<(usize, Side), i128> = HashMap::new();
    let mut found = Vec::new();
    for (index, member) in group.returns() {
        let Some(sale) = originals.get(&index).map(|original| original.sale) else { continue };
        for side in Side::ALL.into_iter().filter(|side| member.states(*side)) {
            let takes = stated.get(&(index, side));
            let came = accounts.get(&(sale, side)).map_or(0, |account| account.came.micros);
            let before = returned.entry((sale, side)).or_default();
            let from = *before;
            *before = from.saturating_add(takes.map_or(0, Entry::takes));
            let Some(other) = accounts.get_mut(&(sale, side.other())) else { continue };
            if member.states(side.other()) {
                continue;
            }
            let Some(takes) = takes.filter(|_| came > 0) else {
                unstated.insert((index, side.other()));
                continue;
            };
            if other.came.micros > 0 {
                found.push(index);
            }
            let base = takes.base.and_then(|_| share(other, came, from, *before));
            let is_provisional = takes.is_provisional;
            let class = Class::InProportion;
            let worth = Worth::ByTheSale;
            other.enter(Entry { member: index, class, said: base, base, worth, is_provisional });
        }
    }
    found.into_iter().for_each(|index| group.found(index, Finding::InProportion));
    unstated
}

/// What goes back of the other side when what was returned of a side goes from one sum to another: never more than is left. The return
/// that returns the last of the one returns all that is left of the other.
fn share(other: &Account, came: i128, from: i128, to: i128) -> Result<i128, Finding> {
    let left = other.left();
    if from < came && came <= to && !other.is_undecided() {
        return Ok(left);
    }
    let all = |returned: i128| ratio(other.came.micros, returned, came).ok_or(Finding::AmountOutOfRange);
    Ok(all(to)?.saturating_sub(all(from)?).min(left))
}
