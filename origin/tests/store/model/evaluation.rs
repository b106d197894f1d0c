//! What conversions are evaluated to, in memory: written from docs/processing.md and the statistics of docs/api.md, one rule after the
//! other, and not from the code. Amounts in millionths; what goes back is above zero here until it is told. No clicks, no consents, no
//! amounts out of range.

use super::{Conversion, Event, Money};
use chrono::{Days, NaiveDate};
use postback::money::Amount;
use std::collections::{BTreeMap, BTreeSet};

/// What is odd about a conversion to dollars.
const BY_RATE: [&str; 3] = ["rate_missing", "rate_provisional", "currency_missing"];

/// Rates to the euro, in millionths, by day and currency.
pub type Rates = BTreeMap<NaiveDate, BTreeMap<&'static str, i128>>;

/// What the partner's file says, and the rates that are known.
pub struct Rules {
    pub rates: Rates,
    /// The least first deposit, in dollars.
    pub minimum: i128,
    pub bonus: &'static str,
    pub caps: bool,
    pub is_in_proportion: bool,
    pub is_next_first: bool,
}

/// What one side of a conversion counts for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    pub local: Option<i128>,
    pub currency: Option<String>,
    pub dollars: Option<i128>,
}

/// A conversion, and what it was evaluated to.
pub struct Evaluated<'a> {
    pub key: &'a str,
    pub occurrence: usize,
    pub conversion: &'a Conversion,
    pub attribution: &'static str,
    pub deposit: Option<&'static str>,
    pub sale: Option<(&'a str, usize)>,
    pub sides: [Side; 2],
    pub is_charged_back: bool,
    pub findings: BTreeSet<&'static str>,
    /// Whether anything was counted of a side. What is known of none is not what is not counted.
    is_counted: [bool; 2],
    at_ms: i64,
}

/// To the nearest, half to the even digit.
fn divided(numerator: i128, denominator: i128) -> i128 {
    let (floor, rest) = (numerator.div_euclid(denominator), numerator.rem_euclid(denominator));
    let is_up = rest * 2 > denominator || (rest * 2 == denominator && floor % 2 != 0);
    floor + i128::from(is_up)
}

fn micros(text: impl AsRef<str>) -> i128 {
    Amount::parse(text.as_ref()).unwrap().micros().into()
}

fn day(at_ms: i64) -> NaiveDate {
    chrono::DateTime::from_timestamp_millis(at_ms).unwrap().date_naive()
}

impl Rules {
    /// The amount by the rate of the day or of the last one before, of fifteen significant digits; and whether it is provisional.
    fn converted(&self, amount: i128, from_code: &str, to_code: &str, day: NaiveDate) -> Option<(i128, bool)> {
        if from_code == to_code {
            return Some((amount, false));
        }
        let week = day.checked_sub_days(Days::new(7)).unwrap()..=day;
        let (of, from, to) = self.rates.range(week).rev().find_map(|(of, rates)| {
            let per_euro =
                |currency: &str| if currency == "EUR" { Some(1_000_000) } else { rates.get(currency).copied() };
            Some((*of, per_euro(from_code)?, per_euro(to_code)?))
        })?;
        let scale = (0..).map(|digits| 10_i128.pow(digits)).find(|scale| to * scale / from >= 10_i128.pow(14)).unwrap();
        let is_known = |currency| {
            let days = self.rates.iter().filter(|(_, rates)| rates.contains_key(currency));
            currency == "EUR" || days.map(|(known, _)| *known).max() >= Some(day)
        };
        let a_week_later = day.checked_add_days(Days::new(7));
        let is_provisional =
            of < day && !(is_known(from_code) && is_known(to_code)) && self.rates.keys().copied().max() < a_week_later;
        Some((divided(amount * divided(to * scale, from), scale), is_provisional))
    }

