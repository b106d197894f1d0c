//! From a postback that was read to one that is stored: signed attempts at the origin, and a queue that keeps what the origin
//! could not take (R16 to R19).

#![deny(clippy::disallowed_methods)]

// In the order of a postback's way.
pub mod parcel;
pub mod outgoing;
pub mod attempt;
pub mod breaker;
pub mod inline;
pub mod unhurried;
