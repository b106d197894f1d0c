//! The amounts of a conversion that count. A refund or chargeback counts for what it was evaluated to, any other conversion for what its
//! sender states. Totals, answers about conversions and evaluation all use these expressions, so that they agree.

use super::super::statement::Dialect;
use super::hours::case;
use crate::processing::REPORTING_CURRENCY;

/// One of a conversion's two statements of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Sale,
    Payout,
}

impl Statement {
    const fn amount(self) -> &'static str {
        match self {
            Statement::Sale => "sale_amount",
            Statement::Payout => "payout",
        }
    }

    const fn currency(self) -> &'static str {
        match self {
            Statement::Sale => "currency",
            Statement::Payout => "payout_currency",
        }
    }
}

/// The amount `sale_amount` or `payout` that counts, in its own currency.
pub(super) fn in_own_currency(dialect: Dialect, conversion: &str, amount: &str) -> String {
    let [counted, stated] = ["counted_", ""].map(|prefix| dialect.amount(&format!("{prefix}{amount}")));
    format!("coalesce({conversion}.{counted}, {conversion}.{stated})")
}

/// The currency of the amount that counts.
pub(super) fn own_currency(dialect: Dialect, conversion: &str, statement: Statement) -> String {
    let (currency, amount) = (statement.currency(), dialect.amount(statement.amount()));
    // A statement in dollars alone keeps the currency of the amount that it had before.
    format!(
        "coalesce({conversion}.counted_{currency}, case when {conversion}.{amount} is not null then {conversion}.{currency} end)"
    )
}

/// The amount `sale_amount` or `payout` that counts, in the reporting currency: as evaluated, or else as its sender states it, or else as
/// it was converted.
pub(in crate::store) fn in_reporting_currency(dialect: Dialect, conversion: &str, amount: &str) -> String {
    let [counted, usd, fx] = ["counted_usd", "usd", "fx"].map(|prefix| dialect.amount(&format!("{prefix}_{amount}")));
    let counted_own = dialect.amount(&format!("counted_{amount}"));
    // What a return counts for in its own currency waits for a rate, whatever dollars its sender states.
    format!(
        "case when {conversion}.{counted_own} is null then coalesce({conversion}.{counted}, {conversion}.{usd}, {conversion}.{fx})
              else {conversion}.{counted} end"
    )
}

/// Which of a conversion's amounts wait for a rate: `sale`, `payout`, `both`, or the empty text.
pub(super) fn waiting(dialect: Dialect, conversion: &str) -> String {
    let [sale, payout] = [Statement::Sale, Statement::Payout].map(|statement| waits(dialect, conversion, statement));
    format!("case when {sale} and {payout} then 'both' when {sale} then 'sale' when {payout} then 'payout' else '' end")
}

/// That there is an amount in a known currency other than the reporting one, and none in the reporting one. It is never null: `and` with
/// null would hide the other amount.
fn waits(dialect: Dialect, conversion: &str, statement: Statement) -> String {
    let amount = statement.amount();
    format!(
        "({} is not null and {} is null and coalesce({}, '{REPORTING_CURRENCY}') <> '{REPORTING_CURRENCY}')",
        in_own_currency(dialect, conversion, amount),
        in_reporting_currency(dialect, conversion, amount),
        own_currency(dialect, conversion, statement),
    )
}

/// 1 where a conversion is an account's first deposit.
pub(super) fn first_deposit(conversion: &str) -> String {
    case(&format!("{conversion}.deposit = 'first'"), "1")
}
