//! One signed attempt at an origin, and what its answer proves. An answer counts by its acknowledgement alone, never by its
//! status: a tunnel's error page is not an answer of ours (R17, R18).

use crate::config::Config;
use crate::delivery::outgoing::{Draft, signed};
use crate::platform::exchange::{Answer, Reply, is_timeout, send};
use crate::platform::random_bytes;
use postback::acknowledgement;
use postback::id::Nonce;
use postback::verdict::Verdict;
use std::sync::atomic::{AtomicI64, Ordering};

/// When this isolate last had an acknowledged answer, in Unix seconds; 0 before the first.
static LAST_SUCCESS_S: AtomicI64 = AtomicI64::new(0);

/// What came of an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The origin answered for this event.
    Acknowledged(Verdict, Answer),
    /// Nothing that proves anything came back.
    Failed(Failure),
}

/// Why an attempt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it follows from this.
    pub kind: FailureKind,
    /// For our log: the platform's words or the status of the answer.
    pub reason: String,
    /// Seconds that the answer asks us to wait.
    pub retry_after_s: Option<u32>,
}

/// Kinds of failures, by what they say about the way to the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nobody was reached: no connection, or a tunnel without an origin behind it.
    Connection,
    /// No answer in time: the request may have arrived.
    TimedOut,
    /// Somebody answered who is not our origin: HTML, a redirect, a success that nobody acknowledges.
    Foreign,
    /// An answer about this request alone: 404 or 405 in JSON, of an origin that does not know this partner yet; 400, 413, 414, 415,
    /// 431 of something in between that cannot take it.
    Unserved,
    /// 401 or 403: our key or our clock is wrong, or Access stands in front.
    NotBelieved,
    /// The origin is there and could not take it now.
    Busy,
    /// The origin acknowledged that it cannot read what this edge read and signed: two versions, or a bug. Never the sender's fault.
    Misread,
    /// We could not even ask.
    Ours,
}

impl FailureKind {
    /// Whether the way to the origin is broken, for all partners alike. An origin that is busy, or does not serve a partner, may be
    /// so for that one alone.
    pub const fn is_of_the_way(self) -> bool {
        match self {
            FailureKind::Connection | FailureKind::TimedOut | FailureKind::Foreign => true,
            FailureKind::Unserved
            | FailureKind::NotBelieved
            | FailureKind::Busy
            | FailureKind::Misread
            | FailureKind::Ours => false,
        }
    }

    /// Whether somebody has to change something of ours: a key, a clock, a version.
    pub const fn is_our_fault(self) -> bool {
        match self {
            FailureKind::NotBelieved | FailureKind::Misread | FailureKind::Ours => true,
            FailureKind::Connection
            | FailureKind::TimedOut
            | FailureKind::Foreign
            | FailureKind::Unserved
            | FailureKind::Busy => false,
        }
    }

    /// Whether somebody answered who may be our origin, so that the way to it is open.
    pub const fn has_reached_the_origin(self) -> bool {
        match self {
            FailureKind::Unserved | FailureKind::NotBelieved | FailureKind::Busy | FailureKind::Misread => true,
            FailureKind::Connection | FailureKind::TimedOut | FailureKind::Foreign | FailureKind::Ours => false,
        }
    }
}

impl Failure {
    /// Something of ours that failed before anybody was asked.
    pub fn ours(reason: impl Into<String>) -> Failure {
        Failure { kind: FailureKind::Ours, reason: reason.into(), retry_after_s: None }
    }

    /// An origin's acknowledged refusal of a forwarded postback, in its words, which repeat nothing that was sent.
    pub fn misread(answer: &Answer) -> Failure {
        let reason = format!("the origin cannot read what this edge read: status {}: {}", answer.status, answer.body);
        Failure { kind: FailureKind::Misread, reason, retry_after_s: None }
    }
}

/// Makes one attempt at `now_s` (Unix seconds).
pub async fn attempt(
    config: &Config,
    origin: &str,
    draft: &Draft<'_>,
    reply: Reply<'_>,
    timeout_ms: u32,
    now_s: i64,
) -> Outcome {
    let nonce = match random_bytes() {
        Ok(bytes) => Nonce::from_bytes(bytes),
        Err(reason) => return ours(reason),
    };
    let Some(request) = signed(config, origin, draft, now_s, &nonce) else {
        return ours("no key in force to sign with".to_owned());
    };
    let answer = match send(&request, reply, timeout_ms).await {
        Ok(answer) => answer,
        Err(reason) => {
            let kind = if is_timeout(&reason) { FailureKind::TimedOut } else { FailureKind::Connection };
            return Outcome::Failed(Failure { kind, reason, retry_after_s: None });
        }
    };
    match acknowledgement::read(&config.keys, &answer.ack, draft.event_id, &nonce, now_s) {
        Some(verdict) => {
            LAST_SUCCESS_S.store(now_s, Ordering::Relaxed);
            Outcome::Acknowledged(verdict, answer)
        }
        None => Outcome::Failed(Failure {
            kind: kind_of(&answer),
            reason: format!("status {} without a valid acknowledgement", answer.status),
            retry_after_s: answer.retry_after_s,
        }),
    }
}

fn ours(reason: String) -> Outcome {
    Outcome::Failed(Failure::ours(reason))
}

/// What an answer without a valid acknowledgement tells. Cloudflare's own errors come as HTML with a status of 52x or 530; a
/// tunnel whose origin is away answers 502.
fn kind_of(answer: &Answer) -> FailureKind {
    let is_html = answer.content_type.starts_with("text/html");
    match answer.status {
        502 | 504 | 520..=527 | 530 => FailureKind::Connection,
        401 | 403 => FailureKind::NotBelieved,
        404 | 405 if !is_html => FailureKind::Unserved,
        400 | 413 | 414 | 415 | 431 => FailureKind::Unserved,
        // A replayed nonce: the next attempt has another.
        409 | 429 => FailureKind::Busy,
        500..=599 if !is_html => FailureKind::Busy,
        _ => FailureKind::Foreign,
    }
}

/// Seconds since this isolate's last acknowledged answer, if it had one.
pub fn seconds_since_success(now_s: i64) -> Option<i64> {
    match LAST_SUCCESS_S.load(Ordering::Relaxed) {
        0 => None,
        then_s => Some(now_s.saturating_sub(then_s)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_acknowledgement_is_told_apart_by_what_it_says_about_the_way() {
        let kind = |status, content_type: &str| {
            kind_of(&Answer {
                status,
                ack: String::new(),
                content_type: content_type.to_owned(),
                retry_after_s: None,
                body: String::new(),
            })
        };
        for (status, content_type, expected) in [
            (530, "text/html; charset=UTF-8", FailureKind::Connection),
            (502, "text/html", FailureKind::Connection),
            (200, "text/html", FailureKind::Foreign),
            (200, "application/json", FailureKind::Foreign),
            (302, "", FailureKind::Foreign),
            (414, "text/html", FailureKind::Unserved),
            (400, "", FailureKind::Unserved),
            (404, "application/json", FailureKind::Unserved),
            (404, "text/html", FailureKind::Foreign),
            (0, "", FailureKind::Foreign),
            (403, "application/json", FailureKind::NotBelieved),
            (409, "application/json", FailureKind::Busy),
            (429, "text/html", FailureKind::Busy),
            (503, "application/json", FailureKind::Busy),
            (503, "text/html", FailureKind::Foreign),
            (500, "application/json", FailureKind::Busy),
        ] {
            assert_eq!(kind(status, content_type), expected, "{status} {content_type}");
        }
    }
}
