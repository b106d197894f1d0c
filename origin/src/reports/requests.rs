//! Requests that reached a verdict, by the page, the latest first.

use super::cells::{Cells, at, page, text};
use super::question::Parameters;
use super::{Answer, Form, Problem, Shape, cursor};
use crate::store::reader::{Ids, Place, Request, RequestFilter, RequestPage};
use crate::store::{Store, StoreError};
use jiff::tz::TimeZone;
use postback::verdict::Verdict;

/// The list's name in its answer and its cursors.
const LIST: &str = "postbacks";

/// A question about requests.
#[derive(Clone, Debug)]
pub struct RequestsQuestion {
    page: RequestPage,
    zone: TimeZone,
    form: Form,
}

impl RequestsQuestion {
    /// Reads one: `from`, `to`, `verdict`, ids, `limit`, `cursor`, `tz`, `format`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &str, accept: Option<&str>) -> Result<RequestsQuestion, Problem> {
        let mut parameters = Parameters::of(query)?;
        let form = parameters.form(accept)?;
        let zone = parameters.zone()?;
        let (from, to) = parameters.bounds(&zone)?;
        let limit = parameters.limit()?;
        // What is rejected has a list of its own.
        let verdict = |name: String| Verdict::parse(&name).filter(|verdict| *verdict != Verdict::Rejected);
        let verdict = parameters.take("verdict").map(|name| verdict(name).ok_or(Problem::VERDICT)).transpose()?;
        let place = |text: String| cursor::read_place(LIST, &text).ok_or(Problem::CURSOR);
        let after = parameters.take("cursor").map(place).transpose()?;
        let ids = ids(&mut parameters)?;
        parameters.end()?;
        Ok(RequestsQuestion {
            page: RequestPage { filter: RequestFilter { from, to, verdict, ids }, after, limit },
            zone,
            form,
        })
    }
}

/// The ids that a list of requests can be filtered by.
pub(super) fn ids(parameters: &mut Parameters) -> Result<Ids, Problem> {
    Ok(Ids {
        request_id: parameters.id("request_id")?,
        event_id: parameters.id("event_id")?,
        conversion_id: parameters.id("conversion_id")?,
        order_id: parameters.id("order_id")?,
        click_id: parameters.id("click_id")?,
        account_id: parameters.id("account_id")?,
    })
}

/// Answers a question about requests.
///
/// # Errors
/// The database cannot say.
pub async fn answer(partner: &str, store: &Store, question: &RequestsQuestion) -> Result<Answer, StoreError> {
    let RequestsQuestion { page: asked, zone, form } = question;
    // One more, to know whether there is a next page.
    let one_more = RequestPage { limit: asked.limit.saturating_add(1), ..asked.clone() };
    let mut requests = store.requests(&one_more).await?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let has_more = requests.len() > limit;
    requests.truncate(limit);
    let place = |last: &Request| Place { received_at: last.received_at, number: last.postback_id };
    let next = requests.last().filter(|_| has_more).map(|last| cursor::write_place(LIST, place(last)));
    let rows = requests.iter().map(|request| cells(request, zone)).collect();
    Ok(page(partner, LIST, zone, *form, rows, next))
}

/// What a request has, and what that looks like.
pub const REQUEST: [(&str, Shape); 13] = [
    ("request_id", Shape::Text),
    ("received_at", Shape::Time),
    ("verdict", Shape::Text),
    ("warnings", Shape::List),
    ("event_id", Shape::Text),
    ("event", Shape::TextOrNull),
    ("conversion_id", Shape::TextOrNull),
    ("auth_mode", Shape::Text),
    ("via", Shape::TextOrNull),
    ("method", Shape::Text),
    ("target", Shape::Text),
    ("content_type", Shape::TextOrNull),
    ("ignored", Shape::List),
];

/// A request's cells, in the order of [`REQUEST`].
pub(super) fn cells(request: &Request, zone: &TimeZone) -> Cells {
    vec![
        ("request_id", request.request_id.clone().into()),
        ("received_at", at(request.received_at, zone)),
        ("verdict", request.verdict.clone().into()),
        ("warnings", request.warnings.clone().into()),
        ("event_id", request.event_id.clone().into()),
        ("event", text(&request.event)),
        ("conversion_id", text(&request.conversion_id)),
        ("auth_mode", request.auth_mode.clone().into()),
        ("via", text(&request.via)),
        ("method", request.method.clone().into()),
        ("target", request.target.clone().into()),
        ("content_type", text(&request.content_type)),
        ("ignored", request.ignored.clone().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::time::Timestamp;

    #[test]
    fn a_request_has_what_its_shapes_say_in_their_order() {
        let request = Request {
            postback_id: 1,
            request_id: "r".to_owned(),
            event_id: "e".to_owned(),
            event: None,
            conversion_id: None,
            verdict: "created".to_owned(),
            received_at: Timestamp::EPOCH,
            auth_mode: "token".to_owned(),
            via: None,
            method: "GET".to_owned(),
            target: "/".to_owned(),
            content_type: None,
            ignored: vec![],
            warnings: vec![],
        };
        let names: Vec<_> = cells(&request, &TimeZone::UTC).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, REQUEST.map(|(name, _)| name));
    }

    #[test]
    fn what_a_question_cannot_mean_is_refused_with_its_parameter() {
        let long = format!("request_id={}", "a".repeat(513));
        for (query, code, field) in [
            ("verdict=rejected", "invalid_verdict", "verdict"),
            ("verdict=new", "invalid_verdict", "verdict"),
            (&long, "invalid_id", "request_id"),
            ("account_id=a%00", "invalid_id", "account_id"),
            ("limit=0", "invalid_limit", "limit"),
            ("cursor=AAAA", "invalid_cursor", "cursor"),
            ("status=approved", "unknown_param", ""),
        ] {
            let problem = RequestsQuestion::read(query, None).unwrap_err();
            assert_eq!((problem.code, problem.field), (code, field), "{query}");
        }
        assert!(RequestsQuestion::read("verdict=conflict&order_id=o&tz=Asia/Kuala_Lumpur&format=csv", None).is_ok());
    }
}
