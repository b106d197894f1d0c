//! The partner's rules for refunds.

pub use postback::partner::{OnExceeding, OtherAmount, RefundRules};
