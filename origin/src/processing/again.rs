//! Judging everything again: by other rules, by other rates. What would become of it is told before anything is changed.

use super::judgement::{Judgement, judge, needs_rates};
use super::rates::Rates;
use super::{Groups, group};
use crate::shared::Shared;
use crate::store::worklist::{After, Again, Before, Facts, GroupsRead, Judged, Marks, Other, PAGE, SaleId};
use crate::store::{Store, StoreError};
use postback::money::Amount;
use postback::partner::Partner;
use postback::time::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What judging everything again comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Conversions that were looked at.
    pub conversions: u64,
    /// Those that would be judged otherwise.
    pub changed: u64,
    /// Those that were not judged yet.
    pub new: u64,
    /// How many change in what.
    pub changes: BTreeMap<&'static str, u64>,
    /// Accounts' first deposits.
    pub first_deposits: Change<u64>,
    /// What customers paid, in the reporting currency.
    pub sale_amount: Change<Decimal>,
    /// What we are paid, in the reporting currency.
    pub payout: Change<Decimal>,
}

/// A conversion as it is stored, and how it is judged anew.
#[derive(Clone, Debug)]
pub struct Anew {
    /// The last event that made it what it is.
    pub event_id: String,
    /// What it is judged by, and how it was judged.
    pub facts: Facts,
    /// How it is judged now.
    pub judged: Judged,
    /// The others of its group.
    pub others: Vec<Other>,
}

/// A column of an evaluation that would be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// What it is about.
    pub what: &'static str,
    /// The column.
    pub column: &'static str,
    /// As it is stored.
    pub before: Option<String>,
    /// As it would be.
    pub after: Option<String>,
}

/// Something before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// As it stands.
    pub before: T,
    /// As it would be.
    pub after: T,
}

/// How long after an import items are put back that began to wait meanwhile: they may have been judged by what was there before it
/// was committed, and by a clock ahead of its.
const IMPORT_MARGIN_MS: i64 = 3 * 60 * 1000;

/// The order of an account's deposits.
type Place = (Timestamp, Timestamp, String, String, i64);

/// Looks at every conversion of a partner twice: first for the first deposits of accounts, then for what differs, and hands that on, a
/// page at a time. `progress` hears how many were looked at.
///
/// # Errors
/// A database cannot say, or what differs could not be handed on.
pub async fn compare(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    now: Timestamp,
    mut progress: impl FnMut(u64),
    mut differs: impl AsyncFnMut(Vec<(String, String)>) -> Result<(), StoreError>,
) -> Result<Difference, StoreError> {
    let mut firsts: HashMap<String, Place> = HashMap::new();
    let mut looked_at: u64 = 0;
    let mut after = After::default();
    loop {
        let page = judged_page(shared, partner, store, now, &mut after).await?;
        for Anew { facts, judged, .. } in &page {
            if let Some(account) = counted(facts, judged) {
                let place = place_of(facts);
                let first = firsts.entry(account.to_owned()).or_insert_with(|| place.clone());
                if place < *first {
                    *first = place;
                }
            }
        }
        looked_at = looked_at.saturating_add(length(&page));
        progress(looked_at);
        if page.len() < PAGE {
            break;
        }
    }
    let mut difference = Difference::default();
    after = After::default();
    loop {
        let page = judged_page(shared, partner, store, now, &mut after).await?;
        let mut changed = Vec::new();
        for Anew { event_id, facts, judged, .. } in &page {
            let deposit = match counted(facts, judged) {
                Some(account) if firsts.get(account) == Some(&place_of(facts)) => Some("first"),
                Some(_) => Some("repeat"),
                None => judged.deposit,
            };
            if difference.add(facts, judged, deposit) {
                changed.push((event_id.clone(), facts.conversion.conversion_key.clone()));
            }
        }
        looked_at = looked_at.saturating_add(length(&page));
        progress(looked_at);
        if !changed.is_empty() {
            differs(changed).await?;
        }
        if page.len() < PAGE {
            return Ok(difference);
        }
    }
}

/// Puts conversions back on the list of what is to be done.
///
/// # Errors
/// They were not put back.
pub async fn put_back(store: &Store, changed: Vec<(String, String)>, due_at: Timestamp) -> Result<(), StoreError> {
    let again = |(event_id, conversion_key): (String, String)| Again { event_id, conversion_key, due_at };
    store.put_back(&changed.into_iter().map(again).collect::<Vec<_>>()).await
}

fn length<T>(page: &[T]) -> u64 {
    u64::try_from(page.len()).unwrap_or(u64::MAX)
}

