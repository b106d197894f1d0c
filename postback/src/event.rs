//! What happened: a closed set of events with a meaning of their own, and other names that are kept as they come.

use std::fmt;

/// Bytes of an event's name at most.
const NAME_BYTES_MAX: usize = 64;

/// One kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A conversion of no kind the sender named.
    Conversion,
    /// An account was opened.
    Registration,
    /// An account holder's identity was confirmed.
    KycApproved,
    /// Money was paid into an account.
    Deposit,
    /// Something was bought.
    Purchase,
    /// A contact was made.
    Lead,
    /// An application was installed.
    Install,
    /// Money of an earlier conversion went back to the customer.
    Refund,
    /// Money of an earlier conversion was taken back through the customer's bank.
    Chargeback,
    /// Anything else: the sender's own name in lower case, letters, digits and `_` (InvolveAsia's `event` is whatever
    /// the publisher wrote into a sub id).
    Other(String),
}

impl Event {
    /// The event of a name: one of ours, or another that can be a name. None when it cannot.
    pub fn parse(name: &str) -> Option<Event> {
        // Joints join; at the ends they are nothing, and `refund-` is a refund.
        let name = name.trim_matches([' ', '-', '.', '_']);
        if let Some(event) = Event::ours(name) {
            return Some(event);
        }
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_ -.".contains(&b));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain {
            return None;
        }
        let folded = name.replace([' ', '-', '.'], "_").to_ascii_lowercase();
        Some(Event::ours(&folded).unwrap_or(Event::Other(folded)))
    }

    fn ours(name: &str) -> Option<Event> {
        Some(match name {
            "conversion" => Event::Conversion,
            "registration" => Event::Registration,
            "kyc_approved" => Event::KycApproved,
            "deposit" => Event::Deposit,
            "purchase" => Event::Purchase,
            "lead" => Event::Lead,
            "install" => Event::Install,
            "refund" => Event::Refund,
            "chargeback" => Event::Chargeback,
            _ => return None,
        })
    }

    /// The canonical name.
    pub fn name(&self) -> &str {
        match self {
            Event::Conversion => "conversion",
            Event::Registration => "registration",
            Event::KycApproved => "kyc_approved",
            Event::Deposit => "deposit",
            Event::Purchase => "purchase",
            Event::Lead => "lead",
            Event::Install => "install",
            Event::Refund => "refund",
            Event::Chargeback => "chargeback",
            Event::Other(name) => name,
        }
    }

    /// Whether its amounts may be below zero: money that goes back (R9, R49).
    pub fn takes_money_back(&self) -> bool {
        match self {
            Event::Refund | Event::Chargeback => true,
            Event::Conversion
            | Event::Registration
            | Event::KycApproved
            | Event::Deposit
            | Event::Purchase
            | Event::Lead
            | Event::Install
            | Event::Other(_) => false,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_whatever_its_case_and_joints() {
        assert_eq!(Event::parse("Purchase"), Some(Event::Purchase));
        assert_eq!(Event::parse("KYC-approved"), Some(Event::KycApproved));
        assert_eq!(Event::parse("Level 5.done"), Some(Event::Other("level_5_done".to_owned())));
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for name in ["", " ", "{aff_sub3}", "a\nb", "kauf€", "<b>", &"x".repeat(65)] {
            assert_eq!(Event::parse(name), None, "{name:?}");
        }
    }
}
