//! Returns that do not say how much goes back: the first received takes all that is left.

use super::super::finding::Finding;
use super::Side;
use super::account::{Account, Accounts, Class, Entry, Worth};
use super::group::Group;
use super::original::Original;
use std::collections::{HashMap, HashSet};

/// Enters what is left. `unstated` are the returns and sides that are without an amount beside one of the other side.
pub(super) fn enter(
    group: &mut Group<'_>,
    originals: &HashMap<usize, Original>,
    unstated: &HashSet<(usize, Side)>,
    accounts: &mut Accounts,
) {
    let mut found = Vec::new();
    for (index, member) in group.returns() {
        let Some(original) = originals.get(&index) else { continue };
        let is_without = member.states_nothing();
        let mut takes_any = false;
        for side in Side::ALL.into_iter().filter(|side| is_without || unstated.contains(&(index, *side))) {
            // A return that states one side takes from one sale; one that states nothing from each that it can be of.
            let one = [original.sale];
            let sales: &[usize] = if is_without { &original.all } else { &one };
            for sale in sales {
                let Some(account) = accounts.get_mut(&(*sale, side)) else { continue };
                let base = rest(account);
                takes_any |= base != Ok(0);
                let (class, worth) = (Class::Rest, Worth::ByTheSale);
                account.enter(Entry { member: index, class, said: base, base, worth, is_provisional: false });
            }
        }
        if takes_any {
            found.push((index, Finding::AmountOfOriginal));
        } else if is_without && group.members.get(original.sale).is_some_and(|sale| sale.counts()) {
            found.push((index, Finding::NothingLeft));
        }
    }
    found.into_iter().for_each(|(index, finding)| group.found(index, finding));
}

/// All that is left, where none took it before. It is undecided while it is undecided how much the others take.
fn rest(account: &Account) -> Result<i128, Finding> {
    let left = account.left();
    match account.is_undecided() {
        _ if left == 0 || account.is_emptied => Ok(0),
        true => Err(Finding::RateMissing),
        false => Ok(left),
    }
}
