//! Conversions by the page, the latest first.

use super::cells::{Cells, amount, at, object, text};
use super::question::Parameters;
use super::table::Table;
use super::{Answer, Form, Problem, Shape, cursor};
use crate::processing::REPORTING_CURRENCY;
use crate::store::reader::{Conversion, Filter, Page, Position};
use crate::store::{Store, StoreError};
use jiff::tz::TimeZone;
use postback::event::Event;
use postback::status::Status;
use postback::time::Timestamp;
use serde_json::{Value, json};

/// A question about conversions.
#[derive(Clone, Debug)]
pub struct ConversionsQuestion {
    page: Page,
    zone: TimeZone,
    form: Form,
}

impl ConversionsQuestion {
    /// Reads one: `from`, `to`, `event`, `status`, `click_id`, `conversion_id`, `account_id`, `limit`, `cursor`, `tz`, `format`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &str, accept: Option<&str>) -> Result<ConversionsQuestion, Problem> {
        let mut parameters = Parameters::of(query)?;
        let form = parameters.form(accept)?;
        let zone = parameters.zone()?;
        let (from, to) = parameters.bounds(&zone)?;
        let limit = parameters.limit()?;
        let status = parameters.take("status").map(|name| Status::parse(&name).ok_or(Problem::STATUS)).transpose()?;
        let event = parameters.take("event").map(|name| Event::parse(&name).ok_or(Problem::EVENT)).transpose()?;
        let after = parameters.take("cursor").map(|text| cursor::read(&text).ok_or(Problem::CURSOR)).transpose()?;
        let filter = Filter {
            from,
            to,
            event: event.map(|event| event.name().to_owned()),
            status: status.map(|status| status.name().to_owned()),
            click_id: parameters.id("click_id")?,
            conversion_id: parameters.id("conversion_id")?,
            account_id: parameters.id("account_id")?,
        };
        parameters.end()?;
        Ok(ConversionsQuestion { page: Page { filter, after, limit }, zone, form })
    }
}

/// Answers a question about conversions.
///
/// # Errors
/// The database cannot say.
pub async fn answer(partner: &str, store: &Store, question: &ConversionsQuestion) -> Result<Answer, StoreError> {
    let ConversionsQuestion { page, zone, form } = question;
    // One more, to know whether there is a next page.
    let asked = Page { limit: page.limit.saturating_add(1), ..page.clone() };
    let mut conversions = store.conversions(&asked).await?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let has_more = conversions.len() > limit;
    conversions.truncate(limit);
    let position = |last: &Conversion| Position {
        happened_at: last.happened_at,
        conversion_key: last.conversion_key.clone(),
        occurrence: last.occurrence,
    };
    let next_cursor = conversions.last().filter(|_| has_more).map(|last| cursor::write(&position(last)));
    let rows = conversions.iter().map(|conversion| cells(conversion, zone));
    let answer = match form {
        Form::Csv => Answer::csv(Table::of(rows)),
        Form::Json => Answer::json(&json!({
            "partner": partner,
            "time_zone": zone.iana_name().unwrap_or("UTC"),
            "currency": REPORTING_CURRENCY,
            "conversions": rows.map(object).collect::<Vec<_>>(),
            "next_cursor": next_cursor,
        })),
    };
    Ok(Answer { next_cursor, ..answer })
}

