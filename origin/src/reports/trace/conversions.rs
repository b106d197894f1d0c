//! What the conversions of a trace come to now.

use super::super::cells::{at, object};
use super::super::conversions::cells;
use super::{IDS, is_of, leads_to, matches, too_large};
use crate::processing::REPORTING_CURRENCY;
use crate::reports::money as shown;
use crate::store::StoreError;
use crate::store::reader::Conversion;
use crate::store::reader::trace::{Job, Key, Trace};
use jiff::tz::TimeZone;
use postback::money::Amount;
use postback::status::Status;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Decimal places of an amount in micro-units.
const SCALE: u32 = 6;

/// Each conversion as it stands: as a list of conversions shows it, whether it counts, and what is still to be done for it.
pub(super) fn states(trace: &Trace, id: &str, zone: &TimeZone) -> Vec<Value> {
    let state = |(key, conversion): &(Key, Conversion)| {
        let origin = &conversion.origin;
        let (is_event, is_request) = leads_to(trace, key, id);
        let own = |is: bool| is.then_some(id);
        let values = [
            own(is_request),
            own(is_event),
            Some(conversion.conversion_id.as_str()),
            origin.order_id.as_deref(),
            origin.click_id.as_deref(),
            origin.account_id.as_deref(),
        ];
        let state = trace.states.iter().find(|state| state.key == *key);
        let rebuild = state.and_then(|state| state.rebuild_due_at);
        let jobs: Vec<_> =
            trace.jobs.iter().filter(|job| is_of(trace, &job.event_id, &job.conversion_key, key)).collect();
        let is_pending = !conversion.is_processed || rebuild.is_some() || !jobs.is_empty();
        let job = |job: &&Job| {
            json!({
                "event_id": job.event_id,
                "state": job.state,
                "attempts": job.attempts,
                "due_at": at(job.due_at, zone),
            })
        };
        let mut cells = cells(conversion, zone);
        cells.extend([
            ("matches", matches(id, IDS.into_iter().zip(values))),
            ("conversion_key", key.conversion_key.clone().into()),
            ("is_counted", is_counted(conversion).into()),
            ("is_charged_back", state.is_some_and(|state| state.is_charged_back).into()),
            ("is_pending", is_pending.into()),
            ("jobs", jobs.iter().map(job).collect()),
            ("rebuild_due_at", rebuild.map_or(Value::Null, |due_at| at(due_at, zone))),
        ]);
        object(cells)
    };
    trace.conversions.iter().map(state).collect()
}

/// Whether it is in the sums of statistics.
fn is_counted(conversion: &Conversion) -> bool {
    !conversion.is_duplicate && conversion.status.as_deref() != Some(Status::Rejected.name())
}

/// What those that count come to together, in the reporting currency. Null where there are more conversions than the trace holds: a part of a
/// sum is no sum.
///
/// # Errors
/// It is more than any database holds.
pub(super) fn total(trace: &Trace) -> Result<Value, StoreError> {
    if trace.cut.contains("conversions") {
        return Ok(Value::Null);
    }
    let counted: Vec<_> =
        trace.conversions.iter().map(|(_, conversion)| conversion).filter(|one| is_counted(one)).collect();
    let sum = |amount: fn(&Conversion) -> Option<Amount>| {
        let amounts = counted.iter().filter_map(|one| amount(one)).map(|amount| i128::from(amount.micros()));
        let micros = amounts.into_iter().try_fold(0_i128, i128::checked_add);
        let sum = micros.and_then(|micros| Decimal::try_from_i128_with_scale(micros, SCALE).ok());
        sum.map(shown).ok_or_else(too_large)
    };
    let waiting = counted.iter().filter(|one| waits_for_rate(one)).count();
    Ok(json!({
        "conversions": counted.len(),
        "reporting_sale_amount": sum(|one| one.money.reporting.reporting_sale_amount)?,
        "reporting_payout": sum(|one| one.money.reporting.reporting_payout)?,
        "waiting_for_rates": waiting,
    }))
}

/// Whether an amount in a known currency other than the reporting one has none in that yet.
fn waits_for_rate(conversion: &Conversion) -> bool {
    let money = &conversion.money;
    let waits = |own: Option<Amount>, currency: Option<&String>, reporting: Option<Amount>| {
        own.is_some() && reporting.is_none() && currency.is_some_and(|currency| currency != REPORTING_CURRENCY)
    };
    let sale = money.counted_sale_amount.or(money.sale_amount);
    let sale_currency = money.counted_currency.as_ref().or(money.currency.as_ref());
    let payout = money.counted_payout.or(money.payout);
    let payout_currency = money.counted_payout_currency.as_ref().or(money.payout_currency.as_ref());
    waits(sale, sale_currency, money.reporting.reporting_sale_amount)
        || waits(payout, payout_currency, money.reporting.reporting_payout)
}
