//! A conversion as a function of the set of its receipts. They are applied in the order in which the gateway received them, whatever
//! order they are stored in; senders' own timestamps never reorder them. Pure rules: a store applies a receipt by itself where it is
//! the newest one, and folds all of them again where it is not.
//!
//! Which events are about one conversion is policy: [`crate::duplicate`].

use crate::duplicate::{DuplicatePolicy, OnRepeat};
use crate::field::Field;
use crate::money::Amount;
use crate::status::{Status, Transition};
use crate::time::Timestamp;
use crate::zone::Zone;
use std::collections::{BTreeMap, HashMap};

/// Texts of a conversion that a further notice replaces where it has a value.
pub const CARRIED_TEXTS: [Field; 13] = [
    Field::ClickId,
    Field::OrderId,
    Field::MediaId,
    Field::SubId,
    Field::OfferId,
    Field::OfferName,
    Field::AccountId,
    Field::PaymentMethod,
    Field::ConsentVersion,
    Field::Campaign,
    Field::Geo,
    Field::Device,
    Field::OriginalEventId,
];

/// One receipt of an event: when the gateway received it, and by which request. Receipts are ordered by milliseconds, then by the
/// bytes of the request id, then by those of the event id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When the gateway received it.
    pub received_at: Timestamp,
    /// The gateway's name of the request. One request delivered twice is one receipt.
    pub request_id: String,
    /// The event.
    pub event_id: String,
}

impl Receipt {
    fn order(&self) -> (i64, &str, &str) {
        (self.received_at.unix_ms(), &self.request_id, &self.event_id)
    }
}

/// What an event says of its conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The sender's id of the conversion.
    pub conversion_id: String,
    /// The event's canonical name.
    pub event: String,
    /// Whether its sender named it; a default replaces no event.
    pub names_event: bool,
    /// Where the conversion stands.
    pub status: Option<Status>,
    /// Texts, by field: those of [`CARRIED_TEXTS`].
    pub texts: BTreeMap<Field, String>,
    /// When the event happened.
    pub ts_event: Option<Timestamp>,
    /// When the conversion happened.
    pub conversion_datetime: Option<Timestamp>,
    /// Whether its sender calls it a first deposit.
    pub is_ftd: Option<bool>,
    /// What the customer paid.
    pub sale: Statement,
    /// What we are paid.
    pub payout: Statement,
}

/// A statement of money: in its own currency, in US dollars, or both. It is replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// In `currency`.
    pub amount: Option<Amount>,
    /// ISO 4217; of `amount`, or of the last one where only dollars are stated now.
    pub currency: Option<String>,
    /// In US dollars, as the sender states them.
    pub dollars: Option<Amount>,
    /// Whether one of the two forms no longer holds, because a later notice stated the other one alone.
    pub is_dropped: bool,
}

/// What became of one receipt that changed a conversion or came too late to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The receipt.
    pub receipt: Receipt,
    /// Whether the event was known and came again: a return to an earlier state.
    pub is_return: bool,
    /// When what it says happened: the conversion's own time behind it.
    pub effective_at: Timestamp,
    /// Where the conversion stood behind it.
    pub status: Option<Status>,
    /// The sale behind it.
    pub sale: Statement,
    /// The payout behind it.
    pub payout: Statement,
}

/// One conversion: what is true now, and how it came to be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// What its notices say together. The id is the first one's.
    pub state: Notice,
    /// The event that last changed it.
    pub event_id: String,
    /// Whether it is a possible duplicate of the one before.
    pub is_duplicate: bool,
    /// Whether a known event came again and revised it.
    pub is_returned: bool,
    /// The receipt that began it.
    pub first: Receipt,
    /// How it came to be so, the first included.
    pub revisions: Vec<Revision>,
}

/// The conversions under one key, and the last receipt that was about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// In their order: the occurrences.
    pub conversions: Vec<Conversion>,
    /// The last receipt, repeats included.
    pub last: Option<Receipt>,
}

/// What is known of an event that was received.
struct Seen {
    /// Which conversion it took effect on; none where the policy ignored it.
    occurrence: Option<usize>,
    /// When it last took effect, in Unix milliseconds.
    took_effect_ms: i64,
}

