//! A partner as data: endpoint, names, words, zone and rules (R6). Partners are written as files (`partners/*.toml`,
//! read by [`file`]) and carried in programs as the JSON that those files came to.

#[cfg(feature = "files")]
pub mod file;
#[cfg(feature = "files")]
mod problem;
#[cfg(feature = "files")]
mod schema;
#[cfg(feature = "files")]
mod zones;
mod offer;
mod report;
mod rules;

pub use offer::Offer;
pub use report::ReportForm;
pub use rules::{FirstDeposit, JwtExpected, OnExceeding, OnReversed, OtherAmount, RefundRules, UnknownStatus};

use crate::duplicate::DuplicatePolicy;
use crate::field::Field;
use crate::money::{Amount, Currency};
use crate::reply::Format;
use crate::status::Status;
use crate::zone::Zone;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a sender proves who it is (R12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// Not at all: anyone who knows the URL is believed.
    Open,
    /// The tenant's token.
    Token,
    /// An HMAC signature over the request (`bytec-v1`).
    Signature,
    /// A JSON Web Token as bearer.
    Jwt,
    /// An address on a list.
    Ip,
    /// A pinned client certificate.
    Mtls,
    /// An unguessable segment behind the endpoint, for networks that can send nothing but macros.
    PathKey,
}

impl AuthMode {
    /// The name that is stored with each postback.
    pub const fn name(self) -> &'static str {
        match self {
            AuthMode::Open => "open",
            AuthMode::Token => "token",
            AuthMode::Signature => "signature",
            AuthMode::Jwt => "jwt",
            AuthMode::Ip => "ip",
            AuthMode::Mtls => "mtls",
            AuthMode::PathKey => "path_key",
        }
    }
}

/// One partner. Built by [`file`]; every value in it has been checked there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// The file's name without ending: the partner's name in logs and metrics.
    pub code: String,
    /// Which version of the rules this is: 16 hexadecimal digits of a digest over all other members.
    pub rules_version: String,
    /// The name people use.
    pub name: String,
    /// Whose data it is.
    pub tenant: String,
    /// Whether the endpoint is served.
    pub is_active: bool,
    /// Whether requests are logged, beside those that fail.
    pub enable_logging: bool,
    /// The path after `/`, `/postback/` or `/partner/`; empty for the generic endpoint.
    pub endpoint: String,
    /// The database that holds this partner's postbacks and nothing else (R45).
    pub database: String,
    /// What a successful answer looks like.
    pub reply: Format,

    /// All of these must hold for a request at the edge (R12).
    pub auth: Vec<AuthMode>,
    /// Where requests may come from, with [`AuthMode::Ip`].
    pub ip_allow: Vec<IpNet>,
    /// SHA-256 of the certificates that may be presented, lower-case hex, with [`AuthMode::Mtls`].
    pub mtls_sha256: Vec<String>,
    /// What a token must say, with [`AuthMode::Jwt`].
    pub jwt: Option<JwtExpected>,

    /// The clocks that times without an offset were read from.
    pub zone: Zone,
    /// The currency of `sale_amount` and `payout` where the request names none.
    pub currency: Option<String>,
    /// Whether amounts below zero are normal for this partner, whatever the event.
    pub negative_amounts: bool,
    /// The largest magnitude of an amount, in the currency as sent. A postback with a larger one is refused.
    pub amount_max: Amount,
    /// Fields without which a postback is refused.
    pub required: Vec<Field>,
    /// The partner's names that are not canonical ones, and the fields they mean.
    pub aliases: BTreeMap<String, Field>,
    /// Fields that always have this canonical text, whatever is sent.
    pub constants: BTreeMap<Field, String>,
    /// The event of a request that names none; a notice about a known conversion then leaves its event as it is.
    pub default_event: Option<String>,
    /// The partner's words for events, folded by [`fold_word`], and our names.
    pub events: BTreeMap<String, String>,
    /// The partner's words for a conversion's standing, folded by [`fold_word`].
    pub statuses: BTreeMap<String, Status>,
    /// What a word that is not among them comes to.
    pub unknown_status: UnknownStatus,
    /// Words that the partner's templates leave where a value should be.
    pub placeholders: Vec<String>,

    /// Where clicks lead, by the offer's code. A code is one partner's alone.
    pub offers: BTreeMap<String, Offer>,

    /// What another postback about a known conversion does (R48).
    pub duplicates: DuplicatePolicy,
    /// How refunds and chargebacks count against their sale.
    pub refunds: RefundRules,
    /// What counts as a first deposit (R49).
    pub first_deposit: Option<FirstDeposit>,
    /// How many days after its click a conversion may come (R50). None: however many.
    pub attribution_window_days: Option<u32>,
    /// Whether a conversion without a consent version is to be marked (R64).
    pub consent_required: bool,

    /// Requests in a day (R46).
    pub max_daily_requests: u32,
    /// Requests in a minute (R14).
    pub max_requests_per_minute: u32,
    /// Days after which requests as received are dropped; conversions stay (R59).
    pub data_retention_days: u32,
    /// Days after which clicks are dropped (R59); conversions keep what was attributed.
    pub click_retention_days: u32,

    /// How the partner's own reports are written (R55).
    pub report: ReportForm,
}

