//! How much a sender may send (R14): Cloudflare's counters, by partner for what is accepted and by partner and address for
//! what is not. They are counters of one location each, no accounting; the exact daily limit is the origin's.

use crate::platform::Bindings;
use postback::partner::Partner;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The binding that counts refused senders.
const FAILURES: &str = "AUTH_FAILURES";

/// Bindings that count a partner's requests, and how many they let pass in a minute. A counter's limit stands in
/// `wrangler.toml`, so there are steps of them, and a partner gets the first that is not below its file's limit.
pub const RATES: [(&str, u32); 4] =
    [("RATE_600", 600), ("RATE_6000", 6_000), ("RATE_60000", 60_000), ("RATE_600000", 600_000)];

/// Seconds after which a sender over its limit may try again: the counters' period.
pub const RETRY_AFTER_S: &str = "60";
const PERIOD_MS: i64 = 60_000;

/// Senders that are not listened to at once, at most: the oldest are let in again first.
const SHUT_OUT_MAX: usize = 1_024;

/// Senders that failed too often lately, and until when (Unix milliseconds) this isolate does not listen to them.
static SHUT_OUT: Mutex<Vec<(String, i64)>> = Mutex::new(Vec::new());

/// Whether a partner's request is within the partner's limit.
pub async fn is_within_rate(bindings: &Bindings, partner: &Partner) -> bool {
    match rate_of(partner) {
        Some(binding) => bindings.within(binding, &partner.code).await,
        None => true,
    }
}

fn rate_of(partner: &Partner) -> Option<&'static str> {
    RATES.iter().find(|(_, limit)| *limit >= partner.max_requests_per_minute).map(|(binding, _)| *binding)
}

/// Counts a request that was not believed; from the limit on its sender is shut out for a while. A sender is an address at
/// one endpoint: a network whose one partner is set up wrongly must not lose the conversions of the others.
pub async fn count_failure(bindings: &Bindings, endpoint: &str, address: &str, now_ms: i64) {
    let sender = sender(endpoint, address);
    if bindings.within(FAILURES, &sender).await {
        return;
    }
    let mut shut_out = SHUT_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    shut_out.retain(|(known, until_ms)| *known != sender && *until_ms > now_ms);
    if shut_out.len() >= SHUT_OUT_MAX {
        shut_out.remove(0);
    }
    shut_out.push((sender, now_ms.saturating_add(PERIOD_MS)));
}

/// Whether a sender failed too often lately.
pub fn is_shut_out(endpoint: &str, address: &str, now_ms: i64) -> bool {
    let shut_out = SHUT_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    // Nearly always there is nobody.
    !shut_out.is_empty() && {
        let sender = sender(endpoint, address);
        shut_out.iter().any(|(known, until_ms)| *known == sender && *until_ms > now_ms)
    }
}

/// An endpoint and an address. Who has one address of IPv6 has its whole /64, so they all count as one.
fn sender(endpoint: &str, address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{endpoint} {a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(IpAddr::V4(address)) => format!("{endpoint} {address}"),
        Err(_) => format!("{endpoint} {address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry;

    #[test]
    fn a_sender_is_an_address_and_in_ipv6_a_network() {
        let same = |a, b| sender("e", a) == sender("e", b);
        assert!(same("2001:db8:1:2:3::1", "2001:db8:1:2:ffff::") && !same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    }

    #[test]
    fn a_partner_gets_the_first_step_that_is_not_below_its_limit() {
        let partner = registry().unwrap().by_code("rector").unwrap().clone();
        let rate = |limit| rate_of(&Partner { max_requests_per_minute: limit, ..partner.clone() });
        assert_eq!(
            [rate(1), rate(600), rate(601), rate(6_000), rate(600_000), rate(600_001)],
            [Some("RATE_600"), Some("RATE_600"), Some("RATE_6000"), Some("RATE_6000"), Some("RATE_600000"), None]
        );
    }
}
