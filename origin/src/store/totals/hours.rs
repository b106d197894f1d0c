//! What the totals by hours count and sum. Each number and each amount is one of the kinds' that is summed over those kinds which a
//! condition finds; so hours come out of conversions, and quarters of an hour are read as if they were hours, by the same conditions.

use postback::event::Event;
use postback::status::Status;

/// A number or an amount of the totals by hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Hourly {
    /// Its column.
    pub(in crate::store) name: &'static str,
    /// The column of a kind that is summed.
    pub(in crate::store) of: &'static str,
    /// Over which conversions.
    pub(in crate::store) over: Over,
}

/// Conversions that something is summed over. All but the rejected and the marked ones count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Over {
    /// Those that count.
    Counted,
    /// Those that count and take no money back.
    Conversions,
    /// Of these, what was sold: conversions, purchases, and events that have a name of their sender's own.
    Sales,
    /// Of these, registrations.
    Registrations,
    /// Of these, deposits.
    Deposits,
    /// Refunds that count.
    Refunds,
    /// Chargebacks that count.
    Chargebacks,
    /// Both.
    Returned,
    /// Those that count and are pending.
    Pending,
    /// Those that count and have an amount that waits for a rate.
    Waiting,
    /// Rejected ones that are not marked as well.
    Rejected,
    /// Those marked as possible duplicates.
    Duplicates,
}

/// What is counted.
pub(in crate::store) const NUMBERS: [Hourly; 10] = [
    number("conversions", Over::Conversions),
    number("sales", Over::Sales),
    number("registrations", Over::Registrations),
    number("deposits", Over::Deposits),
    number("refunds", Over::Refunds),
    number("chargebacks", Over::Chargebacks),
    number("rejected", Over::Rejected),
    number("duplicates", Over::Duplicates),
    Hourly { name: "first_deposits", of: "first_deposits", over: Over::Counted },
    number("waiting_for_rates", Over::Waiting),
];

/// What is summed, in the reporting currency. What came is what counts less what was returned, so it has no column.
pub(in crate::store) const SUMS: [Hourly; 6] = [
    sale("reporting_sale_amount", Over::Counted),
    payout("reporting_payout", Over::Counted),
    sale("returned_sale_amount", Over::Returned),
    payout("returned_payout", Over::Returned),
    sale("pending_sale_amount", Over::Pending),
    payout("pending_payout", Over::Pending),
];

const fn number(name: &'static str, over: Over) -> Hourly {
    Hourly { name, of: "conversions", over }
}

const fn sale(name: &'static str, over: Over) -> Hourly {
    Hourly { name, of: "reporting_sale_amount", over }
}

const fn payout(name: &'static str, over: Over) -> Hourly {
    Hourly { name, of: "reporting_payout", over }
}

impl Over {
    /// Something of a row of kinds that is summed over, and nothing of any other.
    pub(in crate::store) fn only(self, row: &str, what: &str) -> String {
        case(&self.condition(row), what)
    }

    fn condition(self, row: &str) -> String {
        let is_counted = is_counted(row);
        let is = |event: Event| format!("{is_counted} and {row}.event = '{}'", event.name());
        let not_of = |events: &[Event]| {
            let names: Vec<_> = events.iter().map(|event| format!("'{}'", event.name())).collect();
            format!("{is_counted} and {row}.event not in ({})", names.join(", "))
        };
        match self {
            Over::Counted => is_counted,
            Over::Conversions => not_of(&[Event::Refund, Event::Chargeback]),
            Over::Sales => not_of(&[
                Event::Registration,
                Event::KycApproved,
                Event::Deposit,
                Event::Lead,
                Event::Install,
                Event::Refund,
                Event::Chargeback,
            ]),
            Over::Registrations => is(Event::Registration),
            Over::Deposits => is(Event::Deposit),
            Over::Refunds => is(Event::Refund),
            Over::Chargebacks => is(Event::Chargeback),
            Over::Returned => {
                let returns = [Event::Refund, Event::Chargeback].map(|event| format!("'{}'", event.name()));
                format!("{is_counted} and {row}.event in ({})", returns.join(", "))
            }
            Over::Pending => format!("{is_counted} and {row}.status = '{}'", Status::Pending.name()),
            Over::Waiting => format!("{is_counted} and {row}.waiting <> ''"),
            Over::Rejected => format!("not {row}.is_duplicate and {row}.status = '{}'", Status::Rejected.name()),
            Over::Duplicates => format!("{row}.is_duplicate"),
        }
    }
}

/// That a row of kinds counts: what was rejected and what is marked as a duplicate is counted apart, and its money not at all.
pub(in crate::store) fn is_counted(row: &str) -> String {
    format!("not {row}.is_duplicate and {row}.status <> '{}'", Status::Rejected.name())
}

/// Something where a condition holds, and nothing where it does not.
pub(super) fn case(condition: &str, what: &str) -> String {
    format!("case when {condition} then {what} else 0 end")
}