/// What a conversion has, and what that looks like.
pub const CONVERSION: [(&str, Shape); 44] = [
    ("conversion_id", Shape::Text),
    ("occurrence", Shape::Count),
    ("revision", Shape::Count),
    ("event_id", Shape::Text),
    ("event", Shape::Text),
    ("status", Shape::TextOrNull),
    ("happened_at", Shape::Time),
    ("received_at", Shape::Time),
    ("updated_at", Shape::Time),
    ("sale_amount", Shape::AmountOrNull),
    ("payout", Shape::AmountOrNull),
    ("currency", Shape::TextOrNull),
    ("usd_sale_amount", Shape::AmountOrNull),
    ("usd_payout", Shape::AmountOrNull),
    ("reporting_sale_amount", Shape::AmountOrNull),
    ("reporting_payout", Shape::AmountOrNull),
    ("fx_rate", Shape::TextOrNull),
    ("fx_rate_date", Shape::TextOrNull),
    ("click_id", Shape::TextOrNull),
    ("attribution", Shape::TextOrNull),
    ("media_id", Shape::TextOrNull),
    ("sub_id", Shape::TextOrNull),
    ("offer_id", Shape::TextOrNull),
    ("offer_name", Shape::TextOrNull),
    ("order_id", Shape::TextOrNull),
    ("account_id", Shape::TextOrNull),
    ("campaign", Shape::TextOrNull),
    ("geo", Shape::TextOrNull),
    ("device", Shape::TextOrNull),
    ("payment_method", Shape::TextOrNull),
    ("is_ftd", Shape::FlagOrNull),
    ("deposit", Shape::TextOrNull),
    ("refund_of", Shape::TextOrNull),
    ("consent", Shape::TextOrNull),
    ("is_duplicate", Shape::Flag),
    ("is_processed", Shape::Flag),
    ("processing_error", Shape::TextOrNull),
    ("findings", Shape::List),
    ("payout_currency", Shape::TextOrNull),
    ("counted_sale_amount", Shape::AmountOrNull),
    ("counted_currency", Shape::TextOrNull),
    ("counted_payout", Shape::AmountOrNull),
    ("counted_payout_currency", Shape::TextOrNull),
    ("refund_of_occurrence", Shape::CountOrNull),
];

/// A conversion's cells, in the order of [`CONVERSION`].
pub(super) fn cells(conversion: &Conversion, zone: &TimeZone) -> Cells {
    let Conversion { origin, money, judged, .. } = conversion;
    let at = |time: Timestamp| at(time, zone);
    // What the database holds is a list of ours.
    let findings: Value = serde_json::from_str(&judged.findings).unwrap_or_default();
    vec![
        ("conversion_id", conversion.conversion_id.clone().into()),
        ("occurrence", conversion.occurrence.into()),
        ("revision", conversion.revision.into()),
        ("event_id", conversion.event_id.clone().into()),
        ("event", conversion.event.clone().into()),
        ("status", text(&conversion.status)),
        ("happened_at", at(conversion.happened_at)),
        ("received_at", at(conversion.received_at)),
        ("updated_at", at(conversion.updated_at)),
        ("sale_amount", amount(money.sale_amount)),
        ("payout", amount(money.payout)),
        ("currency", text(&money.currency)),
        ("usd_sale_amount", amount(money.usd_sale_amount)),
        ("usd_payout", amount(money.usd_payout)),
        ("reporting_sale_amount", amount(money.reporting.reporting_sale_amount)),
        ("reporting_payout", amount(money.reporting.reporting_payout)),
        ("fx_rate", text(&money.reporting.fx_rate)),
        ("fx_rate_date", text(&money.reporting.fx_rate_date)),
        ("click_id", text(&origin.click_id)),
        ("attribution", text(&judged.attribution)),
        ("media_id", text(&origin.media_id)),
        ("sub_id", text(&origin.sub_id)),
        ("offer_id", text(&origin.offer_id)),
        ("offer_name", text(&origin.offer_name)),
        ("order_id", text(&origin.order_id)),
        ("account_id", text(&origin.account_id)),
        ("campaign", text(&origin.campaign)),
        ("geo", text(&origin.geo)),
        ("device", text(&origin.device)),
        ("payment_method", text(&origin.payment_method)),
        ("is_ftd", origin.is_ftd.map_or(Value::Null, Value::from)),
        ("deposit", text(&judged.deposit)),
        ("refund_of", text(&judged.refund_of)),
        ("consent", text(&judged.consent)),
        ("is_duplicate", conversion.is_duplicate.into()),
        ("is_processed", conversion.is_processed.into()),
        ("processing_error", text(&conversion.processing_error)),
        ("findings", findings),
        ("payout_currency", text(&money.payout_currency)),
        ("counted_sale_amount", amount(money.counted_sale_amount)),
        ("counted_currency", text(&money.counted_currency)),
        ("counted_payout", amount(money.counted_payout)),
        ("counted_payout_currency", text(&money.counted_payout_currency)),
        ("refund_of_occurrence", judged.refund_of_occurrence.map_or(Value::Null, Value::from)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_has_what_its_shapes_say_in_their_order() {
        let source = include_str!("conversions.rs").split("pub(super) fn cells(").nth(1).unwrap();
        let names: Vec<_> = source.split("        (\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(names, CONVERSION.map(|(name, _)| name));
    }
}
