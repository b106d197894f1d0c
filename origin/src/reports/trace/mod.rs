//! Everything about one id: what happened, in the order of time, and what the conversions come to now.

mod conversions;
mod money;
mod timeline;

pub use timeline::KINDS;

use super::question::Parameters;
use super::{Answer, Problem};
use crate::processing::REPORTING_CURRENCY;
use crate::store::reader::trace::{Key, Trace};
use crate::store::{Store, StoreError};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// What an id can be the id of, in the order in which it is told.
const IDS: [&str; 6] = ["request_id", "event_id", "conversion_id", "order_id", "click_id", "account_id"];

/// A question about an id.
#[derive(Clone, Debug)]
pub struct TraceQuestion {
    id: String,
    zone: TimeZone,
}

impl TraceQuestion {
    /// Reads one: `id`, `tz`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &str) -> Result<TraceQuestion, Problem> {
        let mut parameters = Parameters::of(query)?;
        let zone = parameters.zone()?;
        let id = parameters.id("id")?.ok_or(Problem::id("id"))?;
        parameters.end()?;
        Ok(TraceQuestion { id, zone })
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Answers a question about an id.
///
/// # Errors
/// The database cannot say.
pub async fn answer(partner: &str, store: &Store, question: &TraceQuestion) -> Result<Answer, StoreError> {
    Ok(Answer::json(&found(partner, store, question).await?))
}

/// The same as a value, for a command that adds what others know. `found` says whether anything is stored about the id.
///
/// # Errors
/// The database cannot say.
pub async fn found(partner: &str, store: &Store, question: &TraceQuestion) -> Result<Value, StoreError> {
    let TraceQuestion { id, zone } = question;
    let trace = store.trace(id).await?;
    let timeline = timeline::entries(&trace, id, zone)?;
    let conversions = conversions::states(&trace, id, zone);
    let total = conversions::total(&trace)?;
    let matches = timeline.iter().chain(&conversions).filter_map(|entry| entry.get("matches")?.as_array());
    let matches: Vec<_> = matches.flatten().filter_map(Value::as_str).collect();
    let found_as: Vec<_> = IDS.into_iter().filter(|name| matches.contains(name)).collect();
    Ok(json!({
        "partner": partner,
        "id": id,
        "found": !trace.is_empty(),
        "found_as": found_as,
        "time_zone": zone.iana_name().unwrap_or("UTC"),
        "currency": REPORTING_CURRENCY,
        "cut": trace.cut,
        "timeline": timeline,
        "conversions": conversions,
        "total": total,
    }))
}

/// Which of these ids is the one that is traced, by their names.
fn matches<'i>(id: &str, ids: impl IntoIterator<Item = (&'static str, Option<&'i str>)>) -> Value {
    ids.into_iter().filter(|(_, other)| *other == Some(id)).map(|(name, _)| name).collect::<Vec<_>>().into()
}

/// What a trace's sum is of cannot be written as a decimal: more than any database holds.
fn too_large() -> StoreError {
    StoreError::Bug("an amount that no decimal holds".to_owned())
}

/// Whether an event is a conversion's: it made or changed it, or it has its key and changed none.
fn is_of(trace: &Trace, event_id: &str, conversion_key: &str, key: &Key) -> bool {
    let mut changes = trace.revisions.iter().filter(|change| change.event_id == event_id).peekable();
    match changes.peek() {
        Some(_) => changes.any(|change| change.key == *key),
        None => conversion_key == key.conversion_key,
    }
}

/// Whether an id is that of an event of a conversion, and whether it is that of a request about it.
fn leads_to(trace: &Trace, key: &Key, id: &str) -> (bool, bool) {
    let mut events = trace.events.iter().filter(|event| is_of(trace, &event.event_id, &event.conversion_key, key));
    let is_event = events.clone().any(|event| event.event_id == id);
    let is_request = events.any(|event| {
        event.request_id == id
            || trace.requests.iter().any(|request| request.event_id == event.event_id && request.request_id == id)
    });
    (is_event, is_request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_wanted_and_must_be_one() {
        let long = format!("id={}", "a".repeat(513));
        for query in ["", "id=", "id=%20", "id=a%0Ab", "id=a%C2%85", &long] {
            let problem = TraceQuestion::read(query).unwrap_err();
            assert_eq!((problem.code, problem.field), ("invalid_id", "id"), "{query}");
        }
        assert_eq!(TraceQuestion::read("id=a&format=csv").unwrap_err().code, "unknown_param");
        assert_eq!(TraceQuestion::read("id=a%26b&tz=Asia/Kuala_Lumpur").unwrap().id(), "a&b");
    }
}