/// Folds the receipts of one key. `notices` has what each event says; a receipt whose event is not among them says nothing.
pub fn fold(policy: &DuplicatePolicy, mut receipts: Vec<Receipt>, notices: &HashMap<String, Notice>) -> Folded {
    receipts.sort_by(|a, b| a.order().cmp(&b.order()));
    receipts.dedup();
    let mut folded = Folded::default();
    let mut seen: HashMap<String, Seen> = HashMap::new();
    for receipt in receipts {
        let Some(notice) = notices.get(&receipt.event_id) else { continue };
        let is_apart = folded.last.as_ref().is_some_and(|last| policy.is_apart(last.received_at, receipt.received_at));
        let is_repeat = folded.last.is_some() && !is_apart;
        match seen.get_mut(&receipt.event_id) {
            Some(known) => known.receive_again(policy, &receipt, notice, is_apart, &mut folded.conversions),
            None => {
                let occurrence = receive(policy, &receipt, notice, is_repeat, &mut folded.conversions);
                let took_effect_ms = receipt.received_at.unix_ms();
                seen.insert(receipt.event_id.clone(), Seen { occurrence, took_effect_ms });
            }
        }
        folded.last = Some(receipt);
    }
    folded
}

/// Receives an event for the first time; answers the occurrence that it took effect on.
fn receive(
    policy: &DuplicatePolicy,
    receipt: &Receipt,
    notice: &Notice,
    is_repeat: bool,
    conversions: &mut Vec<Conversion>,
) -> Option<usize> {
    let here = conversions.len();
    match (policy.repeat, conversions.last_mut().filter(|_| is_repeat)) {
        (OnRepeat::Revise, Some(last)) => {
            last.revise(receipt, notice, false);
            here.checked_sub(1)
        }
        (OnRepeat::Ignore, Some(_)) => None,
        (OnRepeat::Flag, Some(_)) => {
            conversions.push(Conversion { is_duplicate: true, ..Conversion::begin(receipt, notice) });
            Some(here)
        }
        (OnRepeat::Revise | OnRepeat::Ignore | OnRepeat::Flag, None) => {
            conversions.push(Conversion::begin(receipt, notice));
            Some(here)
        }
    }
}

impl Seen {
    /// Receives a known event again. It is a retry of its sender's, unless that has ended and another event came in between: then it is
    /// a return to an earlier state.
    fn receive_again(
        &mut self,
        policy: &DuplicatePolicy,
        receipt: &Receipt,
        notice: &Notice,
        is_apart: bool,
        conversions: &mut [Conversion],
    ) {
        let received_ms = receipt.received_at.unix_ms();
        let may_return = policy.repeat == OnRepeat::Revise && !is_apart;
        let is_last = self.occurrence.is_some() && self.occurrence == conversions.len().checked_sub(1);
        let has_ended = received_ms.saturating_sub(self.took_effect_ms) > policy.retry_window_ms();
        let Some(last) = conversions.last_mut().filter(|_| may_return && is_last && has_ended) else { return };
        if last.revisions.last().is_none_or(|revision| revision.receipt.event_id == receipt.event_id) {
            return;
        }
        last.revise(receipt, notice, true);
        self.took_effect_ms = received_ms;
    }
}

impl Conversion {
    fn begin(receipt: &Receipt, notice: &Notice) -> Conversion {
        let mut conversion = Conversion {
            state: notice.clone(),
            event_id: receipt.event_id.clone(),
            is_duplicate: false,
            is_returned: false,
            first: receipt.clone(),
            revisions: Vec::new(),
        };
        conversion.note(receipt, false);
        conversion
    }

    /// Brings it up to date. What the notice says replaces, what it does not say stays; a notice that a later decision overtook only
    /// adds what was not known.
    fn revise(&mut self, receipt: &Receipt, notice: &Notice, is_return: bool) {
        let state = &mut self.state;
        let is_overtaken = Status::transition(state.status, notice.status) == Transition::Late;
        if !is_overtaken {
            self.event_id.clone_from(&receipt.event_id);
            if notice.names_event {
                state.event.clone_from(&notice.event);
            }
        }
        for (field, text) in &notice.texts {
            if !is_overtaken || !state.texts.contains_key(field) {
                state.texts.insert(*field, text.clone());
            }
        }
        carry(&mut state.status, notice.status, is_overtaken);
        carry(&mut state.ts_event, notice.ts_event, is_overtaken);
        carry(&mut state.conversion_datetime, notice.conversion_datetime, is_overtaken);
        carry(&mut state.is_ftd, notice.is_ftd, is_overtaken);
        let [sale_currency, payout_currency] = [&state.sale, &state.payout].map(|known| known.currency.clone());
        state.sale.restate(&notice.sale, payout_currency.as_ref(), is_overtaken);
        state.payout.restate(&notice.payout, sale_currency.as_ref(), is_overtaken);
        self.is_returned |= is_return;
        self.note(receipt, is_return);
    }

