//! The checks of a partner's offers: a landing page that no click can turn into another site's, and a list of what it is
//! told that agrees with what it has places for.

use super::OfferTable;
use super::checks::Checks;
use crate::limits::LANDING_BYTES_MAX;
use crate::params::is_proof;
use crate::partner::offer::{Offer, Piece, pieces};
use std::collections::{BTreeMap, BTreeSet};

/// The value without which no conversion could be told to be a click's.
const CLICK_ID: &str = "click_id";

impl Checks<'_> {
    pub(super) fn offers(&mut self, written: BTreeMap<String, OfferTable>) -> BTreeMap<String, Offer> {
        let mut offers = BTreeMap::new();
        for (code, OfferTable { landing, allow }) in written {
            if !is_code(&code) {
                self.wrong(
                    &format!("offers.{code}"),
                    "an offer's code is lower-case letters, digits, _ and -, from a letter or digit, at most 64",
                );
            }
            self.landing(&format!("offers.{code}.landing"), &landing, &allow);
            self.allow(&format!("offers.{code}.allow"), &landing, &allow);
            offers.insert(code, Offer { landing, allow });
        }
        offers
    }

    fn landing(&mut self, key: &str, landing: &str, allow: &[String]) {
        if landing.len() > LANDING_BYTES_MAX {
            self.wrong(key, format!("has more than {LANDING_BYTES_MAX} bytes"));
        }
        self.site(key, landing);
        let Some(pieces) = pieces(landing) else {
            return self.wrong(key, "has a brace without its partner; a value's place is {name}");
        };
        let is_literal = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`|".contains(&byte);
        for piece in &pieces {
            match *piece {
                Piece::Literal(text) if !text.bytes().all(is_literal) => {
                    self.wrong(key, format!("{text:?} has characters that a URL has only percent-encoded"));
                }
                Piece::Placeholder(name) if name != CLICK_ID && !allow.iter().any(|allowed| allowed == name) => {
                    self.wrong(key, format!("{{{name}}} is not in allow"));
                }
                Piece::Literal(_) | Piece::Placeholder(_) => {}
            }
        }
        if !pieces.contains(&Piece::Placeholder(CLICK_ID)) {
            self.wrong(key, "has no {click_id}; conversions could not be told to be a click's");
        }
    }

    /// Scheme and host, which stand in the file and nowhere else.
    fn site(&mut self, key: &str, landing: &str) {
        let (scheme, rest) = landing.split_once("://").unwrap_or(("", landing));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let is_host = host.bytes().any(|byte| byte.is_ascii_alphanumeric())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        let is_port = port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
        let is_own_machine = ["127.0.0.1", "localhost"].contains(&host);
        if scheme != "https" && !(scheme == "http" && is_own_machine) {
            self.wrong(key, "must begin with https:// (http:// only for 127.0.0.1 and localhost)");
        } else if !is_host || !is_port {
            let reason =
                "is no host of letters, digits, . and - with an optional port: no user, no {name} before the path";
            self.wrong(key, format!("{authority:?} {reason}"));
        }
    }

    fn allow(&mut self, key: &str, landing: &str, allow: &[String]) {
        let pieces = pieces(landing).unwrap_or_default();
        let mut known = BTreeSet::new();
        for name in allow {
            if name == CLICK_ID {
                self.wrong(key, "\"click_id\" is filled in anyway; leave it out");
            } else if !is_name(name) {
                self.wrong(
                    key,
                    format!("{name:?} must be lower-case letters, digits and _, from a letter, at most 64"),
                );
            } else if is_proof(name) {
                self.wrong(key, format!("{name:?} proves who sends and is never passed on"));
            } else if !known.insert(name) {
                self.wrong(key, format!("names {name:?} twice"));
            } else if !pieces.contains(&Piece::Placeholder(name)) {
                self.wrong(key, format!("{name:?} has no place in landing; it would be dropped"));
            }
        }
    }
}

fn is_code(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    starts && text.len() <= 64 && text.bytes().all(plain)
}

fn is_name(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    starts && text.len() <= 64 && text.bytes().all(plain)
}