    /// A statement's dollars, stated or converted, and what is odd about them.
    fn dollars(&self, money: &Money, day: NaiveDate) -> (Option<i128>, Option<&'static str>) {
        match (&money.dollars, &money.local, &money.currency) {
            (Some(dollars), ..) => (Some(micros(dollars)), None),
            (None, None, _) => (None, None),
            (None, Some(_), None) => (None, Some("currency_missing")),
            (None, Some(local), Some(currency)) => match self.converted(micros(local), currency, "USD", day) {
                Some((dollars, is_provisional)) => (Some(dollars), is_provisional.then_some("rate_provisional")),
                None => (None, Some("rate_missing")),
            },
        }
    }

    /// What returns state of one side, in the currency of its balance: other currencies by way of dollars and the sale's own rate, all of
    /// them together, so that parts of all dollars take all. None of what waits for a rate.
    fn in_balance(&self, stated: &[Option<(&Money, NaiveDate)>], sale: &Side, of: NaiveDate) -> Vec<Option<i128>> {
        let came = sale.local.or(sale.dollars).unwrap_or(0);
        let in_base = |dollars: i128| match (sale.local, sale.dollars?) {
            (None, _) => Some(dollars),
            // No dollars imply no rate: that of the sale's day.
            (Some(_), 0) => Some(self.converted(dollars, "USD", sale.currency.as_deref()?, of)?.0),
            (Some(came), all) => Some(divided(came * dollars, all)),
        };
        let is_local = |money: &Money| money.local.is_some() && sale.is_in(money);
        let mut dollars = 0;
        let mut takes: Vec<_> = stated
            .iter()
            .map(|stated| match stated {
                Some((money, _)) if is_local(money) => Some(micros(money.local.as_ref()?).abs()),
                Some((money, day)) => {
                    let before = in_base(dollars)?;
                    dollars += self.dollars(money, *day).0?.abs();
                    Some(in_base(dollars)? - before)
                }
                None => None,
            })
            .collect();
        // Beside local amounts, a millionth of a dollar that is missing for each return is no difference.
        let is_local = |at: usize| stated[at].is_some_and(|(money, _)| is_local(money));
        let missing = came - takes.iter().flatten().sum::<i128>();
        let is_mixed = (0..takes.len()).any(|at| is_local(at) && takes[at] > Some(0));
        let last = (0..takes.len()).rev().find(|at| !is_local(*at) && takes[*at] > Some(0));
        let digit = sale.dollars.filter(|dollars| *dollars > 0).map(|dollars| came / dollars + 1);
        if let (true, Some(last), Some(digit)) = (is_mixed, last, digit)
            && missing.abs() <= digit * i128::try_from(stated.iter().flatten().count()).unwrap()
        {
            takes[last] = takes[last].map(|own| (own + missing).max(0));
        }
        takes
    }
}

impl Side {
    /// Whether it is in the currency that a return states, or that a return without any means; a sale without one is in any.
    fn is_in(&self, money: &Money) -> bool {
        self.local.is_some() && (money.currency.is_none() || self.currency.is_none() || money.currency == self.currency)
    }
}

impl Evaluated<'_> {
    fn says(&self, name: &str) -> Option<&str> {
        self.conversion.says.get(name).map(String::as_str)
    }

    pub fn deposit_account(&self) -> Option<&str> {
        self.says("account_id").filter(|_| matches!(self.deposit, Some("first" | "repeat")))
    }

    fn is_return(&self) -> bool {
        matches!(self.says("event"), Some("refund" | "chargeback"))
    }

    fn is_rejected(&self) -> bool {
        self.says("status") == Some("rejected")
    }

    fn counts(&self) -> bool {
        !self.is_rejected() && !self.conversion.duplicate
    }

    fn money(&self) -> [&Money; 2] {
        [&self.conversion.sale, &self.conversion.payout]
    }

    fn has_amounts(&self) -> bool {
        self.money().iter().any(|money| !money.is_empty())
    }

    fn day(&self) -> NaiveDate {
        day(self.at_ms)
    }

    /// A return that counts 0, in the sale's currency, or else in its own.
    fn count_nothing(&mut self, sale: &[Side; 2]) {
        let currencies = [0, 1].map(|side| sale[side].currency.clone().or(self.money()[side].currency.clone()));
        self.sides = currencies.map(|currency| Side { local: Some(0), currency, dollars: Some(0) });
        self.findings.retain(|finding| !BY_RATE.contains(finding));
    }

    /// Counts what a return takes of one of its sales.
    fn count(&mut self, side: usize, local: Option<i128>, currency: Option<String>, dollars: Option<i128>) {
        let back = |amount: Option<i128>| amount.map(|amount| -amount);
        let more = Side { local: back(local), currency: local.and(currency), dollars: back(dollars) };
        let known = &mut self.sides[side];
        let is_first = !std::mem::replace(&mut self.is_counted[side], true);
        // Of several sales, one of which nothing is taken says nothing of the currency.
        let is_nothing = |side: &Side| side.dollars == Some(0) && side.local.unwrap_or(0) == 0;
        if is_nothing(&more) && !is_first {
            return;
        }
        if is_first || is_nothing(known) {
            *known = more;
            return;
        }
        let is_one = known.currency == more.currency;
        known.local = known.local.zip(more.local).filter(|_| is_one).map(|(known, more)| known + more);
        known.currency = known.local.and(known.currency.take());
        known.dollars = known.dollars.zip(more.dollars).map(|(known, more)| known + more);
    }
}

