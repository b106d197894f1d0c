//! The result of the balance.

use super::super::finding::Finding;
use super::super::rates::Rate;
use super::member::Statement;
use crate::store::worklist::SaleId;

/// What a return counts for: amounts of zero or below, local ones in the sale's currency where it has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of what the customer paid.
    pub sale: Statement,
    /// Of what we are paid.
    pub payout: Statement,
}

/// The result for one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balanced {
    /// A return: the sale that it takes from; of several, the newest that counts.
    pub original: Option<SaleId>,
    /// A return: what it counts for, always. A sale: None.
    pub counted: Option<Counted>,
    /// What is odd, each once.
    pub findings: Vec<Finding>,
    /// Whether rates that are still to come can change this result. A sale waits with its returns.
    pub waits_for_rates: bool,
    /// A sale: chargebacks, alone or with refunds, left nothing of what the customer paid (of what we are paid, where only that is known).
    pub is_charged_back: bool,
    /// A return: the rate by which its dollars were converted, where they were: of the sale side, else of the payout.
    pub rate: Option<Rate>,
}
