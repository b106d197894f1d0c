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
    /// Every status.
    pub const ALL: [Status; 4] = [Status::Pending, Status::Approved, Status::Rejected, Status::Paid];

    /// The status of a canonical name.
    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
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

/// What a notice does to a conversion's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The conversion stands where the notice says.
    Takes,
    /// It stands where it stood: the notice says the same, or nothing.
    Keeps,
    /// It stands where it stood, because the notice was overtaken by a later decision (R48).
    Late,
}

impl Status {
    /// The state machine. Networks promise no order, so a notice that says less than is known already is an old one that
    /// came late, and never undoes what is known:
    ///
    /// | known \\ notice | pending | approved | rejected | paid |
    /// | --- | --- | --- | --- | --- |
    /// | none | takes | takes | takes | takes |
    /// | pending | keeps | takes | takes | takes |
    /// | approved | late | keeps | takes | takes |
    /// | rejected | late | takes | keeps | takes |
    /// | paid | late | late | takes | keeps |
    ///
    /// Approval and rejection undo each other, because partners correct themselves both ways. A rejection after payment
    /// is money taken back: overlooking it would leave revenue that is gone.
    pub fn transition(known: Option<Status>, notice: Option<Status>) -> Transition {
        let (Some(known), Some(notice)) = (known, notice) else {
            return if notice.is_some() { Transition::Takes } else { Transition::Keeps };
        };
        match (known, notice) {
            (Status::Pending, Status::Pending)
            | (Status::Approved, Status::Approved)
            | (Status::Rejected, Status::Rejected)
            | (Status::Paid, Status::Paid) => Transition::Keeps,
            (Status::Approved | Status::Rejected | Status::Paid, Status::Pending)
            | (Status::Paid, Status::Approved) => Transition::Late,
            (Status::Pending, Status::Approved | Status::Rejected | Status::Paid)
            | (Status::Approved, Status::Rejected | Status::Paid)
            | (Status::Rejected, Status::Approved | Status::Paid)
            | (Status::Paid, Status::Rejected) => Transition::Takes,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a conversion stands after notices in an order.
    fn after(notices: &[Status]) -> Option<Status> {
        notices.iter().fold(None, |known, notice| match Status::transition(known, Some(*notice)) {
            Transition::Takes => Some(*notice),
            Transition::Keeps | Transition::Late => known,
        })
    }

    #[test]
    fn the_table_is_as_it_is_documented() {
        let rows = |page: &str| -> Vec<Vec<String>> {
            let cells =
                |line: &str| line.trim_matches(['|', ' ', '/']).split('|').map(|c| c.trim().to_owned()).collect();
            let lines = page.lines().map(str::trim).map(|line| line.trim_start_matches("/// "));
            lines
                .skip_while(|line| !line.starts_with("| none"))
                .take_while(|line| line.starts_with('|'))
                .map(cells)
                .collect()
        };
        for page in [include_str!("status.rs")] {
            let rows = rows(page);
            assert_eq!(rows.len(), 5);
            for row in rows {
                let known = Status::parse(&row[0]);
                for (notice, expected) in Status::ALL.into_iter().zip(&row[1..]) {
                    let found = format!("{:?}", Status::transition(known, Some(notice))).to_lowercase();
                    assert_eq!(&found, expected, "{known:?} -> {notice}");
                }
            }
        }
        assert_eq!(Status::transition(Some(Status::Paid), None), Transition::Keeps);
        assert_eq!(Status::transition(None, None), Transition::Keeps);
    }

    proptest! {
        #[test]
        fn a_late_pending_never_undoes_anything(notices in prop::collection::vec(prop::sample::select(Status::ALL.to_vec()), 1..8), at in 0_usize..8) {
            let mut with_late = notices.clone();
            // Anywhere but in front, where nothing is known yet.
            with_late.insert(at.min(notices.len()).max(1), Status::Pending);
            prop_assert_eq!(after(&with_late), after(&notices));
        }

        #[test]
        fn a_repeat_changes_nothing(notices in prop::collection::vec(prop::sample::select(Status::ALL.to_vec()), 1..8)) {
            let doubled: Vec<_> = notices.iter().flat_map(|status| [*status, *status]).collect();
            prop_assert_eq!(after(&doubled), after(&notices));
        }
    }
}
