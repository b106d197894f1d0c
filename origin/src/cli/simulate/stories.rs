//! What senders tell, in the order in which they tell it: sales that are approved, rejected and refunded, deposits of accounts,
//! repeats, notices that come late or in the wrong order. All of it follows from a seed.

use super::sender::{Content, Request, Said, Sender};
use fastrand::Rng;
use postback::field::Field;
use postback::status::Status;
use postback::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Clicks that are kept for stories to begin with.
const CLICKS_MAX: usize = 1_000;
/// Currencies of amounts that are not in US dollars, all of them the ECB's.
const CURRENCIES: [&str; 5] = ["EUR", "GBP", "MYR", "IDR", "THB"];

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first of a sale.
    Sale,
    /// A deposit of an account.
    Deposit,
    /// A deposit of nothing.
    ZeroDeposit,
    /// A sale's new standing, or payout.
    Notice,
    /// An old standing, after a newer one.
    LateNotice,
    /// Money that goes back.
    Refund,
    /// Money that a bank takes back.
    Chargeback,
    /// A request once more, as it was.
    Repeat,
}

impl Kind {
    /// The name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sale => "sale",
            Kind::Deposit => "deposit",
            Kind::ZeroDeposit => "deposit of nothing",
            Kind::Notice => "notice",
            Kind::LateNotice => "late notice",
            Kind::Refund => "refund",
            Kind::Chargeback => "chargeback",
            Kind::Repeat => "repeat",
        }
    }
}

/// One request of a sender.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The sender's place in the list of senders.
    pub sender: usize,
    /// What it does.
    pub kind: Kind,
    /// The conversion that it is about.
    pub conversion_id: String,
    /// The request, not signed yet.
    pub request: Request,
}

/// When events happen that are told.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// In Unix seconds.
    pub from_s: i64,
    /// In Unix seconds; not before `from_s`.
    pub to_s: i64,
}

/// All that is told, without end.
#[derive(Debug)]
pub struct Stories {
    senders: Vec<Sender>,
    span: Span,
    /// Goes into every id, so that two simulations have none in common.
    name: String,
    random: Rng,
    number: u64,
    turn: u64,
    /// By the turn from which on it is due, and a number.
    waiting: BTreeMap<(u64, u64), Shot>,
    /// Clicks that nothing has come of yet, by sender.
    clicks: BTreeMap<usize, VecDeque<String>>,
}

/// A part of a story: so many turns after its beginning.
type Part = (u64, Kind, Content);

impl Stories {
    /// Stories of these senders.
    pub fn new(senders: Vec<Sender>, span: Span, seed: u64) -> Stories {
        Stories {
            senders,
            span,
            name: format!("sim-{seed:x}"),
            random: Rng::with_seed(seed),
            number: 0,
            turn: 0,
            waiting: BTreeMap::new(),
            clicks: BTreeMap::new(),
        }
    }

    /// The senders.
    pub fn senders(&self) -> &[Sender] {
        &self.senders
    }

    /// A click that a story may begin with.
    pub fn clicked(&mut self, sender: usize, click_id: String) {
        let clicks = self.clicks.entry(sender).or_default();
        if clicks.len() < CLICKS_MAX {
            clicks.push_back(click_id);
        }
    }

    /// The next request.
    pub fn next_shot(&mut self) -> Option<Shot> {
        self.turn = self.turn.saturating_add(1);
        let due = self.waiting.first_key_value().map(|(key, _)| *key).filter(|(turn, _)| *turn <= self.turn);
        if let Some(key) = due {
            return self.waiting.remove(&key);
        }
        self.begin()?;
        self.waiting.pop_first().map(|(_, shot)| shot)
    }

