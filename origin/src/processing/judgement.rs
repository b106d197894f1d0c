//! What a conversion means, by what is known of it. Pure: the same facts, rules and rates give the same judgement.

use super::finding::Finding;
use super::group::{self, Group};
use super::rates::{Rate, Rates};
use crate::store::worklist::{Facts, Judged};
use chrono::NaiveDate;
use postback::event::Event;
use postback::money::Amount;
use postback::partner::{FirstDeposit, OnReversed, Partner};
use postback::status::Status;

/// The currency of reports: senders say it for themselves (`usd_sale_amount`, `usd_payout`), or it is reckoned.
pub const REPORTING_CURRENCY: &str = "USD";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A judgement, and whether it waits for rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is written.
    pub judged: Judged,
    /// Whether rates that are still to come can change it.
    pub waits_for_rates: bool,
}

/// Judges a conversion: whose click it was, under which consent, what it is in the reporting currency, what it goes back of and counts for
/// in the balance of its group, and whether it is a deposit that counts.
pub fn judge(facts: &Facts, group: Option<&Group>, partner: &Partner, rates: &Rates) -> Judgement {
    let mut judging = Judging { facts, rates, judged: Judged::default(), findings: Vec::new(), waits_for_rates: false };
    judging.attribute(partner.attribution_window_days);
    judging.find_consent(partner.consent_required);
    judging.find_history();
    judging.balance(group);
    if !judging.takes_money_back() {
        judging.convert();
    }
    judging.weigh_deposit(partner.first_deposit.as_ref());
    let Judging { mut judged, findings, waits_for_rates, .. } = judging;
    judged.findings = findings.iter().map(|finding| finding.code()).collect();
    // One order, whatever was found first.
    judged.findings.sort_unstable();
    Judgement { judged, waits_for_rates }
}

/// The currencies whose rates a judgement needs, and for which day.
pub fn needs_rates(facts: &Facts, partner: &Partner) -> Option<NaiveDate> {
    let money = &facts.money;
    let is_foreign = |currency: &Option<String>| currency.as_deref().is_some_and(|code| code != REPORTING_CURRENCY);
    let is_converted = money.sale_amount.is_some() && money.usd_sale_amount.is_none() && is_foreign(&money.currency)
        || money.payout.is_some() && money.usd_payout.is_none() && is_foreign(&money.payout_currency);
    let is_weighed = facts.conversion.event == Event::Deposit.name() && partner.first_deposit.is_some();
    (is_converted || is_weighed).then(|| day_of(facts))
}

/// The day in UTC on which a conversion happened.
fn day_of(facts: &Facts) -> NaiveDate {
    facts.conversion.happened_at.to_chrono().date_naive()
}

struct Judging<'a> {
    facts: &'a Facts,
    rates: &'a Rates,
    judged: Judged,
    findings: Vec<Finding>,
    waits_for_rates: bool,
}

