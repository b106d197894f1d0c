//! Where a conversion stands with the partner. The words are the partner's; a partner's file says what each means,
//! because one network's `lead` is another's sale (R6).

use serde::{Deserialize, Serialize};
use std::fmt;

/// A conversion's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Seen, not yet decided.
    Pending,
    /// The partner will pay.
    Approved,
    /// The partner will not pay.
    Rejected,
    /// The partner has paid.
    Paid,
}

impl Status {
    /// The status of a canonical name.
    pub fn parse(name: &str) -> Option<Status> {
        [Status::Pending, Status::Approved, Status::Rejected, Status::Paid].into_iter().find(|s| s.name() == name)
    }

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Approved => "approved",
            Status::Rejected => "rejected",
            Status::Paid => "paid",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
