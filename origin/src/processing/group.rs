//! Balancing the groups of conversions that are evaluated, and which others of a group have to be evaluated again.

use super::balance::{self, Balanced, Kind, NamedSale, Reduction, Side, Statement, balance};
use super::finding::Finding;
use super::judgement::REPORTING_CURRENCY;
use super::rates::{Rate, Rates};
use crate::store::worklist::{Counted, Evaluated, Facts, GroupsRead, Member, Money, Other, Standing};
use crate::store::{Store, StoreError};
use chrono::NaiveDate;
use postback::event::Event;
use postback::money::Amount;
use postback::partner::RefundRules;
use postback::status::Status;
use std::collections::BTreeSet;

/// Findings that a group decides; the others are a conversion's own.
const DECIDED: [Finding; 8] = [
    Finding::OriginalMissing,
    Finding::AmountOfOriginal,
    Finding::NothingLeft,
    Finding::RefundExceedsSale,
    Finding::ReducedAndRefunded,
    Finding::InProportion,
    Finding::SeveralOriginals,
    Finding::OriginalRejected,
];
/// Findings that a group decides of a return besides: it is converted with its sale, and a sale by itself.
const OF_RETURNS: [Finding; 4] =
    [Finding::CurrencyMissing, Finding::RateMissing, Finding::RateProvisional, Finding::AmountOutOfRange];

/// A group and what each of its members counts for.
pub struct Group {
    members: Vec<Member>,
    results: Vec<Balanced>,
}

/// Reads the groups of these conversions, by their conversion ids.
///
/// # Errors
/// The database cannot say.
pub async fn read(store: &Store, facts: impl Iterator<Item = &Facts>) -> Result<GroupsRead, StoreError> {
    let ids: BTreeSet<_> = facts.filter_map(Facts::group_id).collect();
    store.groups_of(&ids.into_iter().map(str::to_owned).collect::<Vec<_>>()).await
}

/// The days whose rates a group needs. Also where dollars are stated beside an amount: zero dollars are no rate.
pub fn days(members: &[Member]) -> impl Iterator<Item = NaiveDate> {
    let is_foreign = |currency: &Option<String>, amount: Option<Amount>| {
        amount.is_some() && currency.as_deref().is_some_and(|code| code != REPORTING_CURRENCY)
    };
    let needs = move |money: &Money| {
        is_foreign(&money.currency, money.sale_amount) || is_foreign(&money.payout_currency, money.payout)
    };
    members.iter().filter(move |member| needs(&member.money)).map(day)
}

fn day(member: &Member) -> NaiveDate {
    member.happened_at.to_chrono().date_naive()
}

impl Group {
    /// Balances a group.
    pub fn new(members: Vec<Member>, rules: &RefundRules, rates: &Rates) -> Group {
        let balanced: Vec<_> = members.iter().map(as_balanced).collect();
        let results = balance(&balanced, rules, rates);
        Group { members, results }
    }

    /// The result for a conversion; none where it is not in the group as it was read.
    pub fn result_of(&self, facts: &Facts) -> Option<&Balanced> {
        self.each().find(|(member, _)| is_of(member, facts)).map(|(_, result)| result)
    }

    /// The others, and whether each is as it was evaluated.
    pub fn others_of(&self, facts: &Facts) -> Vec<Other> {
        let other = |(member, result): (&Member, &Balanced)| Other {
            event_id: member.event_id.clone(),
            conversion_key: member.conversion_key.clone(),
            occurrence: member.occurrence,
            processed_at: member.evaluated.processed_at,
            standing: standing(member, result),
        };
        self.each().filter(|(member, _)| !is_of(member, facts)).map(other).collect()
    }

    fn each(&self) -> impl Iterator<Item = (&Member, &Balanced)> {
        self.members.iter().zip(&self.results)
    }
}

fn is_of(member: &Member, facts: &Facts) -> bool {
    member.conversion_key == facts.conversion.conversion_key && member.occurrence == facts.conversion.occurrence
}

