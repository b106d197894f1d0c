//! Forwarding: one signed attempt at the origin, and what its answer proves. An answer counts by its acknowledgement
//! alone, never by its status: a tunnel's error page is not an answer of ours (R17, R18).

use crate::config::Config;
use crate::outgoing::{Arrival, outgoing};
use crate::platform::{Answer, random_bytes, send};
use postback::acknowledgement;
use postback::id::Nonce;
use postback::partner::Partner;
use postback::postback::Postback;
use postback::verdict::Verdict;
use std::sync::atomic::{AtomicI64, Ordering};

/// How long the origin may take for headers and body, in milliseconds.
const ATTEMPT_TIMEOUT_MS: u32 = 2_000;

/// When this isolate last had an acknowledged answer, in Unix seconds; 0 before the first.
static LAST_SUCCESS_S: AtomicI64 = AtomicI64::new(0);

/// What came of an attempt.
pub enum Outcome {
    /// The origin answered for this event; its answer goes through to the partner.
    Answered(Verdict, Answer),
    /// Nothing that proves anything came back: refused, too slow, or not from our origin.
    Unavailable {
        /// For our log: the platform's words or the status of the answer that proved nothing.
        reason: String,
    },
}

/// Makes one attempt at `now_s` (Unix seconds).
pub async fn forward(
    config: &Config,
    partner: &Partner,
    postback: &Postback,
    arrival: &Arrival,
    now_s: i64,
) -> Outcome {
    let nonce = match random_bytes() {
        Ok(bytes) => Nonce::from_bytes(bytes),
        Err(reason) => return Outcome::Unavailable { reason },
    };
    let Some(request) = outgoing(config, partner, postback, arrival, now_s, &nonce) else {
        return Outcome::Unavailable { reason: "no key in force to sign with".to_owned() };
    };
    let answer = match send(&request, ATTEMPT_TIMEOUT_MS).await {
        Ok(answer) => answer,
        Err(reason) => return Outcome::Unavailable { reason },
    };
    let header = answer.ack.as_deref().unwrap_or("");
    match acknowledgement::read(&config.keys, header, postback.event_id(), &nonce, now_s) {
        Some(verdict) => {
            LAST_SUCCESS_S.store(now_s, Ordering::Relaxed);
            Outcome::Answered(verdict, answer)
        }
        None => {
            let reason = format!("status {} without a valid acknowledgement", answer.status);
            answer.discard();
            Outcome::Unavailable { reason }
        }
    }
}

/// Seconds since this isolate's last acknowledged answer, if it had one.
pub fn seconds_since_success(now_s: i64) -> Option<i64> {
    match LAST_SUCCESS_S.load(Ordering::Relaxed) {
        0 => None,
        then_s => Some(now_s.saturating_sub(then_s)),
    }
}
