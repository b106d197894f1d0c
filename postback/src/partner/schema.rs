//! The partner file's schema: what may be written, and the checks that turn it into a [`Partner`]. All that is wrong with a
//! file is found in one reading.

use super::file::Problem;
use super::rules::{FirstDeposit, JwtExpected, RefundAmounts, UnknownStatus};
use super::zones::zone;
use super::{AuthMode, Partner, fold_word};
use crate::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use crate::event::Event;
use crate::field::Field;
use crate::money::{Amount, Currency};
use crate::reading::canonical_text;
use crate::reply::Format;
use crate::status::Status;
use crate::zone::Zone;
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeMap;

/// First segments of paths that belong to the service itself.
const RESERVED_SEGMENTS: [&str; 9] =
    ["postback", "partner", "click", "health", "ready", "info", "metrics", "openapi.json", "docs"];
/// Requests a day where a file does not say (R46).
const DAILY_REQUESTS: u32 = 100_000;
/// Requests a minute where a file does not say.
const REQUESTS_PER_MINUTE: u32 = 6_000;
/// Days that raw requests are kept where a file does not say (R46).
const RETENTION_DAYS: u32 = 30;
/// Ten years: beyond it a number of days is a mistake.
const RETENTION_DAYS_MAX: u32 = 3_653;