/// The next page, judged anew.
async fn judged_page(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    now: Timestamp,
    after: &mut After,
) -> Result<Vec<Anew>, StoreError> {
    let page = store.facts_after(after).await?;
    if let Some((_, last)) = page.last() {
        let conversion = &last.conversion;
        *after = After { conversion_key: conversion.conversion_key.clone(), occurrence: conversion.occurrence };
    }
    let (judged, refused) = judge_again(shared, partner, store, now, page).await?;
    match refused.into_values().next() {
        Some(reason) => Err(StoreError::Bug(reason)),
        None => Ok(judged),
    }
}

/// Judges conversions anew. Those whose group cannot be balanced are left out; why is said by the ids of such groups.
///
/// # Errors
/// A database cannot say.
pub async fn judge_again(
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    now: Timestamp,
    conversions: Vec<(String, Facts)>,
) -> Result<(Vec<Anew>, HashMap<String, String>), StoreError> {
    let GroupsRead { groups, refused } = group::read(store, conversions.iter().map(|(_, facts)| facts)).await?;
    let days = conversions.iter().filter_map(|(_, facts)| needs_rates(facts, partner));
    let days: Vec<_> = days.chain(groups.values().flat_map(|members| group::days(members))).collect();
    let rates: Rates = super::rates_of(shared, &days, now).await?;
    let groups = Groups::new(groups, partner, Some(&rates));
    let is_refused = |facts: &Facts| facts.group_id().is_some_and(|id| refused.contains_key(id));
    let judged = conversions.into_iter().filter(|(_, facts)| !is_refused(facts)).map(|(event_id, facts)| {
        let group = groups.of(&facts);
        let Judgement { judged, .. } = judge(&facts, group, partner, &rates);
        let others = group.map(|group| group.others_of(&facts)).unwrap_or_default();
        Anew { event_id, facts, judged, others }
    });
    let judged = judged.collect();
    Ok((judged, refused))
}

/// The columns in which a conversion's evaluation would be another; `deposit` is what is said of a deposit, by the account's others too.
pub fn changed(facts: &Facts, before: &Before, judged: &Judged, deposit: Option<&str>) -> Vec<Changed> {
    let found: Vec<_> = judged.findings.iter().copied().chain(deposit_findings(facts, judged, deposit)).collect();
    // As one text in one order: which codes there are is what counts. What cannot be read is what it is.
    let list = |codes: &[&str]| {
        let mut codes = codes.to_vec();
        codes.sort_unstable();
        format!("[{}]", codes.join(","))
    };
    let findings = match serde_json::from_str::<Vec<String>>(&before.findings) {
        Ok(codes) => list(&codes.iter().map(String::as_str).collect::<Vec<_>>()),
        Err(_) => before.findings.clone(),
    };
    let text = |text: &Option<String>| text.clone();
    let key = |sale: &Option<SaleId>| Some(sale.as_ref()?.conversion_key.clone());
    let occurrence = |sale: &Option<SaleId>| Some(sale.as_ref()?.occurrence.to_string());
    let amount = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
    let (was, is) = (&before.counted, &judged.counted);
    let columns = [
        ("attribution", "attribution", text(&before.attribution), Some(judged.attribution.to_owned())),
        ("deposit", "deposit", text(&before.deposit), deposit.map(str::to_owned)),
        ("deposit", "deposit_account", text(&before.deposit_account), counted(facts, judged).map(str::to_owned)),
        ("refund_of", "refund_of", key(&before.refund_of), key(&judged.refund_of)),
        ("refund_of", "refund_of_occurrence", occurrence(&before.refund_of), occurrence(&judged.refund_of)),
        ("amounts", "fx_sale_amount", amount(before.fx_sale_amount), amount(judged.fx_sale_amount)),
        ("amounts", "fx_payout", amount(before.fx_payout), amount(judged.fx_payout)),
        ("amounts", "fx_rate", text(&before.fx_rate), text(&judged.fx_rate)),
        ("amounts", "fx_rate_date", text(&before.fx_rate_date), text(&judged.fx_rate_date)),
        ("consent", "consent", text(&before.consent), text(&judged.consent)),
        ("counted", "counted_sale_amount", amount(was.sale_amount), amount(is.sale_amount)),
        ("counted", "counted_currency", text(&was.currency), text(&is.currency)),
        ("counted", "counted_usd_sale_amount", amount(was.usd_sale_amount), amount(is.usd_sale_amount)),
        ("counted", "counted_payout", amount(was.payout), amount(is.payout)),
        ("counted", "counted_payout_currency", text(&was.payout_currency), text(&is.payout_currency)),
        ("counted", "counted_usd_payout", amount(was.usd_payout), amount(is.usd_payout)),
        (
            "counted",
            "is_charged_back",
            Some(before.is_charged_back.to_string()),
            Some(judged.is_charged_back.to_string()),
        ),
        ("findings", "findings", Some(findings), Some(list(&found))),
    ];
    let changed = columns.into_iter().filter(|(_, _, before, after)| before != after);
    changed.map(|(what, column, before, after)| Changed { what, column, before, after }).collect()
}