/// All conversions, evaluated.
pub fn evaluated<'a>(
    rules: &Rules,
    events: &BTreeMap<String, Event>,
    conversions: &'a BTreeMap<String, Vec<Conversion>>,
) -> Vec<Evaluated<'a>> {
    let mut all = Vec::new();
    for (key, occurrences) in conversions {
        for (occurrence, conversion) in (1..).zip(occurrences) {
            all.push(alone(rules, events, key, occurrence, conversion));
        }
    }
    // In order of receipt, which every rule below goes by.
    all.sort_by_key(|one| one.conversion.began.clone());
    balance(rules, &mut all);
    deposits(rules, &mut all);
    all.sort_by_key(|one| (one.key, one.occurrence));
    all
}

/// A conversion by itself, without its sale or its returns, and without its account's other deposits.
fn alone<'a>(
    rules: &Rules,
    events: &BTreeMap<String, Event>,
    key: &'a str,
    occurrence: usize,
    conversion: &'a Conversion,
) -> Evaluated<'a> {
    let said_at = ["conversion_datetime", "ts_event"].iter().find_map(|name| conversion.says.get(*name));
    let at_ms = said_at.map_or(conversion.began.at_ms, |text| crate::at(text).unix_ms());
    // No history has clicks or consents, and consents are required.
    let is_no_click = !conversion.says.contains_key("click_id");
    let mut findings = BTreeSet::from(["consent_missing"]);
    findings.extend((!is_no_click).then_some("unknown_click"));
    findings.extend(conversion.returned.then_some("returned"));
    findings.extend((conversion.sale.dropped || conversion.payout.dropped).then_some("amount_dropped"));
    let is_ours = |id: &str| {
        id.len() == 36
            && id.strip_prefix("evt_").is_some_and(|rest| rest.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    let of_their_own: BTreeSet<_> = conversion
        .history
        .iter()
        .map(|(event, ..)| &events[event])
        .filter(|event| !is_ours(&event.id) && event.says.get("event").is_some_and(|event| event == "deposit"))
        .filter_map(|event| event.says.get("conversion_datetime").or(event.says.get("ts_event")))
        .collect();
    let is_deposit = conversion.says.get("event").is_some_and(|event| event == "deposit");
    findings.extend((is_deposit && of_their_own.len() > 1).then_some("several_deposits"));
    let sides = [&conversion.sale, &conversion.payout].map(|money| {
        let (dollars, odd) = rules.dollars(money, day(at_ms));
        findings.extend(odd);
        Side { local: money.local.as_ref().map(micros), currency: money.currency.clone(), dollars }
    });
    Evaluated {
        key,
        occurrence,
        conversion,
        attribution: if is_no_click { "no_click" } else { "unknown_click" },
        deposit: None,
        sale: None,
        sides,
        is_charged_back: false,
        findings,
        is_counted: [false; 2],
        at_ms,
    }
}

/// The sales that a return takes from; `all` is in order of receipt.
fn sales_of(all: &[Evaluated<'_>], back: &Evaluated<'_>) -> (Vec<usize>, bool) {
    let sales = all.iter().enumerate().filter(|(_, one)| !one.is_return());
    let mut several: Vec<_> = match back.says("original_event_id") {
        None => sales.filter(|(_, one)| one.says("conversion_id") == back.says("conversion_id")).collect(),
        Some(named) => {
            let is_of = |one: &Evaluated<'_>| {
                let Conversion { history, ignored, .. } = one.conversion;
                ignored.iter().any(|event| event == named) || history.iter().any(|(event, ..)| event == named)
            };
            sales.filter(|(_, one)| is_of(one)).collect()
        }
    };
    // Amounts first: a duplicate that alone has some is the one.
    for is_one in [|one: &Evaluated<'_>| one.has_amounts(), |one: &Evaluated<'_>| !one.conversion.duplicate] {
        if several.iter().any(|(_, one)| is_one(one)) {
            several.retain(|(_, one)| is_one(one));
        }
    }
    let is_unclear = several.len() > 1;
    // Of several, those that are rejected have nothing that could be taken.
    if several.iter().any(|(_, one)| one.counts()) {
        several.retain(|(_, one)| one.counts());
    }
    let newest_first = several.into_iter().map(|(at, _)| at).rev();
    (newest_first.take(if back.has_amounts() { 1 } else { usize::MAX }).collect(), is_unclear)
}

/// Balances every sale with its returns.
fn balance(rules: &Rules, all: &mut [Evaluated<'_>]) {
    let mut backs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in 0..all.len() {
        if !all[at].is_return() {
            continue;
        }
        if !all[at].counts() {
            all[at].count_nothing(&Default::default());
        }
        let (sales, is_unclear) = sales_of(all, &all[at]);
        all[at].sale = sales.first().map(|sale| (all[*sale].key, all[*sale].occurrence));
        let is_unclear = is_unclear && all[at].counts() && sales.iter().any(|sale| all[*sale].counts());
        all[at].findings.extend(is_unclear.then_some("several_originals"));
        if sales.is_empty() {
            all[at].findings.insert("original_missing");
            // What it counts for has a currency where it has an amount in one.
            for side in all[at].sides.iter_mut().filter(|side| side.local.is_none()) {
                side.currency = None;
            }
        } else {
            // They are found anew, of each sale.
            if all[at].counts() {
                all[at].sides = <[Side; 2]>::default();
            }
            let sale = all[sales[0]].sides.clone();
            if !all[at].counts() {
                all[at].count_nothing(&sale);
            }
            all[at].findings.retain(|finding| !BY_RATE.contains(finding));
        }
        for sale in sales {
            backs.entry(sale).or_default().push(at);
        }
    }
    for (sale, backs) in backs {
        balance_one(rules, all, sale, &backs);
    }
    // Of several sales it takes what any has left.
    for one in all.iter_mut().filter(|one| one.findings.contains("amount_of_original")) {
        one.findings.remove("nothing_left");
    }
}

/// What a return takes of one side of its sale, in the currency of the balance.
#[derive(Clone, Copy, Default)]
struct Taking {
    own: i128,
    stated: i128,
    counts: bool,
    is_stated: bool,
    is_trimmed: bool,
    is_open: bool,
    waits: Option<&'static str>,
}

/// The steps of docs/processing.md, "Balance of a sale", for one sale and the returns that take from it.
fn balance_one(rules: &Rules, all: &mut [Evaluated<'_>], sale: usize, backs: &[usize]) {
    let is_gone = !all[sale].counts();
    let backs: Vec<_> = backs.iter().copied().filter(|back| all[*back].counts()).collect();
    let sale_of = all[sale].sides.clone();
    if is_gone {
        for back in backs {
            all[back].count_nothing(&sale_of);
            all[back].findings.insert("original_rejected");
        }
        return;
    }
    let came = [0, 1].map(|side| sale_of[side].local.or(sale_of[side].dollars));
    let mut takings = vec![[Taking::default(); 2]; backs.len()];
    let mut findings = Vec::new();
    for side in [0, 1] {
        let mut gone = 0;
        let says: Vec<_> = backs
            .iter()
            .map(|back| Some((all[*back].money()[side], all[*back].day())).filter(|(money, _)| !money.is_empty()))
            .collect();
        let in_balance = rules.in_balance(&says, &sale_of[side], all[sale].day());
        for (at, back) in backs.iter().enumerate() {
            let (taking, money) = (&mut takings[at][side], all[*back].money()[side]);
            if money.is_empty() {
                continue;
            }
            (taking.is_stated, taking.counts) = (true, true);
            // Where the sale says nothing of a side, there is nothing to compare with.
            let Some(came) = came[side] else { continue };
            let Some(stated) = in_balance[at] else {
                let (dollars, odd) = rules.dollars(money, all[*back].day());
                let (_, of_sale) = rules.dollars(all[sale].money()[side], all[sale].day());
                // Zero dollars are no rate: that of the sale's day is missing.
                let no_rate = if sale_of[side].currency.is_none() { "currency_missing" } else { "rate_missing" };
                taking.waits = if dollars.is_some() { of_sale.or(Some(no_rate)) } else { odd };
                continue;
            };
            taking.is_trimmed = rules.caps && gone + stated > came;
            taking.stated = stated;
            taking.own = if taking.is_trimmed { came - gone } else { stated };
            if gone + stated > came && stated > 0 {
                findings.extend([(sale, "refund_exceeds_sale"), (*back, "refund_exceeds_sale")]);
            }
            gone += taking.own;
        }
    }
    for at in 0..backs.len() {
        let [sale_side, payout_side] = takings[at].map(|taking| taking.is_stated);
        let (stated, other) = if sale_side { (0, 1) } else { (1, 0) };
        match (came[stated], came[other]) {
            _ if sale_side && payout_side => {}
            _ if !sale_side && !payout_side => {
                takings[at] = [Taking { is_open: true, counts: true, ..Taking::default() }; 2]
            }
            (_, None) => {}
            _ if !rules.is_in_proportion => {}
            (Some(all_stated @ 1..), Some(all_other)) => {
                let gone =
                    |side: usize, until: usize| takings[..until].iter().map(|taking| taking[side].own).sum::<i128>();
                let left = (all_other - gone(other, backs.len())).max(0);
                let said = |until: usize| {
                    let said = takings[..until].iter().map(|taking| taking[stated]).filter(|taking| taking.is_stated);
                    said.map(|taking| taking.own).sum::<i128>()
                };
                let is_decided = takings.iter().all(|taking| taking[other].waits.is_none());
                let is_last = is_decided && said(at) < all_stated && said(at + 1) >= all_stated;
                let part = |until: usize| divided(all_other * said(until), all_stated);
                let share = (part(at + 1) - part(at)).min(left);
                let waits = takings[at][stated].waits;
                let own = if is_last { left } else { share };
                takings[at][other] = Taking { own, waits, counts: true, ..Taking::default() };
                findings.extend((all_other > 0).then_some((backs[at], "in_proportion")));
            }
            (None | Some(_), Some(_)) => (takings[at][other].is_open, takings[at][other].counts) = (true, true),
        }
    }
    for side in [0, 1] {
        let waits = takings.iter().find_map(|taking| taking[side].waits).filter(|waits| *waits == "rate_missing");
        let mut left = (came[side].unwrap_or(0) - takings.iter().map(|taking| taking[side].own).sum::<i128>()).max(0);
        for taking in takings.iter_mut().filter(|taking| taking[side].is_open) {
            taking[side].waits = waits.filter(|_| left > 0);
            taking[side].own = std::mem::take(&mut left);
        }
    }
    for (taking, back) in takings.iter().zip(&backs).filter(|(taking, _)| taking[0].is_open || taking[1].is_open) {
        let takes = taking.iter().any(|taking| taking.is_open && taking.own > 0);
        let is_silent = taking.iter().all(|taking| !taking.is_stated);
        findings
            .extend((takes || is_silent).then_some((*back, if takes { "amount_of_original" } else { "nothing_left" })));
    }
    for side in [0, 1] {
        let (came, whole) = (came[side], &sale_of[side]);
        let (_, whole_odd) = rules.dollars(all[sale].money()[side], all[sale].day());
        // Of a sale of nothing it is that of its day.
        let of_day = all[sale].day();
        let by_rate = |gone: i128| match (whole.dollars?, came?, &whole.currency) {
            (_, 0, Some(currency)) => Some(rules.converted(gone, currency, "USD", of_day)?.0),
            (_, 0, None) => Some(gone),
            (dollars, came, _) => Some(divided(dollars * gone, came)),
        };
        let (mut gone, mut rest, mut end, mut converted) = (0, None, None, Vec::new());
        let mut is_own = Vec::new();
        for (at, (taking, back)) in takings.iter().map(|taking| taking[side]).zip(&backs).enumerate() {
            let money = all[*back].money()[side].clone();
            let until = if taking.waits.is_some() { gone } else { gone + taking.own };
            let is_as_stated = taking.is_stated && !taking.is_trimmed;
            let is_other = money.local.is_some() && !whole.is_in(&money);
            // What it takes in the sale's currency goes by the sale's rate.
            let is_by_sale = taking.is_stated && taking.waits.is_none() && (is_other || money.local.is_none());
            // A sale of zero dollars: by the rate of its day, which may be provisional.
            let of_its_day = || {
                let (_, is_provisional) = rules.converted(0, "USD", whole.currency.as_deref()?, all[sale].day())?;
                is_provisional.then_some("rate_provisional")
            };
            let rate_odd = if whole.dollars == Some(0) { of_its_day() } else { whole_odd };
            let by_sale = rate_odd.filter(|_| is_by_sale && whole.local.is_some());
            all[*back].findings.extend(by_sale);
            let (dollars, odd) = if is_as_stated && (money.dollars.is_some() || is_other || came.is_none()) {
                all[*back].findings.extend(taking.waits);
                let (dollars, odd) = rules.dollars(&money, all[*back].day());
                (dollars.map(i128::abs), odd)
            } else if taking.waits.is_some() {
                (None, taking.waits)
            } else if taking.own == 0 {
                (Some(0), None)
            } else {
                rest = rest.or(Some(at).filter(|_| taking.is_open));
                (by_rate(until).zip(by_rate(gone)).map(|(until, gone)| until - gone), whole_odd)
            };
            all[*back].findings.extend(odd.filter(|_| taking.counts && (taking.is_stated || came.is_some())));
            is_own.push(is_as_stated && (money.dollars.is_some() || is_other || came.is_none()));
            converted.push(dollars);
            // Those that take all of it; what comes behind is too much.
            let takes_the_last = came.is_some_and(|came| gone <= came && until >= came && until > 0);
            end = end.or(takes_the_last.then_some((at, until)));
            gone = until;
        }
        let (up_to, all_gone) = end.map_or((converted.len(), 0), |(at, until)| (at + 1, until));
        if let Some(whole) = came.and_then(|came| by_rate(came.max(all_gone))) {
            // Without dollars of their own they take what the others leave.
            let own = (0..up_to).filter(|at| is_own[*at]).filter_map(|at| converted[at]).sum::<i128>();
            let mut left = (whole - own).max(0);
            for at in (0..up_to).filter(|at| !is_own[*at]) {
                converted[at] = converted[at].map(|dollars| dollars.min(left));
                left -= converted[at].unwrap_or(0);
            }
            // All of the sale is all of its dollars.
            let takes = |at: &usize| !is_own[*at] && takings[*at][side].waits.is_none() && takings[*at][side].own > 0;
            let taker = rest.filter(|rest| *rest < up_to).or((0..up_to).rev().find(takes));
            if let (Some(_), Some(taker), true) = (end, taker, converted[..up_to].iter().all(Option::is_some)) {
                let others = converted[..up_to].iter().flatten().sum::<i128>() - converted[taker].unwrap();
                converted[taker] = Some((whole - others).max(0));
            }
        }
        // Dollars of their own may be more than the sale's, beyond what the amounts take too much.
        if let Some(limit) = came.and_then(|came| by_rate(came.max(gone))) {
            let all_known: Vec<_> = converted.iter().flatten().copied().filter(|dollars| *dollars > 0).collect();
            let mut over = all_known.iter().sum::<i128>() - limit;
            if over <= i128::try_from(all_known.len()).unwrap() {
                over = 0;
            }
            for at in (0..converted.len()).rev().filter(|at| is_own[*at]) {
                let Some(dollars) = converted[at].as_mut().filter(|dollars| **dollars > 0 && over > 0) else {
                    continue;
                };
                findings.extend([(sale, "refund_exceeds_sale"), (backs[at], "refund_exceeds_sale")]);
                let more = over.min(*dollars);
                over -= more;
                if rules.caps {
                    *dollars -= more;
                    all[backs[at]].findings.extend(whole_odd);
                }
            }
        }
        for ((taking, back), dollars) in takings.iter().map(|taking| taking[side]).zip(&backs).zip(converted) {
            let back = &mut all[*back];
            let money = back.money()[side].clone();
            if taking.is_stated && (whole.local.is_none() || taking.waits.is_some()) {
                let part =
                    |local: i128| if taking.is_trimmed { divided(local * taking.own, taking.stated) } else { local };
                let local = money.local.as_ref().map(|local| part(micros(local).abs()));
                if taking.is_trimmed && local.is_some() {
                    back.findings.extend(rules.dollars(&money, back.day()).1);
                }
                back.count(side, local, money.currency, dollars);
            } else if taking.counts && came.is_some() {
                // How much of it is trimmed depends on its own day's rate.
                let is_other = money.local.is_some() && !whole.is_in(&money);
                let odd = if taking.is_trimmed && is_other { rules.dollars(&money, back.day()).1 } else { None };
                back.findings.extend(odd);
                let own = if taking.waits.is_some() { None } else { Some(taking.own) };
                let currency = if whole.is_in(&money) {
                    money.currency.or(whole.currency.clone())
                } else {
                    whole.currency.clone()
                };
                back.count(side, whole.local.and(own), currency, dollars);
            }
        }
    }
    // What the customer paid, or else what we are paid.
    let main = usize::from(came[0].is_none_or(|came| came == 0));
    let takes = |taking: &[Taking; 2]| if taking[main].waits.is_some() { 0 } else { taking[main].own };
    let is_gone = came[main].is_some_and(|came| came > 0 && takings.iter().map(takes).sum::<i128>() >= came);
    let mut takers = takings.iter().zip(&backs).filter(|(taking, _)| takes(taking) > 0);
    all[sale].is_charged_back = is_gone && takers.any(|(_, back)| all[*back].says("event") == Some("chargeback"));
    for (at, finding) in findings {
        all[at].findings.insert(finding);
    }
    reduced(all, sale, &backs);
}

/// A sale that a revision reduced by exactly what a return states: each revision is held to one return, the last revisions first.
fn reduced(all: &mut [Evaluated<'_>], sale: usize, backs: &[usize]) {
    let history = &all[sale].conversion.history;
    let in_dollars = |money: &Money| match (&money.dollars, &money.local, money.currency.as_deref()) {
        (Some(dollars), ..) => Some(micros(dollars)),
        (None, Some(local), Some("USD")) => Some(micros(local)),
        _ => None,
    };
    let mut twice: BTreeSet<(usize, usize)> = BTreeSet::new();
    for (before, after) in history.iter().zip(history.iter().skip(1)).rev() {
        for (side, (before, after)) in [(&before.2, &after.2), (&before.3, &after.3)].into_iter().enumerate() {
            let less = |before: Option<i128>, after: Option<i128>| Some(before? - after?).filter(|less| *less > 0);
            let local = |money: &Money| money.local.as_ref().map(micros);
            let own = less(local(before), local(after)).filter(|_| before.currency == after.currency);
            let dollars = less(in_dollars(before), in_dollars(after));
            let is_it = |back: &&usize| {
                let money = all[**back].money()[side];
                let (is_own, is_dollars) = match &money.currency {
                    None => (true, own.is_none()),
                    currency => (*currency == after.currency, currency.as_deref() == Some("USD")),
                };
                let is = |said: Option<i128>, less: Option<i128>| said.is_some_and(|said| Some(said.abs()) == less);
                (is_own && is(local(money), own))
                    || (is_dollars && is(local(money), dollars))
                    || is(money.dollars.as_ref().map(micros), dollars)
            };
            let back = backs.iter().filter(|back| !twice.contains(&(side, **back))).find(is_it);
            twice.extend(back.map(|back| (side, *back)));
        }
    }
    for (_, back) in twice {
        all[back].findings.insert("reduced_and_refunded");
        all[sale].findings.insert("reduced_and_refunded");
    }
}

/// First deposits, account by account, by when they happened.
fn deposits(rules: &Rules, all: &mut [Evaluated<'_>]) {
    let mut in_time: Vec<_> = (0..all.len()).filter(|at| all[*at].says("event") == Some("deposit")).collect();
    in_time.sort_by_key(|at| all[*at].at_ms);
    let mut with_first = BTreeSet::new();
    for at in in_time {
        let one = &mut all[at];
        let account = one.says("account_id").map(str::to_owned);
        let is_bonus = one.says("payment_method").is_some_and(|method| method.eq_ignore_ascii_case(rules.bonus));
        let amount = one.sides[0].clone();
        let deposit = match (&account, amount.local, amount.dollars) {
            _ if one.is_rejected() => "rejected",
            _ if one.conversion.duplicate => "duplicate",
            _ if rules.is_next_first && one.is_charged_back => "reversed",
            (None, ..) => "no_account",
            _ if is_bonus => "bonus",
            (_, None, None) => "no_amount",
            (_, Some(0), _) | (_, None, Some(0)) => "zero",
            (_, _, None) => "undecided",
            (_, _, Some(dollars)) if dollars < rules.minimum => "too_small",
            _ if with_first.insert(account.clone()) => "first",
            _ => "repeat",
        };
        let says_first = one.says("is_ftd").map(|says| says == "true");
        let differs = deposit != "undecided" && says_first.is_some_and(|says| says != (deposit == "first"));
        one.findings.extend(differs.then_some("ftd_differs"));
        one.findings.extend((deposit == "first" && one.is_charged_back).then_some("first_deposit_reversed"));
        one.deposit = Some(deposit);
    }
}

/// What statistics say of all of them together.
pub fn totals(all: &[Evaluated<'_>]) -> BTreeMap<&'static str, i128> {
    let mut totals = BTreeMap::new();
    for one in all {
        let mut add = |name, number| *totals.entry(name).or_insert(0) += number;
        let (event, counts) = (one.says("event").unwrap(), one.counts());
        add("duplicates", one.conversion.duplicate.into());
        add("rejected", (one.is_rejected() && !one.conversion.duplicate).into());
        let is = |names: &[&str]| i128::from(counts && names.contains(&event));
        let others = ["registration", "kyc_approved", "deposit", "lead", "install", "refund", "chargeback"];
        add("conversions", (counts && !one.is_return()).into());
        add("sales", (counts && !others.contains(&event)).into());
        for (name, event) in [
            ("registrations", "registration"),
            ("deposits", "deposit"),
            ("refunds", "refund"),
            ("chargebacks", "chargeback"),
        ] {
            add(name, is(&[event]));
        }
        add("first deposits", (counts && one.deposit == Some("first")).into());
        let waits = |side: &Side| side.local.is_some() && side.dollars.is_none() && side.currency.is_some();
        add("waiting", (counts && one.sides.iter().any(waits)).into());
        for (side, names) in one.sides.iter().zip([
            ["gross sale", "returned sale", "pending sale", "net sale"],
            ["gross payout", "returned payout", "pending payout", "net payout"],
        ]) {
            let dollars = if counts { side.dollars.unwrap_or(0) } else { 0 };
            let [gross, returned] = if one.is_return() { [0, dollars] } else { [dollars, 0] };
            add(names[0], gross);
            add(names[1], returned);
            add(names[2], if one.says("status") == Some("pending") { dollars } else { 0 });
            add(names[3], dollars);
        }
    }
    totals
}
