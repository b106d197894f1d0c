//! Which sale each return takes from.

use super::{Kind, Member, NamedSale};
use crate::store::worklist::SaleId;
use std::collections::HashMap;
use std::rc::Rc;

/// The sale of a return, and those that it can be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Original {
    /// The newest received that counts, or else the newest: a stated return takes from it.
    pub sale: usize,
    /// All that it can be of: a return without any amount takes what is left of them.
    pub all: Rc<[usize]>,
}

impl Original {
    /// Whether the return does not say which of several sales it is of.
    pub fn is_one_of_several(&self) -> bool {
        self.all.len() > 1
    }

    /// The original among sales in order of receipt. A sale without any amount is one only where none has any, and a flagged duplicate
    /// only where there are no others: it is a sale told twice, not a second one.
    fn among(members: &[&Member], sales: &[usize]) -> Option<Original> {
        let narrowed = narrow(members, sales, |sale| !sale.states_nothing());
        let narrowed = narrow(members, &narrowed, |sale| !sale.is_duplicate);
        let counts = |index: &&usize| members.get(**index).is_some_and(|sale| sale.counts());
        let sale = *narrowed.iter().rev().find(counts).or(narrowed.last())?;
        Some(Original { sale, all: narrowed.into() })
    }
}

/// The sales for which a condition holds; all of them where it holds for none.
fn narrow(members: &[&Member], sales: &[usize], is_meant: impl Fn(&Member) -> bool) -> Vec<usize> {
    let meant: Vec<usize> =
        sales.iter().copied().filter(|index| members.get(*index).is_some_and(|sale| is_meant(sale))).collect();
    if meant.is_empty() { sales.to_vec() } else { meant }
}

/// The originals of returns, by the return's index, from members in order of receipt. A return whose sale is not known has none: it takes
/// from no other sale than the one that it names.
pub(super) fn of_returns(members: &[&Member]) -> HashMap<usize, Original> {
    let mut all = Vec::new();
    let mut by_key: HashMap<(&str, i64), usize> = HashMap::new();
    for (index, sale) in members.iter().enumerate().filter(|(_, member)| member.kind == Kind::Sale) {
        all.push(index);
        by_key.insert((&sale.conversion_key, sale.occurrence), index);
    }
    let unnamed = Original::among(members, &all);
    let original = |member: &Member| match &member.names {
        NamedSale::Known(SaleId { conversion_key, occurrence }) => {
            let sale = *by_key.get(&(conversion_key.as_str(), *occurrence))?;
            Some(Original { sale, all: [sale].into() })
        }
        NamedSale::Unknown => None,
        NamedSale::Unnamed => unnamed.clone(),
    };
    let returns = members.iter().enumerate().filter(|(_, member)| member.is_return());
    returns.filter_map(|(index, member)| Some((index, original(member)?))).collect()
}
