//! What each return counts for, added up from what it takes of all accounts.

use super::super::finding::Finding;
use super::super::rates::{Rate, Rates};
use super::account::{Account, Accounts, Entry, Worth};
use super::came::Base;
use super::dollars::Converted;
use super::group::Group;
use super::original::Original;
use super::ratio::{going_back, magnitude, ratio};
use super::stated::own_dollars;
use super::{Counted, Member, Side, Statement};
use postback::money::Amount;
use std::collections::HashMap;

/// One thing that a return takes.
struct Part {
    /// Its magnitude in micro-units of `currency`; None where it has no local amount.
    local: Option<i128>,
    currency: Option<String>,
    /// Its magnitude in micro-units of dollars.
    dollars: Option<i128>,
    /// The rate of the dollars.
    rate: Option<Rate>,
    findings: Vec<Finding>,
}

impl Part {
    fn is_zero(&self) -> bool {
        self.local.unwrap_or(0) == 0 && self.dollars == Some(0)
    }
}

/// Writes what each return counts for.
pub(super) fn add_up(
    group: &mut Group<'_>,
    originals: &HashMap<usize, Original>,
    accounts: &Accounts,
    converted: &Converted,
) {
    let mut parts: HashMap<(usize, Side), Vec<Part>> = HashMap::new();
    for ((sale, side), account) in accounts {
        for entry in &account.entries {
            let Some(member) = group.members.get(entry.member) else { continue };
            let dollars = converted.get(&(*sale, *side, entry.member)).copied().unwrap_or(Err(Finding::RateMissing));
            let part = taken(account, entry, member.statement(*side), dollars);
            parts.entry((entry.member, *side)).or_default().push(part);
        }
    }
    let members = group.members;
    for (index, member) in members.iter().enumerate().filter(|(_, member)| member.is_return()) {
        let sale = originals.get(&index).and_then(|original| members.get(original.sale));
        let takes_nothing = !member.counts() || sale.is_some_and(|sale| !sale.counts());
        let mut of_side = |side: Side| {
            if takes_nothing {
                return nothing(member.statement(side), sale.map(|sale| sale.statement(side)));
            }
            let parts = parts.remove(&(index, side)).unwrap_or_else(|| as_said(member, side, group.rates));
            add(group, index, parts)
        };
        let counted = Counted { sale: of_side(Side::Sale), payout: of_side(Side::Payout) };
        if let Some(result) = group.results.get_mut(index) {
            result.counted = Some(counted);
        }
    }
}

/// Nothing, on a side.
fn nothing(own: &Statement, sale: Option<&Statement>) -> Statement {
    let zero = Amount::from_micros(0);
    let currency = sale.and_then(|sale| sale.currency.clone()).or_else(|| own.currency.clone());
    Statement { amount: zero, currency, dollars: zero }
}

/// What a return takes of an account.
fn taken(account: &Account, entry: &Entry, own: &Statement, dollars: Result<i128, Finding>) -> Part {
    let mut findings: Vec<Finding> = entry.base.err().into_iter().chain(dollars.err()).collect();
    let own_amount = own.amount.map(magnitude);
    let (local, currency) = match (&account.came.base, entry.base) {
        (Base::Local(currency), Ok(base)) => (Some(base), currency.clone().or_else(|| own.currency.clone())),
        (Base::Dollars, Ok(base)) if Ok(base) != entry.said => {
            // What is trimmed in dollars is trimmed as much in its own currency.
            let trimmed = own_amount.and_then(|amount| ratio(amount, base, entry.said.unwrap_or(0)));
            (trimmed, own.currency.clone().filter(|_| own_amount.is_some()))
        }
        (Base::Dollars, Ok(_)) | (_, Err(_)) => (own_amount, own.currency.clone().filter(|_| own_amount.is_some())),
    };
    let (rate, is_final) = match &entry.worth {
        Worth::Own(own) => (own.rate.clone(), own.rate.as_ref().is_none_or(|rate| rate.is_final)),
        Worth::ByTheSale if entry.takes() > 0 => {
            let rate = account.came.dollars.as_ref().ok().and_then(|dollars| dollars.rate.clone());
            (rate, account.came.has_final_rate())
        }
        Worth::ByTheSale | Worth::Unknown(_) => (None, true),
    };
    if !is_final || entry.is_provisional {
        findings.push(Finding::RateProvisional);
    }
    Part { local, currency, dollars: dollars.ok(), rate, findings }
}

/// What a return states on a side of which nothing is known to have come.
fn as_said(member: &Member, side: Side, rates: &Rates) -> Vec<Part> {
    if !member.states(side) {
        return Vec::new();
    }
    let own = member.statement(side);
    let local = own.amount.map(magnitude);
    let currency = own.currency.clone().filter(|_| local.is_some());
    let (own, finding) = match own_dollars(own, member.day, rates) {
        Ok(own) => {
            let is_final = own.rate.as_ref().is_none_or(|rate| rate.is_final);
            (Some(own), (!is_final).then_some(Finding::RateProvisional))
        }
        Err(finding) => (None, Some(finding)),
    };
    let dollars = own.as_ref().map(|own| own.micros);
    let rate = own.and_then(|own| own.rate);
    vec![Part { local, currency, dollars, rate, findings: finding.into_iter().collect() }]
}

/// Adds parts up. Local amounts are added where all are in one currency; nothing more than zero is in any.
fn add(group: &mut Group<'_>, index: usize, parts: Vec<Part>) -> Statement {
    for finding in parts.iter().flat_map(|part| &part.findings) {
        group.found(index, *finding);
    }
    if let Some(result) = group.results.get_mut(index)
        && result.rate.is_none()
    {
        result.rate = parts.iter().find_map(|part| part.rate.clone());
    }
    let is_all_zero = parts.iter().all(Part::is_zero);
    let relevant: Vec<&Part> = if is_all_zero {
        parts.iter().take(1).collect()
    } else {
        parts.iter().filter(|part| !part.is_zero()).collect()
    };
    let Some(first) = relevant.first() else { return Statement::default() };
    let add = |sum: Option<i128>, next: Option<i128>| sum?.checked_add(next?);
    let is_one_currency = relevant.iter().all(|part| part.currency == first.currency && part.local.is_some());
    let local = relevant.iter().map(|part| part.local).fold(Some(0), add).filter(|_| is_one_currency);
    let dollars = relevant.iter().map(|part| part.dollars).fold(Some(0), add);
    let mut amount = |sum: Option<i128>| match sum.map(going_back) {
        Some(Ok(amount)) => Some(amount),
        Some(Err(finding)) => {
            group.found(index, finding);
            None
        }
        None => None,
    };
    let (amount, dollars) = (amount(local), amount(dollars));
    Statement { amount, currency: first.currency.clone().filter(|_| is_one_currency), dollars }
}
