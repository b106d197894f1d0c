//! The partner's rules for refunds, as its file will have them. This file goes when `postback::partner` has them: the rest of the
//! module imports them through `balance`.

/// What is done about returns of more than the sale came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExceeding {
    /// They count as said, with a finding.
    #[default]
    Flag,
    /// The latest received are trimmed, so that all comes to what came.
    Cap,
}

/// What is done about the other side where a return states only one of sale and payout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherAmount {
    /// It goes back in proportion.
    #[default]
    InProportion,
    /// Nothing of it goes back.
    Stated,
}

/// A partner's rules for refunds and chargebacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefundRules {
    /// Returns of more than came.
    pub exceeding: OnExceeding,
    /// Returns that state one side only.
    pub other_amount: OtherAmount,
}
