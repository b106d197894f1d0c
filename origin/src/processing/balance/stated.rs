//! Returns with an amount: they count as said, and what they are more than came is found, or trimmed.

use super::super::finding::Finding;
use super::super::judgement::REPORTING_CURRENCY;
use super::super::rates::Rates;
use super::account::{Account, Accounts, Class, Entry, OwnDollars, Worth};
use super::came::{Base, Came};
use super::group::Group;
use super::original::Original;
use super::ratio::{by_rate, magnitude};
use super::{Member, OnExceeding, Side, Statement};
use chrono::NaiveDate;
use postback::money::Amount;
use std::collections::HashMap;

/// Enters what returns state.
pub(super) fn enter(group: &mut Group<'_>, originals: &HashMap<usize, Original>, accounts: &mut Accounts) {
    for (index, member) in group.returns() {
        let Some(original) = originals.get(&index) else { continue };
        for side in Side::ALL.into_iter().filter(|side| member.states(*side)) {
            if let Some(account) = accounts.get_mut(&(original.sale, side)) {
                let entry = entry(account, index, member, side, group.rates);
                account.enter(entry);
            }
        }
    }
    for ((sale, side), account) in accounts {
        account.change(|came, entries| take_dollars_together(came, entries));
        find_reductions(group, *sale, *side, account);
        find_excess(group, *sale, account);
    }
}

fn entry(account: &Account, index: usize, member: &Member, side: Side, rates: &Rates) -> Entry {
    let statement = member.statement(side);
    let is_same = match &account.came.base {
        Base::Local(currency) => statement.currency.is_none() || currency.is_none() || *currency == statement.currency,
        Base::Dollars => false,
    };
    let stated = |class, base, worth| Entry { member: index, class, said: base, base, worth, is_provisional: false };
    match (statement.amount.filter(|_| is_same), own_dollars(statement, member.day, rates)) {
        (Some(local), Ok(own)) if statement.dollars.is_some() => {
            stated(Class::Stated, Ok(magnitude(local)), Worth::Own(own))
        }
        (Some(local), _) => stated(Class::Stated, Ok(magnitude(local)), Worth::ByTheSale),
        // Dollars until `take_dollars_together` converts them.
        (None, Ok(own)) => stated(Class::StatedInDollars, Ok(own.micros), Worth::Own(own)),
        (None, Err(finding)) => stated(Class::StatedInDollars, Err(finding), Worth::Unknown(finding)),
    }
}

/// A statement's dollars: as stated, or by the rate of a day.
///
/// # Errors
/// It has no amount in a currency, there is no rate, or the dollars cannot be stored.
pub(super) fn own_dollars(statement: &Statement, day: NaiveDate, rates: &Rates) -> Result<OwnDollars, Finding> {
    if let Some(dollars) = statement.dollars {
        return Ok(OwnDollars { micros: magnitude(dollars), rate: None });
    }
    let amount = statement.amount.zip(statement.currency.as_deref());
    let (amount, currency) = amount.ok_or(Finding::CurrencyMissing)?;
    let rate = rates.between(currency, REPORTING_CURRENCY, day).ok_or(Finding::RateMissing)?;
    let micros = by_rate(&rate, magnitude(amount))?;
    Ok(OwnDollars { micros, rate: (currency != REPORTING_CURRENCY).then_some(rate) })
}

/// Converts amounts that are known in dollars to the account's base, all of them cumulatively, so that parts of a sale's dollars that add
/// up to all of them add up to all of its base.
fn take_dollars_together(came: &Came, entries: &mut [Entry]) {
    let (mut dollars, mut before) = (0_i128, Ok(0_i128));
    for entry in entries.iter_mut().filter(|entry| entry.class == Class::StatedInDollars) {
        let Ok(own) = entry.base else { continue };
        dollars = dollars.saturating_add(own);
        let now = came.base_of(dollars);
        entry.base = now.and_then(|(now, _)| Ok(now.saturating_sub(before?)));
        let is_own_final = match &entry.worth {
            Worth::Own(own) => own.rate.as_ref().is_none_or(|rate| rate.is_final),
            Worth::ByTheSale | Worth::Unknown(_) => true,
        };
        entry.is_provisional = now.is_ok_and(|(_, is_final)| !is_final || !is_own_final);
        before = now.map(|(now, _)| now);
    }
    close_rounding(came, entries);
    entries.iter_mut().for_each(|entry| entry.said = entry.base);
}