impl Partner {
    /// The field that one of the partner's parameter names means. A canonical name means itself unless the partner's
    /// file says otherwise.
    pub fn field_of(&self, name: &str) -> Option<Field> {
        self.aliases.get(name).copied().or_else(|| Field::parse(name))
    }

    /// The field of a name that differs from one of the partner's in case alone.
    pub fn field_of_any_case(&self, name: &str) -> Option<Field> {
        let alias = self.aliases.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field);
        alias.or_else(|| Field::parse(&name.to_ascii_lowercase()))
    }

    /// All the modes by which a postback of the edge came, as its record names them: `ip+signature`.
    pub fn auth_names(&self) -> String {
        self.auth.iter().map(|mode| mode.name()).collect::<Vec<_>>().join("+")
    }

    /// Whether anybody who knows the URL can send.
    pub fn is_open(&self) -> bool {
        self.is_active && self.auth.contains(&AuthMode::Open)
    }

    /// The currency that amounts without one are in.
    pub fn default_currency(&self) -> Option<Currency> {
        self.currency.as_deref().and_then(Currency::parse)
    }
}

/// A word of a vocabulary as it is compared: lower case, with runs of spaces, `_` and `-` between its parts as one space.
/// In front they are part of the word: `-1` is not `1`.
pub fn fold_word(word: &str) -> String {
    const JOINTS: [char; 3] = [' ', '_', '-'];
    let word = word.trim_matches(' ');
    let body = word.trim_start_matches(JOINTS);
    let marks = word.strip_suffix(body).unwrap_or_default();
    let parts: Vec<_> = body.split(JOINTS).filter(|part| !part.is_empty()).map(str::to_lowercase).collect();
    format!("{marks}{}", parts.join(" "))
}

/// All partners that a program knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    partners: Vec<Partner>,
}

impl Registry {
    /// Reads the JSON that a build made of the partner files.
    ///
    /// # Errors
    /// When it is not such JSON, which only a broken build can cause.
    pub fn from_json(json: &str) -> Result<Registry, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The partners of these codes alone.
    ///
    /// # Errors
    /// A code that no partner has.
    pub fn only<'c>(&self, codes: &[&'c str]) -> Result<Registry, &'c str> {
        match codes.iter().find(|code| self.by_code(code).is_none()) {
            Some(unknown) => Err(unknown),
            None => {
                let partners = self.partners.iter().filter(|partner| codes.contains(&partner.code.as_str()));
                Ok(Registry { partners: partners.cloned().collect() })
            }
        }
    }

    /// Every partner, in order of code.
    pub fn all(&self) -> &[Partner] {
        &self.partners
    }

    /// The partner of a code.
    pub fn by_code(&self, code: &str) -> Option<&Partner> {
        self.partners.iter().find(|partner| partner.code == code)
    }

    /// The offer of a code, and the active partner that has it.
    pub fn offer(&self, code: &str) -> Option<(&Partner, &Offer)> {
        let active = self.partners.iter().filter(|partner| partner.is_active);
        active.filter_map(|partner| Some((partner, partner.offers.get(code)?))).next()
    }

    /// The active partner whose endpoint a path names: `/{endpoint}`, `/postback/{endpoint}` or `/partner/{endpoint}` (R1).
    pub fn by_path(&self, path: &str) -> Option<&Partner> {
        let path = path.strip_prefix('/')?;
        let endpoint = ["postback", "partner"]
            .into_iter()
            .find_map(|prefix| match path.strip_prefix(prefix)? {
                // The generic endpoint has one path, `/postback`.
                "" => (prefix == "postback").then_some(""),
                rest => rest.strip_prefix('/').filter(|endpoint| !endpoint.is_empty()),
            })
            .or((!path.is_empty()).then_some(path))?;
        self.partners.iter().find(|partner| partner.is_active && partner.endpoint == endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_joints() {
        assert_eq!(fold_word("Yet to consumed"), "yet to consumed");
        assert_eq!(fold_word(" YET_to--consumed "), "yet to consumed");
        assert_eq!(fold_word("-1"), "-1", "a minus is no joint");
        assert_eq!((fold_word("-").as_str(), fold_word(" ").as_str()), ("-", ""));
    }
}
