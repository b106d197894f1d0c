//! The origin: takes postbacks from the edge (signed) or directly (with a token) and stores each conversion exactly
//! once, each partner in its own database. What a postback means is the `postback` crate's to say.
//!
//! It has two hosts: a native program in front of PostgreSQL or SQLite ([`cli`]), and a Cloudflare Worker in front of D1
//! (`worker`). All but the hosts and the databases is the same.

// In the order of a request's way.
#[cfg(not(target_family = "wasm"))]
pub mod cli;
#[cfg(target_family = "wasm")]
mod worker;
pub mod config;
pub mod app;
pub mod api;
pub mod verify;
pub mod ingest;
pub mod clicks;
pub mod rejections;
pub mod quota;
pub mod room;
pub mod databases;
pub mod shared;
pub mod store;
pub mod processing;
pub mod recount;
pub mod reports;
pub mod watch;
pub mod metrics;
pub mod openapi;
pub mod upkeep;
#[cfg(not(target_family = "wasm"))]
pub mod reread;
#[cfg(not(target_family = "wasm"))]
pub mod reconcile;
#[cfg(not(target_family = "wasm"))]
pub mod backup;
mod deadline;
