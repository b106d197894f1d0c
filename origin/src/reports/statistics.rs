//! Statistics: what conversions come to, by days of any time zone.

use super::days::{self, Interval, Range};
use super::question::Parameters;
use super::table::Table;
use super::{Answer, Form, Problem, Shape};
use crate::processing::REPORTING_CURRENCY;
use crate::store::reader::{Kind, Span, Total, Totals, Waiting};
use crate::store::{Store, StoreError};
use jiff::tz::TimeZone;
use postback::time::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A question about statistics.
#[derive(Clone, Debug)]
pub struct StatisticsQuestion {
    range: Range,
    interval: Interval,
    zone: TimeZone,
    form: Form,
}

impl StatisticsQuestion {
    /// Reads one: `from`, `to`, `tz`, `interval`, `format`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &str, accept: Option<&str>, now: Timestamp) -> Result<StatisticsQuestion, Problem> {
        let mut parameters = Parameters::of(query)?;
        let form = parameters.form(accept)?;
        let zone = parameters.zone()?;
        let interval = Interval::parse(parameters.take("interval").as_deref())?;
        let (from, to) = (parameters.take("from"), parameters.take("to"));
        parameters.end()?;
        let (from, to) = days::bounds(from.as_deref(), to.as_deref(), &zone)?;
        let range = days::range(from, to, interval, &zone, now)?;
        Ok(StatisticsQuestion { range, interval, zone, form })
    }
}

/// What is said of a total and of each period, and what that looks like. Amounts are in the reporting currency.
pub const SUMS: [(&str, Shape); 18] = [
    ("conversions", Shape::Count),
    ("rejected", Shape::Count),
    ("duplicates", Shape::Count),
    ("first_deposits", Shape::Count),
    ("sale_amount", Shape::Amount),
    ("payout", Shape::Amount),
    ("sales", Shape::Count),
    ("registrations", Shape::Count),
    ("deposits", Shape::Count),
    ("refunds", Shape::Count),
    ("chargebacks", Shape::Count),
    ("waiting_for_rates", Shape::Count),
    ("gross_sale_amount", Shape::Amount),
    ("gross_payout", Shape::Amount),
    ("returned_sale_amount", Shape::Amount),
    ("returned_payout", Shape::Amount),
    ("pending_sale_amount", Shape::Amount),
    ("pending_payout", Shape::Amount),
];

/// A total's cells, in the order of [`SUMS`]: columns of tables stay where they were, and new ones come behind them.
fn cells(Total { counts, money: sums, .. }: &Total) -> Result<[(&'static str, Value); 18], StoreError> {
    let gross = |sum: Option<Decimal>| sum.map(money).ok_or_else(too_much);
    Ok([
        ("conversions", counts.conversions.into()),
        ("rejected", counts.rejected.into()),
        ("duplicates", counts.duplicates.into()),
        ("first_deposits", counts.first_deposits.into()),
        ("sale_amount", money(sums.reporting_sale_amount)),
        ("payout", money(sums.reporting_payout)),
        ("sales", counts.sales.into()),
        ("registrations", counts.registrations.into()),
        ("deposits", counts.deposits.into()),
        ("refunds", counts.refunds.into()),
        ("chargebacks", counts.chargebacks.into()),
        ("waiting_for_rates", counts.waiting_for_rates.into()),
        ("gross_sale_amount", gross(sums.gross_sale_amount())?),
        ("gross_payout", gross(sums.gross_payout())?),
        ("returned_sale_amount", money(sums.returned_sale_amount)),
        ("returned_payout", money(sums.returned_payout)),
        ("pending_sale_amount", money(sums.pending_sale_amount)),
        ("pending_payout", money(sums.pending_payout)),
    ])
}

fn too_much() -> StoreError {
    StoreError::Bug("sums that are too large to be added".to_owned())
}

fn kind_object(kind: Kind) -> Value {
    let Kind { of, conversions, first_deposits, waiting_for_rates, money: sums } = kind;
    let or_null = |text: String| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "event": of.event, "status": or_null(of.status), "currency": or_null(of.currency),
        "payout_currency": or_null(of.payout_currency), "is_duplicate": of.is_duplicate,
        "conversions": conversions, "first_deposits": first_deposits, "waiting_for_rates": waiting_for_rates,
        "sale_amount": money(sums.sale_amount), "payout": money(sums.payout),
        "reporting_sale_amount": money(sums.reporting_sale_amount), "reporting_payout": money(sums.reporting_payout),
    })
}

