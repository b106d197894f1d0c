//! Everything that can go wrong at the edge, and the one place where it gets a status code. What a partner is told is
//! here; what only our log is told is logged where it happened.

use crate::guard::limits;
use crate::parked::filter::Unclear;
use postback::partner::AuthMode;
use postback::rejection::{Code, Rejection};
use postback::reply::Failure;
use postback::verdict::Verdict;

/// Seconds after which a partner is asked to try again.
pub const RETRY_AFTER_S: &str = "30";

/// Why the edge answers with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No partner has this endpoint.
    PartnerNotFound,
    /// No partner has this offer.
    OfferNotFound,
    /// The path exists, for other methods.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
    },
    /// Path and query are longer than 8 KiB.
    UrlTooLong,
    /// The body is larger than 64 KiB.
    BodyTooLarge,
    /// The body is compressed.
    UnsupportedEncoding,
    /// The body broke off.
    BodyIncomplete,
    /// More than 50 headers, or than 16 KiB of them.
    HeadersTooLarge,
    /// A proof that does not hold, in whatever way.
    Unproven,
    /// The request shows no proof of a kind that its partner's requests must carry.
    ProofMissing(AuthMode),
    /// More than the partner may send in a minute, or a sender that failed to prove itself too often.
    TooMany,
    /// An operator's filter that is not clear.
    Unclear(Unclear),
    /// No postback is parked under this name.
    NotParked,
    /// An operation of that name does not exist.
    OperationNotFound,
    /// The postback cannot be read.
    Rejected(Rejection),
    /// The origin did not take the postback.
    Unavailable,
    /// Our configuration is wrong.
    Misconfigured,
}

impl Error {
    /// The status code.
    pub fn status(&self) -> u16 {
        match self {
            Error::Rejected(rejection) if rejection.code() == Code::UnsupportedBody => 415,
            Error::Rejected(_) | Error::BodyIncomplete | Error::Unclear(_) => 400,
            Error::ProofMissing(AuthMode::Token | AuthMode::Jwt) => 401,
            Error::Unproven | Error::ProofMissing(_) => 403,
            Error::PartnerNotFound | Error::OfferNotFound | Error::NotParked | Error::OperationNotFound => 404,
            Error::MethodNotAllowed { .. } => 405,
            Error::BodyTooLarge => 413,
            Error::UrlTooLong => 414,
            Error::UnsupportedEncoding => 415,
            Error::TooMany => 429,
            Error::HeadersTooLarge => 431,
            Error::Unavailable | Error::Misconfigured => 503,
        }
    }

    /// What the sender is told.
    pub fn failure(&self) -> Failure<'_> {
        let whole = Failure::of;
        match self {
            Error::PartnerNotFound => whole("partner_not_found", "no partner has this endpoint; check the path"),
            Error::OfferNotFound => whole("offer_not_found", "no partner has this offer; check the link"),
            Error::MethodNotAllowed { .. } => {
                whole("method_not_allowed", "the header Allow lists the methods of this path")
            }
            Error::UrlTooLong => whole("url_too_long", "path and query have at most 8192 bytes; use POST"),
            Error::BodyTooLarge => whole("body_too_large", "a body has at most 65536 bytes"),
            Error::UnsupportedEncoding => whole("unsupported_encoding", "send the body without Content-Encoding"),
            Error::BodyIncomplete => whole("body_incomplete", "the body broke off; send the request again"),
            Error::HeadersTooLarge => whole("headers_too_large", "send at most 50 headers with at most 16384 bytes"),
            // One answer for every mode and cause: whoever tries secrets learns nothing from it (R13).
            Error::Unproven | Error::ProofMissing(AuthMode::Open | AuthMode::Ip) => {
                whole("signature_invalid", "check canonical order")
            }
            // Which kinds a partner's requests need, its documents say as well.
            Error::ProofMissing(AuthMode::Token) => {
                whole("token_missing", "send the tenant's token as ts_token or as Authorization: Bearer")
            }
            Error::ProofMissing(AuthMode::Jwt) => {
                whole("jwt_missing", "send a JSON Web Token as Authorization: Bearer")
            }
            Error::ProofMissing(AuthMode::Signature) => {
                whole("signature_missing", "sign the request with bytec-v1, in headers or in the query")
            }
            Error::ProofMissing(AuthMode::PathKey) => {
                whole("path_key_missing", "put your key behind the path, as its last segment")
            }
            Error::ProofMissing(AuthMode::Mtls) => whole("certificate_missing", "connect with your client certificate"),
            Error::TooMany => whole("rate_limited", "send the same request again after Retry-After seconds"),
            Error::Unclear(unclear) => {
                Failure { field: Some(&unclear.name), ..Failure::of("unclear_filter", unclear.hint) }
            }
            Error::NotParked => whole("not_parked", "no postback is parked under this request id"),
            Error::OperationNotFound => whole("operation_not_found", "docs/operations.md lists the operations"),
            Error::Rejected(rejection) => Failure {
                field: rejection.field(),
                verdict: Some(Verdict::Rejected),
                ..Failure::of(rejection.code().as_str(), rejection.hint())
            },
            // One answer for both: a partner can do the same about either, and our inside is not its business.
            Error::Unavailable | Error::Misconfigured => {
                whole("unavailable", "not confirmed as stored; send the same request again after Retry-After seconds")
            }
        }
    }

    /// A header that belongs to the status code.
    pub fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Error::MethodNotAllowed { allow } => Some(("allow", allow)),
            Error::Unavailable | Error::Misconfigured => Some(("retry-after", RETRY_AFTER_S)),
            Error::TooMany => Some(("retry-after", limits::RETRY_AFTER_S)),
            Error::ProofMissing(AuthMode::Token | AuthMode::Jwt) => Some(("www-authenticate", "Bearer")),
            Error::PartnerNotFound
            | Error::OfferNotFound
            | Error::UrlTooLong
            | Error::BodyTooLarge
            | Error::UnsupportedEncoding
            | Error::BodyIncomplete
            | Error::HeadersTooLarge
            | Error::Unproven
            | Error::ProofMissing(_)
            | Error::Unclear(_)
            | Error::NotParked
            | Error::OperationNotFound
            | Error::Rejected(_) => None,
        }
    }
}

/// The status code of an answer that the origin acknowledged: its own where it is one that the verdict may have.
pub fn status_of_verdict(verdict: Verdict, origin_status: u16) -> u16 {
    match verdict {
        Verdict::Created | Verdict::Duplicate | Verdict::Revised => 200,
        Verdict::Conflict => 409,
        Verdict::Rejected if matches!(origin_status, 400 | 413 | 415 | 422) => origin_status,
        Verdict::Rejected => 400,
    }
}
