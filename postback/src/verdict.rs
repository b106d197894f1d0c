//! What became of a postback: the word in replies, acknowledgements, records and logs.

use std::fmt;

/// The outcome of one postback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first of its event and of its conversion: stored.
    Created,
    /// Seen before: nothing changed.
    Duplicate,
    /// New content for a known conversion: stored, the conversion brought up to date.
    Revised,
    /// A known event id with other content: kept for reconciliation, counted nowhere.
    Conflict,
    /// Not a postback that can be stored.
    Rejected,
}

impl Verdict {
    /// The verdict of a name.
    pub fn parse(name: &str) -> Option<Verdict> {
        [Verdict::Created, Verdict::Duplicate, Verdict::Revised, Verdict::Conflict, Verdict::Rejected]
            .into_iter()
            .find(|verdict| verdict.name() == name)
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Created => "created",
            Verdict::Duplicate => "duplicate",
            Verdict::Revised => "revised",
            Verdict::Conflict => "conflict",
            Verdict::Rejected => "rejected",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
