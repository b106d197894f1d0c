//! What a set of receipts comes to, in memory: written from docs/processing.md, one rule after the other, and not from the code. No
//! database, no statements, no clock; amounts in millionths.

pub mod evaluation;

use postback::duplicate::{DuplicatePolicy, OnRepeat};
use std::collections::BTreeMap;

/// What one event says. Texts are those of the canonical postback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: String,
    pub key: String,
    pub named: bool,
    pub says: BTreeMap<String, String>,
}

/// One receipt of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    pub at_ms: i64,
    pub request: String,
    pub event: String,
}

/// A statement of money.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Money {
    pub local: Option<String>,
    pub currency: Option<String>,
    pub dollars: Option<String>,
    pub dropped: bool,
}

/// A conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    pub says: BTreeMap<String, String>,
    pub last_event: String,
    pub sale: Money,
    pub payout: Money,
    pub duplicate: bool,
    pub returned: bool,
    /// The receipt that it began with.
    pub began: Receipt,
    /// Event, status, sale and payout behind each revision.
    pub history: Vec<(String, Option<String>, Money, Money)>,
    /// Events that came about it and were ignored.
    pub ignored: Vec<String>,
    /// When each event last took effect.
    took_effect: BTreeMap<String, i64>,
}

const MONEY: [&str; 5] = ["sale_amount", "payout", "currency", "usd_sale_amount", "usd_payout"];

/// How far a status has come; a notice of a smaller rank than what is known came too late, but for approval and rejection, which undo
/// each other, and a rejection, which undoes a payment.
fn is_overtaken(known: Option<&String>, said: Option<&String>) -> bool {
    matches!(
        (known.map(String::as_str), said.map(String::as_str)),
        (Some("approved" | "rejected" | "paid"), Some("pending")) | (Some("paid"), Some("approved"))
    )
}

impl Money {
    fn said(says: &BTreeMap<String, String>, local: &str) -> Money {
        let local_said = says.get(local).cloned();
        Money {
            currency: local_said.as_ref().and(says.get("currency").cloned()),
            dollars: says.get(&format!("usd_{local}")).cloned(),
            local: local_said,
            dropped: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.local.is_none() && self.dollars.is_none()
    }

    /// Replaced as a pair; a part that is said again word for word changes nothing.
    fn then(&self, said: &Money, other: &Money, overtaken: bool) -> Money {
        if said.is_empty() || (overtaken && !self.is_empty()) {
            return self.clone();
        }
        let mut next = said.clone();
        if next.local.is_some() && next.currency.is_none() {
            next.currency = self.currency.clone().or_else(|| other.currency.clone());
        }
        if next.local.is_none() {
            next.currency.clone_from(&self.currency);
        }
        let same_local = next.local == self.local && next.currency == self.currency;
        if (said.dollars.is_none() && same_local) || (said.local.is_none() && said.dollars == self.dollars) {
            return self.clone();
        }
        let lost = (self.local.is_some() && next.local.is_none()) || (self.dollars.is_some() && next.dollars.is_none());
        let whole = next.local.is_some() && next.dollars.is_some();
        next.dropped = !whole && (lost || self.dropped);
        next
    }
}

impl Conversion {
    fn begin(event: &Event, receipt: &Receipt, duplicate: bool) -> Conversion {
        let mut conversion = Conversion {
            says: event.says.iter().filter(|(name, _)| !MONEY.contains(&name.as_str())).map(own).collect(),
            last_event: event.id.clone(),
            sale: Money::said(&event.says, "sale_amount"),
            payout: Money::said(&event.says, "payout"),
            duplicate,
            returned: false,
            began: receipt.clone(),
            history: Vec::new(),
            ignored: Vec::new(),
            took_effect: BTreeMap::new(),
        };
        conversion.note(event, receipt.at_ms);
        conversion
    }

    fn note(&mut self, event: &Event, at_ms: i64) {
        self.took_effect.insert(event.id.clone(), at_ms);
        let status = self.says.get("status").cloned();
        self.history.push((event.id.clone(), status, self.sale.clone(), self.payout.clone()));
    }

    fn take(&mut self, event: &Event, at_ms: i64) {
        let overtaken = is_overtaken(self.says.get("status"), event.says.get("status"));
        for (name, text) in event.says.iter().filter(|(name, _)| !MONEY.contains(&name.as_str())) {
            let keeps = match name.as_str() {
                "conversion_id" => true,
                "event" => overtaken || !event.named,
                _ => overtaken && self.says.contains_key(name),
            };
            if !keeps {
                self.says.insert(name.clone(), text.clone());
            }
        }
        if !overtaken {
            self.last_event = event.id.clone();
        }
        let (sale, payout) = (self.sale.clone(), self.payout.clone());
        self.sale = sale.then(&Money::said(&event.says, "sale_amount"), &payout, overtaken);
        self.payout = payout.then(&Money::said(&event.says, "payout"), &sale, overtaken);
        self.note(event, at_ms);
    }
}

fn own((name, text): (&String, &String)) -> (String, String) {
    (name.clone(), text.clone())
}

/// What is known under a key: its conversions, when the last receipt came, and the events that came.
type Known = (Vec<Conversion>, Option<i64>, Vec<String>);

/// The conversions of all keys, in order of occurrence.
pub fn conversions(
    policy: &DuplicatePolicy,
    events: &BTreeMap<String, Event>,
    receipts: &[Receipt],
) -> BTreeMap<String, Vec<Conversion>> {
    let mut receipts = receipts.to_vec();
    receipts.sort();
    let mut keys: BTreeMap<String, Known> = BTreeMap::new();
    for receipt in receipts {
        let (at_ms, event) = (receipt.at_ms, &events[&receipt.event]);
        let (known, previous, seen) = keys.entry(event.key.clone()).or_default();
        let window_ms = policy.window_s.map_or(i64::MAX, |window_s| i64::from(window_s) * 1000);
        let apart = previous.is_none_or(|previous| at_ms - previous > window_ms);
        *previous = Some(at_ms);
        if !seen.contains(&event.id) {
            seen.push(event.id.clone());
            match (policy.repeat, apart) {
                (_, true) => known.push(Conversion::begin(event, &receipt, false)),
                (OnRepeat::Flag, false) => known.push(Conversion::begin(event, &receipt, true)),
                (OnRepeat::Ignore, false) => known.last_mut().unwrap().ignored.push(event.id.clone()),
                (OnRepeat::Revise, false) => known.last_mut().unwrap().take(event, at_ms),
            }
        } else if let (OnRepeat::Revise, false, Some(last)) = (policy.repeat, apart, known.last_mut())
            && let Some(took_effect) = last.took_effect.get(&event.id)
            && at_ms - took_effect > i64::from(policy.retry_window_s) * 1000
            && last.history.last().unwrap().0 != event.id
        {
            last.returned = true;
            last.take(event, at_ms);
        }
    }
    keys.into_iter().map(|(key, (conversions, ..))| (key, conversions)).collect()
}