/// Items that have waited for rates since before this instant are put back, because some were imported since: by an origin, once a minute.
/// None where no rates were ever imported.
///
/// # Errors
/// The database of what partners share cannot say.
pub async fn delayed_before(shared: &Shared) -> Result<Option<Timestamp>, StoreError> {
    let imported_at = shared.last_import().await?;
    Ok(imported_at.and_then(|at| Timestamp::from_unix_ms(at.unix_ms().saturating_add(IMPORT_MARGIN_MS))))
}

/// The account of a deposit that counts.
pub fn counted<'a>(facts: &'a Facts, judged: &Judged) -> Option<&'a str> {
    let counts = judged.deposit == Some(Judged::COUNTS);
    counts.then_some(facts.conversion.account_id.as_deref()).flatten()
}

/// What the database finds of a deposit that could be the first, as it is written.
fn deposit_findings(facts: &Facts, judged: &Judged, deposit: Option<&str>) -> impl Iterator<Item = &'static str> {
    let is_first = deposit == Some("first");
    let is_decided = deposit.is_some_and(|deposit| deposit != "undecided");
    let differs = is_decided && facts.marks.is_ftd.is_some_and(|says_first| says_first != is_first);
    let is_reversed = is_first && judged.is_charged_back;
    [(differs, Judged::FTD_DIFFERS), (is_reversed, Judged::FIRST_DEPOSIT_REVERSED)]
        .into_iter()
        .filter_map(|(is_found, code)| is_found.then_some(code))
}

fn place_of(facts: &Facts) -> Place {
    let conversion = &facts.conversion;
    let Marks { received_at, first_request_id, .. } = &facts.marks;
    let (key, occurrence) = (conversion.conversion_key.clone(), conversion.occurrence);
    (conversion.happened_at, *received_at, first_request_id.clone(), key, occurrence)
}

impl Difference {
    /// Adds a conversion; answers whether it would be judged otherwise.
    fn add(&mut self, facts: &Facts, judged: &Judged, deposit: Option<&str>) -> bool {
        self.conversions = self.conversions.saturating_add(1);
        let money = &facts.money;
        let before = facts.judged.as_ref();
        let was = |read: fn(&Before) -> Option<Amount>| before.and_then(read);
        self.sale_amount.add(
            was(|before| before.counted.usd_sale_amount.or(before.fx_sale_amount)).or(money.usd_sale_amount),
            judged.counted.usd_sale_amount.or(judged.fx_sale_amount).or(money.usd_sale_amount),
        );
        self.payout.add(
            was(|before| before.counted.usd_payout.or(before.fx_payout)).or(money.usd_payout),
            judged.counted.usd_payout.or(judged.fx_payout).or(money.usd_payout),
        );
        let is_first = |deposit: Option<&str>| u64::from(deposit == Some("first"));
        let was_first = is_first(before.and_then(|before| before.deposit.as_deref()));
        self.first_deposits.before = self.first_deposits.before.saturating_add(was_first);
        self.first_deposits.after = self.first_deposits.after.saturating_add(is_first(deposit));
        let Some(before) = before else {
            self.new = self.new.saturating_add(1);
            return true;
        };
        let changed = changed(facts, before, judged, deposit);
        for what in changed.iter().map(|changed| changed.what).collect::<BTreeSet<_>>() {
            let count = self.changes.entry(what).or_default();
            *count = count.saturating_add(1);
        }
        self.changed = self.changed.saturating_add(u64::from(!changed.is_empty()));
        !changed.is_empty()
    }
}

impl Change<Decimal> {
    fn add(&mut self, before: Option<Amount>, after: Option<Amount>) {
        let decimal = |amount: Option<Amount>| Decimal::new(amount.map_or(0, Amount::micros), 6);
        self.before = self.before.saturating_add(decimal(before));
        self.after = self.after.saturating_add(decimal(after));
    }
}
