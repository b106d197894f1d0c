//! A partner's rules that are more than a word: what a file may say about statuses, refunds, first deposits and tokens.

use crate::duplicate::RefundRepeat;
use crate::money::Amount;
use serde::{Deserialize, Serialize};

/// What a status word comes to that the partner's file does not translate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownStatus {
    /// The postback is refused: the partner learns of it and sends again.
    #[default]
    Refuse,
    /// The postback is stored without a status, with a warning: for networks that never send again.
    Flag,
}

/// How refunds and chargebacks count against their sale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundRules {
    /// Returns of more than the sale.
    pub exceeding: OnExceeding,
    /// The amount that a refund does not state.
    pub other_amount: OtherAmount,
    /// A second refund notice without an event id of the sender's.
    pub repeat: RefundRepeat,
}

/// What returns of more than the sale count as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExceeding {
    /// They count as stated, with a finding.
    #[default]
    Flag,
    /// They count up to the sale: the latest received is trimmed.
    Cap,
}

/// What a refund takes back of the amount that it does not state, where it states only one of sale and payout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtherAmount {
    /// The same share as of the stated one.
    #[default]
    InProportion,
    /// Nothing: only what is stated goes back.
    Stated,
}

/// What becomes of a first deposit that was wholly charged back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReversed {
    /// It stays the account's first, with a finding.
    #[default]
    Stays,
    /// The next deposit that counts becomes the first.
    Next,
}

/// What makes a deposit an account's first (R49); smaller ones and bonuses are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDeposit {
    /// The least amount, in `currency`.
    pub minimum: Amount,
    /// ISO 4217.
    pub currency: String,
    /// Values of `payment_method` that are no money of the customer's.
    pub bonus_payment_methods: Vec<String>,
    /// A first deposit that was wholly charged back.
    pub reversed: OnReversed,
}

/// What a partner's tokens say about themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtExpected {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}
