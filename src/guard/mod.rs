//! Who may send, and how much, before any work is done (R12 to R14).

pub mod credentials;
pub mod limits;