    fn note(&mut self, receipt: &Receipt, is_return: bool) {
        let state = &self.state;
        self.revisions.push(Revision {
            receipt: receipt.clone(),
            is_return,
            effective_at: state.conversion_datetime.or(state.ts_event).unwrap_or(self.first.received_at),
            status: state.status,
            sale: state.sale.clone(),
            payout: state.payout.clone(),
        });
    }
}

fn carry<T: Copy>(known: &mut Option<T>, said: Option<T>, is_overtaken: bool) {
    *known = if is_overtaken { known.or(said) } else { said.or(*known) };
}

impl Statement {
    /// Whether it states no money.
    pub fn is_empty(&self) -> bool {
        self.amount.is_none() && self.dollars.is_none()
    }

    /// Takes over a further statement. It replaces both forms; one that repeats a form word for word leaves the other as it is. A missing
    /// currency is inherited, of the other statement where this one had none.
    fn restate(&mut self, said: &Statement, others_currency: Option<&String>, is_overtaken: bool) {
        if said.is_empty() || is_overtaken && !self.is_empty() {
            return;
        }
        let inherited = || self.currency.clone().or_else(|| others_currency.cloned());
        // Dollars alone leave it: it is that of the next amount without one.
        let currency =
            if said.amount.is_some() { said.currency.clone().or_else(inherited) } else { self.currency.clone() };
        let repeats_amount = said.dollars.is_none() && said.amount == self.amount && currency == self.currency;
        let repeats_dollars = said.amount.is_none() && said.dollars == self.dollars;
        if repeats_amount || repeats_dollars {
            return;
        }
        let states_both = said.amount.is_some() && said.dollars.is_some();
        let drops = self.amount.is_some() && said.amount.is_none() || self.dollars.is_some() && said.dollars.is_none();
        let is_dropped = !states_both && (drops || self.is_dropped);
        *self = Statement { amount: said.amount, currency, dollars: said.dollars, is_dropped };
    }
}

impl DuplicatePolicy {
    /// Whether a receipt comes so long after the previous one about its key that another conversion begins.
    fn is_apart(&self, previous: Timestamp, received_at: Timestamp) -> bool {
        let gap_ms = received_at.unix_ms().saturating_sub(previous.unix_ms());
        self.window_s.is_some_and(|window_s| gap_ms > i64::from(window_s).saturating_mul(1000))
    }

    /// For how long a sender may send the same again, in milliseconds.
    pub fn retry_window_ms(&self) -> i64 {
        i64::from(self.retry_window_s).saturating_mul(1000)
    }
}

impl Notice {
    /// Reads what is stored of an event: canonical names and texts, without what was erased since.
    ///
    /// # Errors
    /// The field whose text is no value of it.
    pub fn from_stored(
        conversion_id: String,
        event: String,
        names_event: bool,
        content: &BTreeMap<String, String>,
    ) -> Result<Notice, Field> {
        let text = |field: Field| content.get(field.name()).cloned();
        fn read<T>(text: Option<String>, field: Field, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Field> {
            text.map(|text| parse(&text).ok_or(field)).transpose()
        }
        let utc = Zone::utc();
        let amount = |field: Field| read(text(field), field, Amount::parse);
        let time = |field: Field| read(text(field), field, |text| Timestamp::parse(text, &utc));
        let statement = |amount: Option<Amount>, dollars: Option<Amount>| Statement {
            amount,
            currency: amount.and_then(|_| text(Field::Currency)),
            dollars,
            is_dropped: false,
        };
        Ok(Notice {
            conversion_id,
            event,
            names_event,
            status: read(text(Field::Status), Field::Status, Status::parse)?,
            texts: CARRIED_TEXTS.into_iter().filter_map(|field| Some((field, text(field)?))).collect(),
            ts_event: time(Field::TsEvent)?,
            conversion_datetime: time(Field::ConversionDatetime)?,
            is_ftd: read(text(Field::IsFtd), Field::IsFtd, |text| text.parse().ok())?,
            sale: statement(amount(Field::SaleAmount)?, amount(Field::UsdSaleAmount)?),
            payout: statement(amount(Field::Payout)?, amount(Field::UsdPayout)?),
        })
    }
}