    /// Begins a story.
    fn begin(&mut self) -> Option<()> {
        let place = self.random.usize(0..self.senders.len().max(1));
        let sender = self.senders.get(place)?.clone();
        self.number = self.number.saturating_add(1);
        let id = format!("{}-{}", self.name, self.number);
        let parts = if self.random.u8(0..100) < 70 { self.sale(place, &id) } else { self.deposits(&id) };
        for (part, (after, kind, content)) in (0_u64..).zip(parts) {
            let is_first_notice = matches!(kind, Kind::Sale | Kind::Deposit | Kind::ZeroDeposit);
            let content = match sender.wants_event_id() {
                true => content.with(Field::EventId, format!("{id}-e{part}")),
                false => content,
            };
            let conversion_id = content.conversion_id();
            let request = sender.request(&content, &mut self.random);
            let shot = Shot { sender: place, kind, conversion_id, request };
            // Networks send some of what they send twice, most of that at once.
            if self.random.u8(0..100) < if is_first_notice { 15 } else { 5 } {
                let later = if self.random.bool() { 1 } else { self.random.u64(1..300) };
                self.wait(after.saturating_add(later), Shot { kind: Kind::Repeat, ..shot.clone() });
            }
            self.wait(after, shot);
        }
        Some(())
    }

    fn wait(&mut self, after: u64, shot: Shot) {
        self.number = self.number.saturating_add(1);
        self.waiting.insert((self.turn.saturating_add(after), self.number), shot);
    }

    /// A sale and what becomes of it.
    fn sale(&mut self, sender: usize, id: &str) -> Vec<Part> {
        let cents = self.random.i64(100..50_000);
        let happened = self.happened();
        let of = |content: Content| content.with(Field::ConversionId, id.to_owned());
        let begun = of(Content::default())
            .with(Field::Event, "purchase".to_owned())
            .with(Field::Status, Status::Pending.name().to_owned())
            .with(Field::ClickId, self.click(sender, id))
            .with(
                Field::OfferName,
                self.random.choice(["Summer sale", "50% off & more", "Été"]).unwrap_or("").to_owned(),
            )
            .with(Field::MediaId, format!("m{}", self.random.u8(1..6)))
            .with(Field::SubId, format!("s{}", self.random.u8(1..20)))
            .at(happened);
        let begun = self.amounts(begun, cents);
        let mut parts = vec![(0, Kind::Sale, begun)];
        let decided = self.random.u64(2..200);
        let notice = |status: Status| of(Content::default()).with(Field::Status, status.name().to_owned());
        match self.random.u8(0..100) {
            0..65 => {
                parts.push((decided, Kind::Notice, notice(Status::Approved)));
                if self.random.u8(0..100) < 10 {
                    parts.push((decided.saturating_add(20), Kind::LateNotice, notice(Status::Pending)));
                }
                let back = match self.random.u8(0..100) {
                    0..10 => Some((Kind::Refund, "refund")),
                    10..15 => Some((Kind::Chargeback, "chargeback")),
                    _ => None,
                };
                if let Some((kind, event)) = back {
                    let content = of(Content::default()).with(Field::Event, event.to_owned()).at(happened.later());
                    let content = content.with_said(Field::UsdSaleAmount, Said::Cents(cents));
                    parts.push((decided.saturating_add(50), kind, content));
                }
            }
            65..80 => parts.push((decided, Kind::Notice, notice(Status::Rejected))),
            80..85 => {
                // The network corrects what it pays.
                let payout = Said::Cents(self.random.i64(10..5_000));
                parts.push((decided, Kind::Notice, notice(Status::Approved).with_said(Field::UsdPayout, payout)));
            }
            85..88 => {
                // It comes before what it is about.
                parts.insert(0, (0, Kind::Notice, notice(Status::Approved)));
            }
            _ => {}
        }
        parts
    }