fn waiting_object(waiting: Waiting) -> Value {
    let Waiting { currency, conversions, sale_amount, payout } = waiting;
    json!({
        "currency": currency, "conversions": conversions, "sale_amount": money(sale_amount), "payout": money(payout),
    })
}

/// A sum as amounts are written: two digits behind the point, more where they are not zero.
pub fn money(sum: Decimal) -> Value {
    let mut sum = sum.normalize();
    if sum.scale() < 2 {
        sum.rescale(2);
    }
    Value::from(sum.to_string())
}

/// Answers a question about statistics.
///
/// # Errors
/// The database cannot say.
pub async fn answer(partner: &str, store: &Store, question: &StatisticsQuestion) -> Result<Answer, StoreError> {
    let StatisticsQuestion { range, interval, zone, form } = question;
    let parts = days::parts(*range, *interval, zone);
    let Some(whole) = span(*range, 0) else { return Err(StoreError::Bug("a range that no clock shows".to_owned())) };
    let spans: Vec<_> = parts.iter().zip(0..).filter_map(|(part, number)| span(*part, number)).collect();
    let Totals { parts: totals, kinds, waiting } = store.totals_of(whole, &spans).await?;
    let shown = |at| Value::from(days::shown(at, zone));
    let by_number: BTreeMap<_, _> = totals.iter().map(|total| (total.span, total)).collect();
    let nothing = Total::default();
    let period = |(part, number): (&Range, i64)| {
        let total = by_number.get(&number).copied().unwrap_or(&nothing);
        Ok([("start", shown(part.from)), ("end", shown(part.to))].into_iter().chain(cells(total)?).collect::<Vec<_>>())
    };
    let periods = parts.iter().zip(0..).map(period).collect::<Result<Vec<_>, StoreError>>()?;
    if *form == Form::Csv {
        return Ok(Answer::csv(Table::of(periods.into_iter())));
    }
    let total = totals.iter().try_fold(Total::default(), Total::plus).ok_or_else(too_much)?;
    let object = |cells: Vec<(&str, Value)>| -> Value {
        cells.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    Ok(Answer::json(&json!({
        "partner": partner,
        "from": shown(range.from),
        "to": shown(range.to),
        "time_zone": zone.iana_name().unwrap_or("UTC"),
        "interval": interval.name(),
        "currency": REPORTING_CURRENCY,
        "total": object(cells(&total)?.into()),
        "waiting": waiting.into_iter().map(waiting_object).collect::<Vec<_>>(),
        "periods": periods.into_iter().map(object).collect::<Vec<_>>(),
        "kinds": kinds.into_iter().map(kind_object).collect::<Vec<_>>(),
    })))
}

fn span(range: Range, number: i64) -> Option<Span> {
    Some(Span { number, start: days::timestamp(range.from)?, end: days::timestamp(range.to)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reader::Money;

    #[test]
    fn a_total_has_what_its_shapes_say_in_their_order() {
        assert_eq!(cells(&Total::default()).unwrap().map(|(name, _)| name), SUMS.map(|(name, _)| name));
    }

    #[test]
    fn net_is_gross_and_returned_to_the_last_digit() {
        let decimal = |text: &str| text.parse::<Decimal>().unwrap();
        let total = Total {
            money: Money {
                reporting_sale_amount: decimal("9000000000000000000.000001"),
                returned_sale_amount: decimal("-0.000002"),
                ..Money::default()
            },
            ..Total::default()
        };
        let cells: BTreeMap<_, _> = cells(&total).unwrap().into_iter().collect();
        assert_eq!(cells["gross_sale_amount"], "9000000000000000000.000003");
        assert_eq!(cells["returned_sale_amount"], "-0.000002");
    }
}
