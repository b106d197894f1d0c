//! Rejected requests, by the page, the latest first.

use super::cells::{Cells, at, page, text};
use super::question::Parameters;
use super::requests::ids;
use super::{Answer, Form, Problem, Shape, cursor};
use crate::store::Via;
use crate::store::reader::{Place, RejectedRequest, RejectionFilter, RejectionPage};
use crate::store::{Store, StoreError};
use jiff::tz::TimeZone;
use serde_json::Value;

/// The list's name in its answer and its cursors.
const LIST: &str = "rejections";
/// Bytes of a code at most.
const CODE_BYTES_MAX: usize = 64;

/// A question about rejected requests.
#[derive(Clone, Debug)]
pub struct RejectionsQuestion {
    page: RejectionPage,
    zone: TimeZone,
    form: Form,
}

impl RejectionsQuestion {
    /// Reads one: `from`, `to`, `code`, `via`, `authenticated`, ids, `limit`, `cursor`, `tz`, `format`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(query: &str, accept: Option<&str>) -> Result<RejectionsQuestion, Problem> {
        let mut parameters = Parameters::of(query)?;
        let form = parameters.form(accept)?;
        let zone = parameters.zone()?;
        let (from, to) = parameters.bounds(&zone)?;
        let limit = parameters.limit()?;
        let is_code = |code: &String| {
            let is_of_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            code.len() <= CODE_BYTES_MAX && code.bytes().all(is_of_code)
        };
        let code = parameters.take("code").map(|code| Some(code).filter(is_code).ok_or(Problem::CODE)).transpose()?;
        let via = parameters.take("via").map(|name| Via::parse(&name).ok_or(Problem::VIA)).transpose()?;
        let is_authenticated = match parameters.take("authenticated").as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Problem::AUTHENTICATED),
        };
        let place = |text: String| cursor::read_place(LIST, &text).ok_or(Problem::CURSOR);
        let after = parameters.take("cursor").map(place).transpose()?;
        let ids = ids(&mut parameters)?;
        parameters.end()?;
        let filter = RejectionFilter { from, to, code, via, is_authenticated, ids };
        Ok(RejectionsQuestion { page: RejectionPage { filter, after, limit }, zone, form })
    }
}

/// Answers a question about rejected requests.
///
/// # Errors
/// The database cannot say.
pub async fn answer(partner: &str, store: &Store, question: &RejectionsQuestion) -> Result<Answer, StoreError> {
    let RejectionsQuestion { page: asked, zone, form } = question;
    // One more, to know whether there is a next page.
    let one_more = RejectionPage { limit: asked.limit.saturating_add(1), ..asked.clone() };
    let mut rejections = store.rejected_requests(&one_more).await?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let has_more = rejections.len() > limit;
    rejections.truncate(limit);
    let place = |last: &RejectedRequest| Place { received_at: last.received_at, number: last.rejection_id };
    let next = rejections.last().filter(|_| has_more).map(|last| cursor::write_place(LIST, place(last)));
    let rows = rejections.iter().map(|rejected| cells(rejected, zone)).collect();
    Ok(page(partner, LIST, zone, *form, rows, next))
}

/// What a rejected request has, and what that looks like.
pub const REJECTION: [(&str, Shape); 16] = [
    ("request_id", Shape::Text),
    ("received_at", Shape::Time),
    ("code", Shape::Text),
    ("field", Shape::TextOrNull),
    ("status", Shape::CountOrNull),
    ("via", Shape::Text),
    ("is_authenticated", Shape::Flag),
    ("auth_mode", Shape::Text),
    ("rules", Shape::TextOrNull),
    ("event_id", Shape::TextOrNull),
    ("conversion_id", Shape::TextOrNull),
    ("order_id", Shape::TextOrNull),
    ("click_id", Shape::TextOrNull),
    ("account_id", Shape::TextOrNull),
    ("method", Shape::Text),
    ("target", Shape::Text),
];

/// A rejected request's cells, in the order of [`REJECTION`].
pub(super) fn cells(rejected: &RejectedRequest, zone: &TimeZone) -> Cells {
    let ids = &rejected.ids;
    vec![
        ("request_id", rejected.request_id.clone().into()),
        ("received_at", at(rejected.received_at, zone)),
        ("code", rejected.code.clone().into()),
        ("field", text(&rejected.field)),
        ("status", rejected.status.map_or(Value::Null, Value::from)),
        ("via", rejected.via.clone().into()),
        ("is_authenticated", rejected.is_authenticated.into()),
        ("auth_mode", rejected.auth_mode.clone().into()),
        ("rules", text(&rejected.rules)),
        ("event_id", text(&ids.event_id)),
        ("conversion_id", text(&ids.conversion_id)),
        ("order_id", text(&ids.order_id)),
        ("click_id", text(&ids.click_id)),
        ("account_id", text(&ids.account_id)),
        ("method", rejected.method.clone().into()),
        ("target", rejected.target.clone().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RejectedIds;
    use postback::time::Timestamp;

    #[test]
    fn a_rejected_request_has_what_its_shapes_say_in_their_order() {
        let ids = RejectedIds::NONE;
        let rejected = RejectedRequest {
            rejection_id: 1,
            request_id: "r".to_owned(),
            received_at: Timestamp::EPOCH,
            code: "invalid_amount".to_owned(),
            field: None,
            status: None,
            via: "edge".to_owned(),
            is_authenticated: false,
            auth_mode: "token".to_owned(),
            rules: None,
            method: "GET".to_owned(),
            target: "/".to_owned(),
            ids,
        };
        let names: Vec<_> = cells(&rejected, &TimeZone::UTC).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, REJECTION.map(|(name, _)| name));
    }

    #[test]
    fn what_a_question_cannot_mean_is_refused_with_its_parameter() {
        for (query, code, field) in [
            ("code=Invalid+amount", "invalid_code", "code"),
            ("via=tunnel", "invalid_via", "via"),
            ("authenticated=yes", "invalid_flag", "authenticated"),
            ("verdict=created", "unknown_param", ""),
        ] {
            let problem = RejectionsQuestion::read(query, None).unwrap_err();
            assert_eq!((problem.code, problem.field), (code, field), "{query}");
        }
        assert!(RejectionsQuestion::read("code=invalid_amount&via=edge&authenticated=false", None).is_ok());
    }
}
