//! A group while it is balanced.

use super::super::finding::Finding;
use super::super::rates::Rates;
use super::account::Accounts;
use super::balanced::Balanced;
use super::member::{Kind, Member, Side};
use super::original::Original;
use crate::store::worklist::SaleId;
use postback::partner::RefundRules;
use std::collections::HashMap;

/// A group in its order of receipt, with the results so far. An index is a member's place in that order.
pub(super) struct Group<'a> {
    pub(super) members: &'a [&'a Member],
    pub(super) rules: &'a RefundRules,
    pub(super) rates: &'a Rates,
    pub(super) results: Vec<Balanced>,
}

impl<'a> Group<'a> {
    /// The returns that take part in the balance.
    pub(super) fn returns(&self) -> impl Iterator<Item = (usize, &'a Member)> + use<'a> {
        let all = self.members.iter().copied().enumerate();
        all.filter(|(_, member)| member.is_return() && member.counts())
    }

    pub(super) fn found(&mut self, index: usize, finding: Finding) {
        if let Some(result) = self.results.get_mut(index) {
            if !result.findings.contains(&finding) {
                result.findings.push(finding);
            }
            result.waits_for_rates |= matches!(finding, Finding::RateMissing | Finding::RateProvisional);
        }
    }

    pub(super) fn wait(&mut self, index: usize) {
        if let Some(result) = self.results.get_mut(index) {
            result.waits_for_rates = true;
        }
    }

    pub(super) fn name_originals(&mut self, originals: &HashMap<usize, Original>) {
        for (index, member) in self.members.iter().enumerate().filter(|(_, member)| member.is_return()) {
            let original = originals.get(&index);
            let sale = original.and_then(|original| self.members.get(original.sale));
            if let Some(result) = self.results.get_mut(index) {
                result.original = sale
                    .map(|sale| SaleId { conversion_key: sale.conversion_key.clone(), occurrence: sale.occurrence });
            }
            match (original, sale) {
                (None, _) | (_, None) => self.found(index, Finding::OriginalMissing),
                (Some(_), Some(_)) if !member.counts() => {}
                (Some(_), Some(sale)) if !sale.counts() => self.found(index, Finding::OriginalRejected),
                (Some(original), Some(_)) if original.is_one_of_several() => {
                    self.found(index, Finding::SeveralOriginals);
                }
                (Some(_), Some(_)) => {}
            }
        }
    }

    /// What the returns mean for their sales.
    pub(super) fn close_sales(&mut self, accounts: &Accounts) {
        for ((sale, side), account) in accounts {
            if account.is_unsure() {
                let takers = account.entries.iter().map(|entry| entry.member);
                takers.chain([*sale]).for_each(|index| self.wait(index));
            }
            let is_main = match side {
                Side::Sale => account.came.micros > 0,
                Side::Payout => accounts.get(&(*sale, Side::Sale)).is_none_or(|paid| paid.came.micros == 0),
            };
            let is_chargeback = |index: usize| self.members.get(index).is_some_and(|m| m.kind == Kind::Chargeback);
            let charged_back = account.entries.iter().any(|entry| is_chargeback(entry.member) && entry.takes() > 0);
            let is_gone = account.came.micros > 0 && account.left() == 0;
            if let Some(result) = self.results.get_mut(*sale) {
                result.is_charged_back |= is_main && charged_back && is_gone;
            }
        }
    }
}
