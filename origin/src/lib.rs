//! The origin: takes postbacks from the edge (signed) or directly (with a token) and stores each conversion exactly
//! once, each partner in its own database. What a postback means is the `postback` crate's to say.

// In the order of a request's way.
pub mod cli;
pub mod config;
pub mod app;
pub mod api;
pub mod verify;
pub mod ingest;
pub mod clicks;
pub mod databases;
pub mod store;