/// Whether a member is as it was evaluated. One that was not evaluated since its last change will be.
fn standing(member: &Member, result: &Balanced) -> Standing {
    // Only a return counts for something in the balance.
    let of_returns = if result.counted.is_some() { &OF_RETURNS[..] } else { &[] };
    let decided: Vec<_> = DECIDED.iter().chain(of_returns).map(|finding| finding.code()).collect();
    let codes = |findings: &[String]| -> BTreeSet<String> {
        findings.iter().filter(|code| decided.contains(&code.as_str())).cloned().collect()
    };
    let found: Vec<_> = result.findings.iter().map(|finding| finding.code().to_owned()).collect();
    // What cannot be read is not as it should be.
    let known = serde_json::from_str::<Vec<String>>(&member.evaluated.findings).ok().map(|findings| codes(&findings));
    let is_as_evaluated = known == Some(codes(&found))
        && member.evaluated.counted == counted(result)
        && member.evaluated.refund_of == result.original
        && has_its_rate(member, result)
        && member.evaluated.is_charged_back == result.is_charged_back;
    if is_as_evaluated || !member.is_processed { Standing::UpToDate } else { Standing::Outdated }
}

/// Whether a return was converted by the rate by which it is now. A sale's is its own.
fn has_its_rate(member: &Member, result: &Balanced) -> bool {
    let Evaluated { fx_rate, fx_rate_date, .. } = &member.evaluated;
    result.counted.is_none() || fx_rate.clone().zip(fx_rate_date.clone()) == result.rate.as_ref().map(Rate::as_stored)
}

/// What a return counts for, as it is stored.
pub fn counted(result: &Balanced) -> Counted {
    let Some(balance::Counted { sale, payout }) = result.counted.clone() else { return Counted::default() };
    Counted {
        sale_amount: sale.amount,
        currency: sale.currency,
        usd_sale_amount: sale.dollars,
        payout: payout.amount,
        payout_currency: payout.currency,
        usd_payout: payout.dollars,
    }
}

fn as_balanced(member: &Member) -> balance::Member {
    let Member { money, .. } = member;
    let kind = match Event::parse(&member.event) {
        Some(Event::Refund) => Kind::Refund,
        Some(Event::Chargeback) => Kind::Chargeback,
        Some(
            Event::Conversion
            | Event::Registration
            | Event::KycApproved
            | Event::Deposit
            | Event::Purchase
            | Event::Lead
            | Event::Install
            | Event::Other(_),
        )
        | None => Kind::Sale,
    };
    balance::Member {
        conversion_key: member.conversion_key.clone(),
        occurrence: member.occurrence,
        kind,
        received: (member.received_at.unix_ms(), member.first_request_id.clone()),
        status: member.status.as_deref().and_then(Status::parse),
        is_duplicate: member.is_duplicate,
        sale: statement_of(money, Side::Sale),
        payout: statement_of(money, Side::Payout),
        day: day(member),
        names: match (&member.named, &member.original_event_id) {
            (Some(sale), _) => NamedSale::Known(sale.clone()),
            (None, Some(_)) => NamedSale::Unknown,
            (None, None) => NamedSale::Unnamed,
        },
        reductions: member.history.as_deref().map(reductions).unwrap_or_default(),
    }
}

/// By how much the revisions of a sale reduced it: the last ones come first.
fn reductions(history: &[Money]) -> Vec<Reduction> {
    let mut reductions = Vec::new();
    for (after, before) in history.iter().zip(history.iter().skip(1)) {
        for side in Side::ALL {
            let [before, after] = [before, after].map(|money| statement_of(money, side));
            reductions.extend(reduction(side, &before, &after));
        }
    }
    reductions
}

fn statement_of(money: &Money, side: Side) -> Statement {
    let (amount, currency, dollars) = match side {
        Side::Sale => (money.sale_amount, &money.currency, money.usd_sale_amount),
        Side::Payout => (money.payout, &money.payout_currency, money.usd_payout),
    };
    Statement { amount, currency: currency.clone(), dollars }
}

/// An amount is held to one in the same currency, and dollars to dollars, also where one of the two is said as an amount in them.
fn reduction(side: Side, before: &Statement, after: &Statement) -> Option<Reduction> {
    let in_dollars = |statement: &Statement| {
        statement.dollars.or(statement.amount.filter(|_| statement.currency.as_deref() == Some(REPORTING_CURRENCY)))
    };
    let less = |before: Option<Amount>, after: Option<Amount>| {
        let micros = before?.micros().checked_sub(after?.micros()).filter(|micros| *micros > 0)?;
        Amount::from_micros(micros)
    };
    let amount = less(before.amount, after.amount).filter(|_| before.currency == after.currency);
    let dollars = less(in_dollars(before), in_dollars(after));
    let by = Statement { amount, currency: after.currency.clone(), dollars };
    (amount.is_some() || dollars.is_some()).then_some(Reduction { side, by })
}