/// The file as written. docs/partner-files.md describes every key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartnerFile {
    name: String,
    tenant: String,
    #[serde(default = "yes")]
    is_active: bool,
    #[serde(default = "yes")]
    enable_logging: bool,
    endpoint: String,
    database: String,
    reply: Format,
    auth: Vec<AuthMode>,
    ip: Option<IpTable>,
    mtls: Option<MtlsTable>,
    jwt: Option<JwtExpected>,
    time_zone: String,
    currency: Option<String>,
    #[serde(default)]
    negative_amounts: bool,
    #[serde(default)]
    refunds: RefundsTable,
    required: Vec<String>,
    #[serde(default)]
    aliases: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    constants: BTreeMap<String, String>,
    default_event: Option<String>,
    #[serde(default)]
    events: BTreeMap<String, String>,
    #[serde(default)]
    statuses: BTreeMap<String, String>,
    #[serde(default)]
    unknown_status: UnknownStatus,
    #[serde(default)]
    placeholders: Vec<String>,
    #[serde(default)]
    duplicates: DuplicatesTable,
    ftd: Option<FtdTable>,
    max_daily_requests: Option<u32>,
    max_requests_per_minute: Option<u32>,
    data_retention_days: Option<u32>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IpTable {
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MtlsTable {
    sha256: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundsTable {
    amounts: RefundAmounts,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DuplicatesTable {
    #[serde(default)]
    key: DuplicateKey,
    window_s: Option<u32>,
    #[serde(default)]
    repeat: OnRepeat,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FtdTable {
    minimum: String,
    currency: String,
    #[serde(default)]
    bonus_payment_methods: Vec<String>,
}

/// Reads one file.
///
/// # Errors
/// All that is wrong with it; what is wrong with its TOML or its types comes first and alone.
pub(super) fn read(file: &str, text: &str) -> Result<Partner, Vec<Problem>> {
    let problem = |key: String, reason: String| vec![Problem { file: file.to_owned(), key, reason }];
    let document = toml::Deserializer::parse(text).map_err(|e| problem(String::new(), e.to_string()))?;
    let written: PartnerFile = serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        problem(if key == "." { String::new() } else { key }, error.inner().message().to_owned())
    })?;
    let mut check = Checks { file, problems: Vec::new() };
    let partner = check.partner(written);
    if check.problems.is_empty() { Ok(partner) } else { Err(check.problems) }
}

/// The checks of one file: each notes what is wrong and goes on, so that all is reported at once.
struct Checks<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn wrong(&mut self, key: &str, reason: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), key: key.to_owned(), reason: reason.into() });
    }

    fn partner(&mut self, written: PartnerFile) -> Partner {
        let code = self.file.strip_suffix(".toml").unwrap_or(self.file).to_owned();
        self.identifier("(file name)", &code);
        self.identifier("tenant", &written.tenant);
        self.identifier("database", &written.database);
        self.endpoint(&written.endpoint);
        if written.name.trim().is_empty() {
            self.wrong("name", "is empty");
        }
        self.auth(&written.auth);
        let currency = written.currency.map(|code| self.currency("currency", &code));
        let mut required: Vec<_> = written.required.iter().filter_map(|name| self.field("required", name)).collect();
        // In canonical order, so that the first problem of a request does not depend on how the file was written.
        required.sort_unstable();
        required.dedup();
        if !required.iter().any(|field| matches!(field, Field::ConversionId | Field::EventId)) {
            self.wrong("required", "must name conversion_id or event_id, or no postback could be told from another");
        }
        Partner {
            code,
            name: written.name,
            tenant: written.tenant,
            is_active: written.is_active,
            enable_logging: written.enable_logging,
            endpoint: written.endpoint,
            database: written.database,
            reply: written.reply,
            ip_allow: self.ip_allow(&written.auth, written.ip),
            mtls_sha256: self.mtls(&written.auth, written.mtls),
            jwt: self.jwt(&written.auth, written.jwt),
            auth: written.auth,
            zone: self.zone("time_zone", &written.time_zone),
            currency,
            negative_amounts: written.negative_amounts,
            refund_amounts: written.refunds.amounts,
            aliases: self.aliases(&written.aliases, &written.constants),
            constants: self.constants(&written.constants),
            required,
            default_event: written.default_event.map(|name| self.default_event(&name)),
            events: self.events(&written.events),
            statuses: self.statuses(&written.statuses),
            unknown_status: written.unknown_status,
            placeholders: self.placeholders(written.placeholders),
            duplicates: self.duplicates(&written.duplicates),
            first_deposit: written.ftd.and_then(|table| self.first_deposit(table)),
            max_daily_requests: self.at_least_one("max_daily_requests", written.max_daily_requests, DAILY_REQUESTS),
            max_requests_per_minute: self.at_least_one(
                "max_requests_per_minute",
                written.max_requests_per_minute,
                REQUESTS_PER_MINUTE,
            ),
            data_retention_days: self.retention(written.data_retention_days),
        }
    }

    /// Names that become file names, database names and metric labels.
    fn identifier(&mut self, key: &str, text: &str) {
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !starts || !plain || text.len() > 48 {
            self.wrong(key, format!("{text:?} must be lower-case letters, digits and _, from a letter, at most 48"));
        }
    }

    fn endpoint(&mut self, endpoint: &str) {
        if endpoint.is_empty() {
            return;
        }
        let segment = |text: &str| {
            !text.is_empty()
                && !text.bytes().all(|b| b == b'.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
        };
        if !endpoint.split('/').all(segment) {
            self.wrong(
                "endpoint",
                format!("{endpoint:?} must be path segments of A-Za-z0-9._~- without outer slashes"),
            );
        }
        if endpoint.split('/').next().is_some_and(|first| RESERVED_SEGMENTS.contains(&first)) {
            self.wrong("endpoint", format!("{endpoint:?} begins with a segment of the service's own"));
        }
    }

    fn auth(&mut self, modes: &[AuthMode]) {
        if modes.is_empty() {
            self.wrong("auth", "names no mode; say \"open\" to believe everybody");
        }
        if modes.len() > 1 && modes.contains(&AuthMode::Open) {
            self.wrong("auth", "\"open\" stands alone: with another mode it would mean nothing");
        }
    }

    fn currency(&mut self, key: &str, code: &str) -> String {
        match Currency::parse(code) {
            Some(currency) => currency.code().to_owned(),
            None => {
                self.wrong(key, format!("{code:?} is not an ISO 4217 code"));
                code.to_owned()
            }
        }
    }

    fn zone(&mut self, key: &str, name: &str) -> Zone {
        zone(name).unwrap_or_else(|| {
            self.wrong(key, format!("{name:?} is not an IANA time zone, such as \"Asia/Kuala_Lumpur\""));
            Zone::utc()
        })
    }

    fn field(&mut self, key: &str, name: &str) -> Option<Field> {
        let field = Field::parse(name);
        if field.is_none() {
            self.wrong(key, format!("{name:?} is not a canonical field (docs/partner-files.md lists them)"));
        }
        field
    }

    fn aliases(
        &mut self,
        written: &BTreeMap<String, Vec<String>>,
        constants: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Field> {
        let mut aliases: BTreeMap<String, Field> = BTreeMap::new();
        for (field_name, names) in written {
            let key = format!("aliases.{field_name}");
            let Some(field) = self.field(&key, field_name) else { continue };
            if constants.contains_key(field_name) {
                self.wrong(&key, "is a constant as well; nothing that is sent can mean it");
            }
            for name in names {
                if name.is_empty() {
                    self.wrong(&key, "holds an empty name");
                } else if name == field.name() {
                    self.wrong(&key, format!("{name:?} means itself already; leave it out"));
                }
                let canonical = Field::parse(&name.to_ascii_lowercase()).filter(|_| Field::parse(name).is_none());
                if let Some(other) = canonical.filter(|other| *other != field) {
                    let reason = format!("{name:?} is {} but for its case; it cannot mean another field", other.name());
                    self.wrong(&key, reason);
                }
                // Names that differ in case alone are one name to a sender who is careless about case.
                let same = |(known, other): (&String, &Field)| known.eq_ignore_ascii_case(name).then_some(*other);
                if let Some(other) = aliases.iter().find_map(same) {
                    self.wrong(&key, format!("{name:?} already means {}", other.name()));
                }
                aliases.insert(name.clone(), field);
            }
        }
        aliases
    }

    fn constants(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<Field, String> {
        let mut constants = BTreeMap::new();
        for (field_name, text) in written {
            let key = format!("constants.{field_name}");
            let Some(field) = self.field(&key, field_name) else { continue };
            match canonical_text(field, text) {
                _ if matches!(field, Field::EventId | Field::ConversionId | Field::ClickId) => {
                    self.wrong(&key, "tells one event from another; as a constant it would make one of all");
                }
                Some(canonical) => drop(constants.insert(field, canonical)),
                None => self.wrong(&key, format!("{text:?} is no value of this field")),
            }
        }
        constants
    }

    fn events(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut events = BTreeMap::new();
        for (word, event) in written {
            let key = format!("events.{word}");
            match Event::parse(event) {
                Some(event) => {
                    if events.insert(fold_word(word), event.name().to_owned()).is_some() {
                        self.wrong(&key, "stands twice, but for case and joints");
                    }
                }
                None => self.wrong(&key, format!("{event:?} is no event's name")),
            }
        }
        events
    }

    fn statuses(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<String, Status> {
        let mut statuses = BTreeMap::new();
        for (word, status) in written {
            let key = format!("statuses.{word}");
            match Status::parse(status) {
                Some(status) => {
                    if statuses.insert(fold_word(word), status).is_some() {
                        self.wrong(&key, "stands twice, but for case and joints");
                    }
                }
                None => self.wrong(&key, format!("{status:?} is not pending, approved, rejected or paid")),
            }
        }
        statuses
    }

    /// The default is a canonical name, so that reading the canonical form again adds nothing.
    fn default_event(&mut self, name: &str) -> String {
        if Event::parse(name).is_none_or(|event| event.name() != name) {
            self.wrong("default_event", format!("{name:?} is no event's canonical name, such as \"conversion\""));
        }
        name.to_owned()
    }

    fn placeholders(&mut self, words: Vec<String>) -> Vec<String> {
        if words.iter().any(|word| word.trim().is_empty()) {
            self.wrong("placeholders", "holds an empty word; empty values count as absent anyway");
        }
        words
    }

    /// Whether a mode's table may be looked at: mode and table go together.
    fn table_belongs(&mut self, auth: &[AuthMode], mode: AuthMode, is_there: bool) {
        let name = mode.name();
        match (auth.contains(&mode), is_there) {
            (true, false) => self.wrong("auth", format!("names \"{name}\", which needs a table [{name}]")),
            (false, true) => self.wrong(name, format!("has no effect: auth does not name \"{name}\"")),
            (true, true) | (false, false) => {}
        }
    }

    fn ip_allow(&mut self, auth: &[AuthMode], table: Option<IpTable>) -> Vec<IpNet> {
        self.table_belongs(auth, AuthMode::Ip, table.is_some());
        let Some(table) = table else { return Vec::new() };
        if table.allow.is_empty() {
            self.wrong("ip.allow", "is empty: nobody could send");
        }
        let mut allow = Vec::new();
        for text in &table.allow {
            match text.parse::<IpNet>() {
                Ok(net) if net.trunc() == net => allow.push(net),
                Ok(net) => {
                    self.wrong("ip.allow", format!("{text:?} has bits behind its prefix; is it {}?", net.trunc()))
                }
                Err(_) => self.wrong("ip.allow", format!("{text:?} is no CIDR range, such as \"203.0.113.0/24\"")),
            }
        }
        allow
    }

    fn mtls(&mut self, auth: &[AuthMode], table: Option<MtlsTable>) -> Vec<String> {
        self.table_belongs(auth, AuthMode::Mtls, table.is_some());
        let Some(table) = table else { return Vec::new() };
        if table.sha256.is_empty() {
            self.wrong("mtls.sha256", "is empty: nobody could send");
        }
        for text in &table.sha256 {
            if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
                self.wrong("mtls.sha256", format!("{text:?} is not 64 lower-case hexadecimal digits"));
            }
        }
        table.sha256
    }

    fn jwt(&mut self, auth: &[AuthMode], table: Option<JwtExpected>) -> Option<JwtExpected> {
        self.table_belongs(auth, AuthMode::Jwt, table.is_some());
        let table = table?;
        for (key, text) in [("jwt.issuer", &table.issuer), ("jwt.audience", &table.audience)] {
            if text.is_empty() {
                self.wrong(key, "is empty");
            }
        }
        Some(table)
    }

    fn duplicates(&mut self, table: &DuplicatesTable) -> DuplicatePolicy {
        let DuplicatesTable { key, window_s, repeat } = *table;
        let by_click = key == DuplicateKey::ClickIdAndEvent;
        match window_s {
            None if by_click => {
                self.wrong("duplicates.window_s", "is needed with click_id+event: a click may convert again later");
            }
            Some(0) => self.wrong("duplicates.window_s", "must be at least 1"),
            Some(_) if !by_click => self.wrong("duplicates.window_s", "goes with key = \"click_id+event\" only"),
            Some(_) | None => {}
        }
        DuplicatePolicy { key, window_s, repeat }
    }

    fn first_deposit(&mut self, table: FtdTable) -> Option<FirstDeposit> {
        let currency = self.currency("ftd.currency", &table.currency);
        match Amount::parse(&table.minimum).filter(|amount| !amount.is_negative()) {
            Some(minimum) => {
                Some(FirstDeposit { minimum, currency, bonus_payment_methods: table.bonus_payment_methods })
            }
            None => {
                let reason = format!("{:?} is no amount, such as \"10.00\"", table.minimum);
                self.wrong("ftd.minimum", reason);
                None
            }
        }
    }

    fn at_least_one(&mut self, key: &str, written: Option<u32>, default: u32) -> u32 {
        if written == Some(0) {
            self.wrong(key, "must be at least 1; is_active = false stops a partner");
        }
        written.unwrap_or(default)
    }

    fn retention(&mut self, written: Option<u32>) -> u32 {
        let days = written.unwrap_or(RETENTION_DAYS);
        if !(1..=RETENTION_DAYS_MAX).contains(&days) {
            self.wrong("data_retention_days", format!("must be 1 to {RETENTION_DAYS_MAX}"));
        }
        days
    }
}
