//! Statistics: what conversions come to, by days of any time zone.

use super::days::{self, Interval, Range};
use super::question::Parameters;
use super::table::Table;
use super::{Answer, Form, Problem};
use crate::processing::REPORTING_CURRENCY;
use crate::store::reader::{Counted, Span, Sums};
use crate::store::{Store, StoreError};
use jiff::tz::TimeZone;
use postback::status::Status;
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

/// What conversions come to that count, and how many do not.
#[derive(Clone, Copy, Debug, Default)]
struct Total {
    counted: Sums,
    rejected: i64,
    duplicates: i64,
}

impl Total {
    /// What was rejected and what is marked as a duplicate is counted apart, and its money not at all.
    fn add(&mut self, row: &Counted) {
        if row.is_duplicate {
            self.duplicates = self.duplicates.saturating_add(row.sums.conversions);
        } else if row.status == Status::Rejected.name() {
            self.rejected = self.rejected.saturating_add(row.sums.conversions);
        } else {
            self.counted = self.counted.plus(row.sums);
        }
    }

    fn cells(&self) -> [(&'static str, Value); 6] {
        [
            ("conversions", self.counted.conversions.into()),
            ("rejected", self.rejected.into()),
            ("duplicates", self.duplicates.into()),
            ("first_deposits", self.counted.first_deposits.into()),
            ("sale_amount", money(self.counted.reporting_sale_amount)),
            ("payout", money(self.counted.reporting_payout)),
        ]
    }
}

/// A sum as amounts are written: two digits behind the point, more where they are not zero.
fn money(sum: Decimal) -> Value {
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
    let span = |(part, number): (&Range, i64)| {
        Some(Span { number, start: days::timestamp(part.from)?, end: days::timestamp(part.to)? })
    };
    let spans: Vec<_> = parts.iter().zip(0..).filter_map(span).collect();
    let rows = store.totals_of(&spans).await?;
    let mut total = Total::default();
    let mut periods = vec![Total::default(); parts.len()];
    let mut kinds: BTreeMap<(&str, &str, &str, bool), Sums> = BTreeMap::new();
    for row in &rows {
        total.add(row);
        if let Some(period) = usize::try_from(row.span).ok().and_then(|number| periods.get_mut(number)) {
            period.add(row);
        }
        let kind = kinds.entry((&row.event, &row.status, &row.currency, row.is_duplicate)).or_default();
        *kind = kind.plus(row.sums);
    }
    let shown = |at| Value::from(days::shown(at, zone));
    let periods = parts.iter().zip(&periods).map(|(part, period)| {
        [("start", shown(part.from)), ("end", shown(part.to))].into_iter().chain(period.cells()).collect::<Vec<_>>()
    });
    if *form == Form::Csv {
        return Ok(Answer::csv(Table::of(periods)));
    }
    let kinds = kinds.into_iter().map(|((event, status, currency, is_duplicate), sums)| {
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        json!({
            "event": event, "status": or_null(status), "currency": or_null(currency), "is_duplicate": is_duplicate,
            "conversions": sums.conversions, "first_deposits": sums.first_deposits,
            "sale_amount": money(sums.sale_amount), "payout": money(sums.payout),
            "reporting_sale_amount": money(sums.reporting_sale_amount), "reporting_payout": money(sums.reporting_payout),
        })
    });
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
        "total": object(total.cells().into()),
        "periods": periods.map(object).collect::<Vec<_>>(),
        "kinds": kinds.collect::<Vec<_>>(),
    })))
}
