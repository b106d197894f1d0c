//! What each return (refund, chargeback) of a sale counts for, from all conversions of the sale's group. Pure: the result depends on the
//! set of members, their order of receipt, the partner's rules and the rates, and not on the order in which members were stored.
//!
//! Each side of a sale, what the customer paid and what we are paid, is balanced by itself, in the sale's own currency where it states a
//! local amount, and else in dollars.

mod member;
mod balanced;
mod group;
mod ratio;
mod original;
mod came;
mod account;
mod stated;
mod other_side;
mod rest;
mod dollars;
mod counted;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod model;

pub use balanced::{Balanced, Counted};
pub use member::{Kind, Member, NamedSale, Receipt, Reduction, Side, Statement};
pub use postback::partner::{OnExceeding, OtherAmount, RefundRules};

use super::rates::Rates;
use group::Group;

/// Balances a group: the returns of its sales against what came. Answers one result for each member, in their order.
///
/// (1) members are put into their order of receipt
/// (2) each return gets the sale that it takes from
/// (3) stated amounts count as said, or are trimmed
/// (4) the side that a return does not state goes back in proportion
/// (5) returns without any amount take what is left
/// (6) all of it is converted to dollars; what they are more than the sale's dollars is found, or trimmed
/// (7) what each return counts for is added up
pub fn balance(members: &[Member], rules: &RefundRules, rates: &Rates) -> Vec<Balanced> {
    // (1)
    let mut order: Vec<(usize, &Member)> = members.iter().enumerate().collect();
    order.sort_by_key(|(_, member)| (&member.received, &member.conversion_key, member.occurrence));
    let (places, members): (Vec<usize>, Vec<&Member>) = order.into_iter().unzip();
    // (2)
    let originals = original::of_returns(&members);
    let mut group = Group { members: &members, rules, rates, results: vec![Balanced::default(); members.len()] };
    group.name_originals(&originals);
    let mut accounts = account::open(&group);
    // (3)
    stated::enter(&mut group, &originals, &mut accounts);
    // (4)
    let unstated = other_side::enter(&mut group, &originals, &mut accounts);
    // (5)
    rest::enter(&mut group, &originals, &unstated, &mut accounts);
    // (6)
    let converted = dollars::convert(&mut group, &mut accounts);
    // (7)
    counted::add_up(&mut group, &originals, &accounts, &converted);
    group.close_sales(&accounts);
    let mut placed: Vec<(usize, Balanced)> = places.into_iter().zip(group.results).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, result)| result).collect()
}