    /// An account's deposits: the first, others, and one of nothing.
    fn deposits(&mut self, id: &str) -> Vec<Part> {
        let count = self.random.u64(1..5);
        let happened = self.happened();
        let mut parts = Vec::new();
        for number in 0..count {
            let is_nothing = number > 0 && self.random.u8(0..100) < 20;
            let cents = if is_nothing { 0 } else { self.random.i64(500..20_000) };
            let content = Content::default()
                .with(Field::ConversionId, format!("{id}-d{number}"))
                .with(Field::Event, "deposit".to_owned())
                .with(Field::AccountId, format!("{id}-account"))
                .with_said(Field::IsFtd, Said::Flag(number == 0))
                .at(Happened(happened.0.saturating_add(i64::try_from(number).unwrap_or(0).saturating_mul(3_600))));
            let content = self.amounts(content, cents);
            // Some come in the wrong order.
            let after = number.saturating_mul(40).saturating_add(self.random.u64(0..60));
            let kind = if is_nothing { Kind::ZeroDeposit } else { Kind::Deposit };
            parts.push((if number == 0 { 0 } else { after }, kind, content));
        }
        parts
    }

    /// Most amounts are in US dollars; of the others somebody has to know what they come to.
    fn amounts(&mut self, content: Content, cents: i64) -> Content {
        let payout = Said::Cents(cents.saturating_mul(15).checked_div(100).unwrap_or(0));
        if self.random.u8(0..100) < 80 {
            return content.with_said(Field::UsdSaleAmount, Said::Cents(cents)).with_said(Field::UsdPayout, payout);
        }
        let currency = self.random.choice(CURRENCIES).unwrap_or("EUR").to_owned();
        content
            .with_said(Field::SaleAmount, Said::Cents(cents))
            .with_said(Field::Payout, payout)
            .with(Field::Currency, currency)
    }

    /// A click of ours where there is one, one of somebody else's, or none.
    fn click(&mut self, sender: usize, id: &str) -> String {
        let own = self.clicks.get_mut(&sender).and_then(VecDeque::pop_front);
        own.unwrap_or_else(|| if self.random.u8(0..10) < 9 { format!("{id}-click") } else { String::new() })
    }

    fn happened(&mut self) -> Happened {
        Happened(self.random.i64(self.span.from_s..=self.span.to_s.max(self.span.from_s)))
    }
}

/// When something happened, in Unix seconds.
#[derive(Clone, Copy, Debug)]
pub struct Happened(pub i64);

impl Happened {
    /// Days later.
    fn later(self) -> Happened {
        Happened(self.0.saturating_add(3 * 86_400))
    }

    /// The instant.
    pub fn instant(self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.saturating_mul(1_000)).unwrap_or(Timestamp::EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stories(seed: u64) -> Stories {
        let registry = crate::config::registry().unwrap();
        let senders = registry.all().iter().map(|partner| Sender::of(partner).unwrap()).collect();
        Stories::new(senders, Span { from_s: 1_760_000_000, to_s: 1_763_000_000 }, seed)
    }

    #[test]
    fn one_seed_tells_one_story() {
        let told = |seed: u64| {
            let mut stories = stories(seed);
            (0..500).map(|_| format!("{:?}", stories.next_shot().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(told(7), told(7));
        assert_ne!(told(7), told(8));
    }

    #[test]
    fn everything_is_told_that_networks_tell_and_our_rules_read_it() {
        let registry = crate::config::registry().unwrap();
        let now = Timestamp::from_unix_ms(1_764_000_000_000).unwrap();
        let mut stories = stories(1);
        let mut kinds: BTreeMap<Kind, u32> = BTreeMap::new();
        for _ in 0..3_000 {
            let shot = stories.next_shot().unwrap();
            *kinds.entry(shot.kind).or_default() += 1;
            let partner = registry.by_code(stories.senders()[shot.sender].code()).unwrap();
            let Request { query, body, .. } = &shot.request;
            let content_type = body.as_ref().map(|_| "application/json");
            let body = body.as_deref().unwrap_or("");
            let params = postback::params::Params::from_request(query, content_type, body.as_bytes()).unwrap();
            let read = partner.read(&params, now);
            let read = read.unwrap_or_else(|rejection| panic!("{shot:?}: {rejection}"));
            assert!(read.warnings.is_empty() && read.ignored.is_empty(), "{shot:?}: {read:?}");
        }
        assert_eq!(kinds.len(), 8, "{kinds:?}");
    }
}