impl Judging<'_> {
    fn attribute(&mut self, window_days: Option<u32>) {
        let conversion = &self.facts.conversion;
        self.judged.attribution = match (&conversion.click_id, &self.facts.click) {
            (None, _) => "no_click",
            (Some(_), None) => {
                self.findings.push(Finding::UnknownClick);
                "unknown_click"
            }
            (Some(_), Some(click)) => {
                let after_ms = conversion.happened_at.unix_ms().saturating_sub(click.clicked_at.unix_ms());
                let window_ms = window_days.map(|days| i64::from(days).saturating_mul(DAY_MS));
                if after_ms < 0 {
                    self.findings.push(Finding::ClickAfterConversion);
                } else if window_ms.is_some_and(|window_ms| after_ms > window_ms) {
                    self.findings.push(Finding::ClickTooOld);
                }
                "clicked"
            }
        };
    }

    /// The event's consent holds, because it is the later one; where it says none, the click's.
    fn find_consent(&mut self, is_required: bool) {
        let own = self.facts.conversion.consent_version.as_ref();
        let clicks = self.facts.click.as_ref().and_then(|click| click.consent_version.as_ref());
        if own.is_some() && clicks.is_some() && own != clicks {
            self.findings.push(Finding::ConsentDiffers);
        }
        self.judged.consent = own.or(clicks).cloned();
        if is_required && self.judged.consent.is_none() {
            self.findings.push(Finding::ConsentMissing);
        }
    }

    fn takes_money_back(&self) -> bool {
        Event::parse(&self.facts.conversion.event).is_some_and(|event| event.takes_money_back())
    }

    /// What is odd about how it came to be what it is.
    fn find_history(&mut self) {
        let marks = &self.facts.marks;
        if marks.is_returned {
            self.findings.push(Finding::Returned);
        }
        if marks.is_sale_amount_dropped || marks.is_payout_dropped {
            self.findings.push(Finding::AmountDropped);
        }
        if marks.deposit_times > 1 {
            self.findings.push(Finding::SeveralDeposits);
        }
    }

    /// What the balance of its group says of it.
    fn balance(&mut self, group: Option<&Group>) {
        let Some(result) = group.and_then(|group| group.result_of(self.facts)) else { return };
        self.judged.refund_of.clone_from(&result.original);
        self.judged.counted = group::counted(result);
        self.judged.is_charged_back = result.is_charged_back;
        self.waits_for_rates |= result.waits_for_rates;
        for finding in &result.findings {
            if !self.findings.contains(finding) {
                self.findings.push(*finding);
            }
        }
        if let Some(rate) = &result.rate {
            self.by(rate);
        }
    }

    /// What the sender says in the reporting currency stands. Where it says nothing, the amounts are converted, each from its own currency.
    fn convert(&mut self) {
        let money = &self.facts.money;
        self.judged.fx_sale_amount =
            self.in_dollars(money.sale_amount, money.currency.as_deref(), money.usd_sale_amount);
        self.judged.fx_payout = self.in_dollars(money.payout, money.payout_currency.as_deref(), money.usd_payout);
    }

    /// An amount in the reporting currency, where its sender does not state it.
    fn in_dollars(&mut self, own: Option<Amount>, currency: Option<&str>, dollars: Option<Amount>) -> Option<Amount> {
        let own = own.filter(|_| dollars.is_none())?;
        let Some(currency) = currency else {
            self.find(Finding::CurrencyMissing);
            return None;
        };
        let rate = self.rate(currency, REPORTING_CURRENCY)?;
        let converted = rate.convert(own);
        if converted.is_none() {
            self.find(Finding::AmountOutOfRange);
        }
        // Of two rates the sale's is told.
        if currency != REPORTING_CURRENCY && self.judged.fx_rate.is_none() {
            self.by(&rate);
        }
        converted
    }

    fn by(&mut self, rate: &Rate) {
        let (factor, date) = rate.as_stored();
        (self.judged.fx_rate, self.judged.fx_rate_date) = (Some(factor), Some(date));
    }

    /// A rate on the conversion's day. Where there is none, or only one that may be bettered, that is found and waited for.
    fn rate(&mut self, from: &str, to: &str) -> Option<Rate> {
        let rate = self.rates.between(from, to, day_of(self.facts));
        match &rate {
            None => self.find_once(Finding::RateMissing),
            Some(rate) if !rate.is_final => self.find_once(Finding::RateProvisional),
            Some(_) => {}
        }
        rate
    }

    /// Finds something that rates to come can change.
    fn find_once(&mut self, finding: Finding) {
        self.waits_for_rates = true;
        self.find(finding);
    }

    fn find(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Whether a deposit can be an account's first. Which of those that can it is, the account's others decide.
    fn weigh_deposit(&mut self, rules: Option<&FirstDeposit>) {
        let conversion = &self.facts.conversion;
        if conversion.event != Event::Deposit.name() {
            return;
        }
        let money = &self.facts.money;
        let is_bonus = |rules: &FirstDeposit| {
            let known = &rules.bonus_payment_methods;
            conversion
                .payment_method
                .as_ref()
                .is_some_and(|method| known.iter().any(|bonus| bonus.eq_ignore_ascii_case(method)))
        };
        let is_next = |rules: &FirstDeposit| rules.reversed == OnReversed::Next;
        let weight = if conversion.status.as_deref() == Some(Status::Rejected.name()) {
            "rejected"
        } else if self.facts.marks.is_duplicate {
            "duplicate"
        } else if self.judged.is_charged_back && rules.is_some_and(is_next) {
            "reversed"
        } else if conversion.account_id.is_none() {
            "no_account"
        } else if rules.is_some_and(is_bonus) {
            "bonus"
        } else {
            match money.sale_amount.or(money.usd_sale_amount) {
                None => "no_amount",
                Some(amount) if amount.micros() <= 0 => "zero",
                Some(_) => match rules.map(|rules| self.reaches(rules)) {
                    None | Some(Some(true)) => Judged::COUNTS,
                    Some(Some(false)) => "too_small",
                    Some(None) => "undecided",
                },
            }
        };
        self.judged.deposit = Some(weight);
    }

    /// Whether the deposit comes to the least that counts. None where that cannot be said, for want of a rate or a currency.
    fn reaches(&mut self, rules: &FirstDeposit) -> Option<bool> {
        let money = &self.facts.money;
        let (amount, currency) = match (money.sale_amount, money.currency.as_deref(), money.usd_sale_amount) {
            (Some(amount), Some(currency), _) if currency == rules.currency => (amount, currency),
            (_, _, Some(amount)) => (amount, REPORTING_CURRENCY),
            (Some(amount), Some(currency), None) => (amount, currency),
            (Some(_), None, None) | (None, _, None) => return None,
        };
        let rate = self.rate(currency, &rules.currency)?;
        Some(rate.convert(amount)? >= rules.minimum)
    }
}
