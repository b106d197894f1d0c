//! What operators see of queued postbacks, and those that automatic delivery gave up on: a durable table, from which they go back into the queue when their cause is
//! gone or an operator says so (R19). A dead-letter queue alone would forget them.

#![deny(clippy::disallowed_methods)]

pub mod cause;
pub mod filter;
pub mod table;
pub mod queued;
pub mod returning;
