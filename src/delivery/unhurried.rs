//! Delivery while nobody waits: each of a partner's origins is asked in turn, and given more time.

use crate::config::Config;
use crate::delivery::attempt::{Failure, Outcome, attempt};
use crate::delivery::breaker;
use crate::delivery::outgoing::Draft;
use crate::platform::exchange::{Answer, Reply};
use crate::platform::now;
use postback::partner::Partner;
use postback::verdict::Verdict;

/// How long an origin may take, in milliseconds.
const ATTEMPT_MS_MAX: u32 = 5_000;

/// One attempt at each of the partner's origins until one acknowledges. The breakers are not asked, but learn of a success.
///
/// # Errors
/// The first failure, if none does.
pub async fn at_any_origin(
    config: &Config,
    partner: &Partner,
    draft: &Draft<'_>,
) -> Result<(Verdict, Answer), Failure> {
    let mut first_failure = None;
    for origin in config.origins.of(partner) {
        match attempt(config, origin, draft, Reply::Body, ATTEMPT_MS_MAX, now().unix_s()).await {
            Outcome::Acknowledged(verdict, answer) => {
                breaker::with(origin, breaker::Breaker::succeeded);
                return Ok((verdict, answer));
            }
            Outcome::Failed(failure) => {
                first_failure.get_or_insert(failure);
            }
        }
    }
    Err(first_failure.unwrap_or_else(|| Failure::ours("no origin is configured")))
}
