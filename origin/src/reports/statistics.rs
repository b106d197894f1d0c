//! Statistics: what conversions come to, by days of any time zone.

use super::days::{self, Interval, Range};
use super::question::Parameters;
use super::table::Table;
use super::{Answer, Form, Problem};
use crate::processing::REPORTING_CURRENCY;
use crate::store::reader::{Span, Total, Totals};
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

/// What all conversions of a time come to; what does not count is counted apart, and its money not at all.
type Cells = [(&'static str, Value); 6];

fn cells(total: &Total) -> Cells {
    [
        ("conversions", total.conversions.into()),
        ("rejected", total.rejected.into()),
        ("duplicates", total.duplicates.into()),
        ("first_deposits", total.first_deposits.into()),
        ("sale_amount", money(total.reporting_sale_amount)),
        ("payout", money(total.reporting_payout)),
    ]
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
    let Totals { parts: totals, kinds } = store.totals_of(whole, &spans).await?;
    let shown = |at| Value::from(days::shown(at, zone));
    let by_number: BTreeMap<_, _> = totals.iter().map(|total| (total.span, total)).collect();
    let nothing = Total::default();
    let periods = parts.iter().zip(0..).map(|(part, number)| {
        let total = by_number.get(&number).copied().unwrap_or(&nothing);
        [("start", shown(part.from)), ("end", shown(part.to))].into_iter().chain(cells(total)).collect::<Vec<_>>()
    });
    if *form == Form::Csv {
        return Ok(Answer::csv(Table::of(periods)));
    }
    let kinds = kinds.into_iter().map(|kind| {
        let or_null = |text: String| if text.is_empty() { Value::Null } else { text.into() };
        json!({
            "event": kind.event, "status": or_null(kind.status), "currency": or_null(kind.currency),
            "is_duplicate": kind.is_duplicate, "conversions": kind.conversions, "first_deposits": kind.first_deposits,
            "sale_amount": money(kind.sale_amount), "payout": money(kind.payout),
            "reporting_sale_amount": money(kind.reporting_sale_amount), "reporting_payout": money(kind.reporting_payout),
        })
    });
    let total = totals.iter().fold(Total::default(), Total::plus);
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
        "total": object(cells(&total).into()),
        "periods": periods.map(object).collect::<Vec<_>>(),
        "kinds": kinds.collect::<Vec<_>>(),
    })))
}

fn span(range: Range, number: i64) -> Option<Span> {
    Some(Span { number, start: days::timestamp(range.from)?, end: days::timestamp(range.to)? })
}
