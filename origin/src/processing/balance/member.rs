//! A conversion of a sale's group, as the balance needs it.

use crate::store::worklist::SaleId;
use chrono::NaiveDate;
use postback::money::Amount;
use postback::status::Status;

/// One amount as its sender stated it: in its own currency, in US dollars, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The amount in `currency`.
    pub amount: Option<Amount>,
    /// The ISO 4217 code of `amount`'s currency.
    pub currency: Option<String>,
    /// The amount in US dollars.
    pub dollars: Option<Amount>,
}

/// Order of receipt: Unix milliseconds, then the request id.
pub type Receipt = (i64, String);

/// Which of its two statements of money a conversion's amount belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// What the customer paid.
    Sale,
    /// What we are paid.
    Payout,
}

impl Side {
    /// Both sides.
    pub const ALL: [Side; 2] = [Side::Sale, Side::Payout];

    /// The other one.
    pub(super) const fn other(self) -> Side {
        match self {
            Side::Sale => Side::Payout,
            Side::Payout => Side::Sale,
        }
    }
}

/// What a member of a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Money comes.
    Sale,
    /// Money goes back to the customer.
    Refund,
    /// Money is taken back through the customer's bank.
    Chargeback,
}

/// A conversion of a sale's group, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
    /// What it is.
    pub kind: Kind,
    /// Its first receipt.
    pub received: Receipt,
    /// Its status.
    pub status: Option<Status>,
    /// Whether it is flagged as a duplicate.
    pub is_duplicate: bool,
    /// What the customer paid, or got back.
    pub sale: Statement,
    /// What we are paid, or pay back.
    pub payout: Statement,
    /// The UTC day it happened: that of its exchange rate.
    pub day: NaiveDate,
    /// A return: the sale that it names by event id.
    pub names: NamedSale,
    /// A sale: by how much its revisions reduced it.
    pub reductions: Vec<Reduction>,
}

/// The sale that a return names by event id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedSale {
    /// It names none: it is of the sales of its conversion id.
    Unnamed,
    /// It names one that is not known, or not yet.
    Unknown,
    /// It names this one.
    Known(SaleId),
}

/// By how much a revision of a sale reduced one of its sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// Which side.
    pub side: Side,
    /// How much less it is in either form, above zero; None where that form is not less, or not known on both sides of the revision.
    pub by: Statement,
}

impl Member {
    pub(super) fn statement(&self, side: Side) -> &Statement {
        match side {
            Side::Sale => &self.sale,
            Side::Payout => &self.payout,
        }
    }

    pub(super) fn states(&self, side: Side) -> bool {
        let statement = self.statement(side);
        statement.amount.is_some() || statement.dollars.is_some()
    }

    pub(super) fn states_nothing(&self) -> bool {
        !Side::ALL.into_iter().any(|side| self.states(side))
    }

    pub(super) fn is_return(&self) -> bool {
        match self.kind {
            Kind::Sale => false,
            Kind::Refund | Kind::Chargeback => true,
        }
    }

    /// A rejected conversion and a flagged duplicate bring nothing and take nothing.
    pub(super) fn counts(&self) -> bool {
        self.status != Some(Status::Rejected) && !self.is_duplicate
    }
}
