//! A partner's rules that are more than a word: what a file may say about statuses, first deposits and tokens.

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

/// What makes a deposit an account's first (R49); smaller ones and bonuses are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstDeposit {
    /// The least amount, in `currency`.
    pub minimum: Amount,
    /// ISO 4217.
    pub currency: String,
    /// Values of `payment_method` that are no money of the customer's.
    pub bonus_payment_methods: Vec<String>,
}

/// What a partner's tokens say about themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtExpected {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}