/// Beside local amounts, an amount in dollars can miss what is left of the sale by what the last digit of its dollars is worth. It is
/// what is left then: a millionth of a dollar is no excess.
fn close_rounding(came: &Came, entries: &mut [Entry]) {
    let is_mixed = entries.iter().any(|entry| entry.class == Class::Stated && entry.takes() > 0);
    let dollars = came.dollars.as_ref().map_or(0, |dollars| dollars.micros);
    let Some(last_digit) = came.micros.checked_div(dollars).filter(|_| is_mixed) else { return };
    let digits = i128::try_from(entries.len()).unwrap_or(i128::MAX);
    let taken = entries.iter().fold(0_i128, |sum, entry| sum.saturating_add(entry.takes()));
    let missing = came.micros.saturating_sub(taken);
    if missing.saturating_abs() > last_digit.saturating_add(1).saturating_mul(digits) {
        return;
    }
    let is_meant = |entry: &&mut Entry| entry.class == Class::StatedInDollars && entry.takes() > 0;
    if let Some(entry) = entries.iter_mut().rev().find(is_meant) {
        entry.base = Ok(entry.takes().saturating_add(missing).max(0));
    }
}

/// A sale that was reduced by exactly what a return states may have been taken back twice. Each reduction is held to one return.
fn find_reductions(group: &mut Group<'_>, sale: usize, side: Side, account: &Account) {
    let Some(member) = group.members.get(sale) else { return };
    let mut stated: Vec<&Entry> = account.entries.iter().collect();
    for reduction in member.reductions.iter().filter(|reduction| reduction.side == side) {
        let is_twice = |entry: &&Entry| {
            group.members.get(entry.member).is_some_and(|of| states(of.statement(side), &reduction.by))
        };
        let twice = stated.iter().position(is_twice);
        if let Some(entry) = twice.map(|position| stated.remove(position)) {
            group.found(sale, Finding::ReducedAndRefunded);
            group.found(entry.member, Finding::ReducedAndRefunded);
        }
    }
}

/// Whether a return states exactly what a revision took from its sale, in the same currency. One without a currency is in the sale's.
fn states(stated: &Statement, by: &Statement) -> bool {
    let is_same = |stated: Option<Amount>, by: Option<Amount>| {
        stated.zip(by).is_some_and(|(stated, by)| magnitude(stated) == magnitude(by))
    };
    let (is_in_it, is_in_dollars) = match &stated.currency {
        None => (true, by.amount.is_none()),
        currency => (*currency == by.currency, currency.as_deref() == Some(REPORTING_CURRENCY)),
    };
    is_in_it && is_same(stated.amount, by.amount)
        || is_in_dollars && is_same(stated.amount, by.dollars)
        || is_same(stated.dollars, by.dollars)
}

/// Returns of more than came: the latest received are those that overdraw the sale.
fn find_excess(group: &mut Group<'_>, sale: usize, account: &mut Account) {
    let mut excess = account.taken().saturating_sub(account.came.micros);
    if excess <= 0 {
        return;
    }
    group.found(sale, Finding::RefundExceedsSale);
    account.change(|_, entries| {
        for entry in entries.iter_mut().rev() {
            let over = entry.takes().min(excess);
            if over <= 0 {
                continue;
            }
            excess = excess.saturating_sub(over);
            group.found(entry.member, Finding::RefundExceedsSale);
            match group.rules.exceeding {
                OnExceeding::Flag => {}
                OnExceeding::Cap => {
                    entry.base = Ok(entry.takes().saturating_sub(over));
                    // The dollars that it states are of more than it takes.
                    entry.worth = Worth::ByTheSale;
                }
            }
        }
    });
}
