//! Everything that can go wrong at the origin, and the one place where it gets a status code and public words.

use crate::quota::{OverDailyLimit, OverRate};
use crate::reports::Problem;
use crate::store::StoreError;
use crate::verify::Disbelief;
use postback::rejection::{Code, Rejection};
use postback::reply::Failure;
use postback::verdict::Verdict;
use std::borrow::Cow;

/// Why the origin answers with an error.
#[derive(Debug)]
pub enum Error {
    /// No partner has this endpoint, or there is nothing at this path.
    PartnerNotFound,
    /// The path exists, for other methods.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
    },
    /// Path and query are too long.
    UrlTooLong,
    /// The body is too large.
    BodyTooLarge,
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body broke off or came too slowly.
    BodyIncomplete,
    /// The caller is not believed.
    Disbelieved(Disbelief),
    /// A question without a key.
    KeyMissing,
    /// A question with a key that does not open what is asked about: there is none, it has ended, or it is for something else.
    KeyInvalid,
    /// A question that cannot be read.
    Question(Problem),
    /// The signature was used before.
    Replay,
    /// The postback cannot be read.
    Rejected(Rejection),
    /// A forwarded postback that cannot be read here, and why, without anything that was sent. The edge has read it, so the two differ
    /// in version, or there is a bug: it is never the sender's fault, and the edge keeps it.
    Malformed(String),
    /// A batch that the edge cannot have sent, and the hint.
    MalformedBatch(&'static str),
    /// The event's id is known with other content. Written down for reconciliation.
    Conflict,
    /// More requests than the partner may send in a minute.
    RateLimited(OverRate),
    /// More requests than the partner may send in a day.
    DailyLimit(OverDailyLimit),
    /// Too many requests in flight.
    Overloaded,
    /// The database refused or cannot be reached.
    Store(StoreError),
    /// Our mistake.
    Internal(&'static str),
    /// A question that is not answered, for a reason that a postback may have as well. Nothing was to be stored, so none of it is said.
    Unanswered(Box<Error>),
}

impl Error {
    /// The status code. 503 means: the same request may work later. 500 means: it is our bug.
    pub fn status(&self) -> u16 {
        match self {
            Error::Rejected(rejection) if rejection.code() == Code::UnsupportedBody => 415,
            Error::Rejected(_)
            | Error::Disbelieved(Disbelief::Unsignable(_))
            | Error::Malformed(_)
            | Error::MalformedBatch(_)
            | Error::Question(_)
            | Error::BodyIncomplete => 400,
            Error::Disbelieved(Disbelief::TokenMissing) | Error::KeyMissing => 401,
            Error::Disbelieved(
                Disbelief::TokenInvalid
                | Disbelief::NotAccepted
                | Disbelief::SignatureMissing
                | Disbelief::SignatureInvalid { .. },
            )
            | Error::KeyInvalid => 403,
            Error::PartnerNotFound => 404,
            Error::MethodNotAllowed { .. } => 405,
            Error::Replay | Error::Conflict => 409,
            Error::BodyTooLarge => 413,
            Error::UrlTooLong => 414,
            Error::UnsupportedEncoding => 415,
            Error::RateLimited(_) | Error::DailyLimit(_) => 429,
            Error::Store(StoreError::Bug(_)) | Error::Internal(_) => 500,
            Error::Overloaded | Error::Store(StoreError::Unavailable(_)) => 503,
            Error::Unanswered(reason) => reason.status(),
        }
    }

    /// The same, to whom has asked a question.
    #[must_use]
    pub fn of_question(self) -> Error {
        if matches!(self, Error::UrlTooLong | Error::Overloaded | Error::Store(_) | Error::Internal(_)) {
            Error::Unanswered(Box::new(self))
        } else {
            self
        }
    }

    /// What the caller is told.
    pub fn failure(&self) -> Failure<'_> {
        let whole = Failure::of;
        match self {
            Error::PartnerNotFound => whole("partner_not_found", "no partner has this endpoint; check the path"),
            Error::MethodNotAllowed { .. } => {
                whole("method_not_allowed", "the header Allow lists the methods of this path")
            }
            Error::UrlTooLong => whole("url_too_long", "path and query have at most 8192 bytes; use POST"),
            Error::BodyTooLarge => whole("body_too_large", "a body has at most 65536 bytes"),
            Error::UnsupportedEncoding => whole("unsupported_encoding", "send the body without Content-Encoding"),
            Error::BodyIncomplete => whole("body_incomplete", "the body broke off; send the request again"),
            Error::Disbelieved(Disbelief::TokenMissing) => {
                whole("token_missing", "send the tenant's token as ts_token or as Authorization: Bearer")
            }
            Error::Disbelieved(Disbelief::TokenInvalid) => {
                whole("token_invalid", "this token is not one of the partner's tenant")
            }
            Error::Disbelieved(Disbelief::NotAccepted) => {
                whole("not_accepted", "this partner's requests cannot prove themselves here; send them to the edge")
            }
            Error::Disbelieved(Disbelief::SignatureMissing) => {
                whole("signature_missing", "sign the request with bytec-v1, in headers or in the query")
            }
            Error::Disbelieved(Disbelief::SignatureInvalid { .. }) => {
                whole("signature_invalid", "check canonical order")
            }
            Error::KeyMissing => whole("key_missing", "send an API key as Authorization: Bearer"),
            Error::KeyInvalid => whole("key_invalid", "this key opens nothing here; it may have ended"),
            Error::Question(Problem { code, field, hint }) => {
                Failure { field: Some(*field).filter(|field| !field.is_empty()), ..whole(code, hint) }
            }
            Error::Replay => whole("replay", "this signature was used before; sign each attempt anew"),
            Error::Rejected(rejection) | Error::Disbelieved(Disbelief::Unsignable(rejection)) => Failure {
                field: rejection.field(),
                verdict: Some(Verdict::Rejected),
                ..Failure::of(rejection.code().as_str(), rejection.hint())
            },
            Error::Malformed(_) => Failure {
                verdict: Some(Verdict::Rejected),
                ..whole(
                    "malformed_forward",
                    "edge and origin differ in version; deploy both. The edge keeps the postback",
                )
            },
            Error::MalformedBatch(hint) => {
                Failure { verdict: Some(Verdict::Rejected), ..whole("malformed_forward", hint) }
            }
            Error::Conflict => Failure {
                field: Some("event_id"),
                verdict: Some(Verdict::Conflict),
                ..whole(
                    "event_id_conflict",
                    "this event_id was sent before with other content; give a new event a new id",
                )
            },
            Error::RateLimited(_) => whole("rate_limited", "send the same request again after Retry-After seconds"),
            Error::DailyLimit(_) => {
                whole("daily_limit", "not stored: more requests than the partner's day has; send it again tomorrow")
            }
            Error::Overloaded => whole("overloaded", "not stored; send the same request again"),
            Error::Store(StoreError::Unavailable(_)) => {
                whole("unavailable", "not confirmed as stored; send the same request again")
            }
            Error::Store(StoreError::Bug(_)) | Error::Internal(_) => {
                whole("internal", "not stored; our mistake, we have been told")
            }
            Error::Unanswered(reason) => Failure {
                hint: match reason.status() {
                    414 => "path and query have at most 8192 bytes",
                    500 => "our mistake, we have been told",
                    _ => "not answered; ask the same again",
                },
                ..reason.failure()
            },
        }
    }

    /// A header that belongs to the status code.
    pub fn header(&self) -> Option<(&'static str, Cow<'static, str>)> {
        match self {
            Error::MethodNotAllowed { allow } => Some(("allow", Cow::Borrowed(allow))),
            Error::Disbelieved(Disbelief::TokenMissing) | Error::KeyMissing => {
                Some(("www-authenticate", Cow::Borrowed("Bearer")))
            }
            Error::Overloaded | Error::Store(StoreError::Unavailable(_)) => Some(("retry-after", Cow::Borrowed("1"))),
            Error::Unanswered(reason) => reason.header(),
            Error::RateLimited(OverRate { retry_after_s }) | Error::DailyLimit(OverDailyLimit { retry_after_s }) => {
                Some(("retry-after", Cow::Owned(retry_after_s.to_string())))
            }
            Error::PartnerNotFound
            | Error::UrlTooLong
            | Error::BodyTooLarge
            | Error::UnsupportedEncoding
            | Error::BodyIncomplete
            | Error::Disbelieved(_)
            | Error::KeyInvalid
            | Error::Question(_)
            | Error::Replay
            | Error::Rejected(_)
            | Error::Malformed(_)
            | Error::MalformedBatch(_)
            | Error::Conflict
            | Error::Store(StoreError::Bug(_))
            | Error::Internal(_) => None,
        }
    }

    /// What our log is told beside the code.
    pub fn reason(&self) -> Option<String> {
        match self {
            Error::Unanswered(reason) => reason.reason(),
            Error::Disbelieved(Disbelief::SignatureInvalid { cause }) => Some((*cause).to_owned()),
            Error::Store(error) => Some(error.to_string()),
            Error::Internal(reason) => Some((*reason).to_owned()),
            Error::Malformed(reason) => Some(reason.clone()),
            Error::PartnerNotFound
            | Error::MethodNotAllowed { .. }
            | Error::UrlTooLong
            | Error::BodyTooLarge
            | Error::UnsupportedEncoding
            | Error::BodyIncomplete
            | Error::Disbelieved(
                Disbelief::TokenMissing
                | Disbelief::TokenInvalid
                | Disbelief::NotAccepted
                | Disbelief::SignatureMissing
                | Disbelief::Unsignable(_),
            )
            | Error::KeyMissing
            | Error::KeyInvalid
            | Error::Question(_)
            | Error::Replay
            | Error::Rejected(_)
            | Error::MalformedBatch(_)
            | Error::Conflict
            | Error::RateLimited(_)
            | Error::DailyLimit(_)
            | Error::Overloaded => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Error::Store(error)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Question(problem)
    }
}

impl From<OverRate> for Error {
    fn from(over: OverRate) -> Self {
        Error::RateLimited(over)
    }
}

impl From<OverDailyLimit> for Error {
    fn from(over: OverDailyLimit) -> Self {
        Error::DailyLimit(over)
    }
}

impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        Error::Rejected(rejection)
    }
}

impl From<Disbelief> for Error {
    fn from(disbelief: Disbelief) -> Self {
        Error::Disbelieved(disbelief)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_nothing_of_storing() {
        let away = || Error::Store(StoreError::Unavailable("away".to_owned()));
        let broken = || Error::Store(StoreError::Bug("broken".to_owned()));
        for (error, status) in [
            (away(), 503),
            (Error::Overloaded, 503),
            (broken(), 500),
            (Error::Internal("x"), 500),
            (Error::UrlTooLong, 414),
        ] {
            let code = error.failure().code.to_owned();
            let header = error.header();
            let told = error.of_question();
            assert_eq!((told.status(), told.failure().code, told.header()), (status, code.as_str(), header));
            assert!(!told.failure().hint.contains("stored") && !told.failure().hint.contains("POST"), "{code}");
        }
        let key = Error::KeyInvalid.of_question();
        assert_eq!((key.status(), key.failure().code), (403, "key_invalid"));
    }
}
