//! What a postback means. Edge and origin share these rules and nothing else: how a partner's request is read into the
//! canonical record, what identifies an event, how requests and answers are signed.
//!
//! Pure by construction: no clock, no randomness, no I/O, no async. Time and random bytes are arguments; what cannot be
//! read is a [`rejection::Rejection`], never a panic.

#![cfg_attr(not(test), deny(clippy::unreachable, clippy::todo, clippy::unimplemented))]

// In reading order: from the bytes of a request to the canonical record, ...
pub mod limits;
pub mod rejection;
pub mod percent;
pub mod params;
pub mod field;
pub mod event;
pub mod status;
pub mod zone;
pub mod time;
pub mod money;
pub mod macros;
pub mod invisible;
pub mod html;
pub mod id;
pub mod click;
pub mod partner;
pub mod reading;
pub mod postback;
pub mod canonical;
pub mod duplicate;
pub mod conversion;
pub mod explain;
// ... and from there to what became of it, between parties that prove who they are.
pub mod verdict;
pub mod reply;
pub mod retry;
pub mod key;
pub mod credential;
pub mod signature;
pub mod message_signature;
#[cfg(feature = "jwt")]
pub mod jwt;
pub mod acknowledgement;
pub mod edge_report;
