//! The checks of one partner file: from what is written to a [`Partner`], or to all that is wrong with it.

use super::{DuplicatesTable, FtdTable, PartnerFile, RefundsTable};
use crate::duplicate::{DuplicateKey, DuplicatePolicy, RETRY_WINDOW_S};
use crate::field::Field;
use crate::money::{Amount, Currency};
use crate::partner::Partner;
use crate::partner::problem::Problem;
use crate::partner::rules::{FirstDeposit, RefundRules};
use crate::partner::zones::zone;
use crate::zone::Zone;

/// Last segments of paths at which the origin answers questions about what was stored.
const QUESTIONS: [&str; 5] = ["stats", "conversions", "postbacks", "rejections", "trace"];
/// First segments of paths that belong to the service itself.
const RESERVED_SEGMENTS: [&str; 12] = [
    "postback",
    "partner",
    "click",
    "clicks",
    "smoke",
    "ops",
    "health",
    "ready",
    "info",
    "metrics",
    "openapi.json",
    "docs",
];
/// Requests a day where a file does not say (R46).
const DAILY_REQUESTS: u32 = 100_000;
/// Requests a minute where a file does not say.
const REQUESTS_PER_MINUTE: u32 = 6_000;
/// Days that raw requests are kept where a file does not say (R46).
const RETENTION_DAYS: u32 = 30;
/// Ten years: beyond it a number of days is a mistake.
const RETENTION_DAYS_MAX: u32 = 3_653;
/// Days that clicks are kept where the partner's file says nothing, and its window is not longer.
const CLICK_RETENTION_DAYS: u32 = 90;
/// Days that a click is kept beyond the partner's window: a conversion may be under way for three, in the edge's queue.
const UNDER_WAY_DAYS: u32 = 4;
/// Days between a click and a conversion at most: ten years.
const ATTRIBUTION_DAYS_MAX: u32 = 3_653;
/// For how long a sender may retry at most, in seconds (30 days): longer ones are a mistake.
const RETRY_WINDOW_S_MAX: u32 = 2_592_000;
/// The least that `amount_max` may be.
const AMOUNT_MAX_LEAST: &str = "0.01";
/// The same, and what is under way then.
const CLICK_RETENTION_DAYS_MAX: u32 = ATTRIBUTION_DAYS_MAX + UNDER_WAY_DAYS;

/// The checks of one file: each notes what is wrong and goes on, so that all is reported at once.
pub(super) struct Checks<'a> {
    pub(super) file: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl Checks<'_> {
    pub(super) fn wrong(&mut self, key: &str, reason: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), key: key.to_owned(), reason: reason.into() });
    }

    pub(super) fn partner(&mut self, written: PartnerFile) -> Partner {
        let code = self.file.strip_suffix(".toml").unwrap_or(self.file).to_owned();
        self.identifier("(file name)", &code);
        self.identifier("tenant", &written.tenant);
        self.identifier("database", &written.database);
        self.endpoint(&written.endpoint);
        if written.name.trim().is_empty() {
            self.wrong("name", "is empty");
        }
        self.auth(&written.auth);
        let amount_max = self.amount_max(written.amount_max.as_deref());
        let currency = written.currency.as_deref().map(|code| self.currency("currency", code));
        let mut required: Vec<_> = written.required.iter().filter_map(|name| self.field("required", name)).collect();
        // In canonical order, so that the first problem of a request does not depend on how the file was written.
        required.sort_unstable();
        required.dedup();
        self.requirements(&required, &written);
        if !required.iter().any(|field| matches!(field, Field::ConversionId | Field::EventId)) {
            self.wrong("required", "must name conversion_id or event_id, or no postback could be told from another");
        }
        Partner {
            rules_version: String::new(),
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
            amount_max,
            aliases: self.aliases(&written.aliases, &written.constants),
            constants: self.constants(&written.constants, amount_max),
            required,
            default_event: written.default_event.map(|name| self.default_event(&name)),
            events: self.events(&written.events, &written.placeholders),
            statuses: self.statuses(&written.statuses, &written.placeholders),
            unknown_status: written.unknown_status,
            placeholders: self.placeholders(written.placeholders),
            offers: self.offers(written.offers),
            duplicates: self.duplicates(&written.duplicates, written.retry_window_s, &written.refunds),
            refunds: RefundRules {
                exceeding: written.refunds.exceeding,
                other_amount: written.refunds.other_amount,
                repeat: written.refunds.repeat,
            },
            first_deposit: written.ftd.and_then(|table| self.first_deposit(table)),
            attribution_window_days: self.attribution_window(written.attribution.window_days),
            consent_required: written.consent.required,
            max_daily_requests: self.at_least_one("max_daily_requests", written.max_daily_requests, DAILY_REQUESTS),
            max_requests_per_minute: self.at_least_one(
                "max_requests_per_minute",
                written.max_requests_per_minute,
                REQUESTS_PER_MINUTE,
            ),
            data_retention_days: self.retention(written.data_retention_days),
            click_retention_days: self.click_retention(written.click_retention_days, written.attribution.window_days),
            report: self.report(written.report),
        }
    }

    /// What is required can be sent, and is not filled in where it was not.
    fn requirements(&mut self, required: &[Field], written: &PartnerFile) {
        let defaults = [(Field::Event, written.default_event.is_some()), (Field::Currency, written.currency.is_some())];
        for (field, _) in defaults.into_iter().filter(|(field, has_default)| *has_default && required.contains(field)) {
            let reason = format!("names {}, which has a default; keep one of the two", field.name());
            self.wrong("required", reason);
        }
        for field in required {
            let aliases = written.aliases.get(field.name()).is_some_and(|names| !names.is_empty());
            let is_taken = written
                .aliases
                .iter()
                .any(|(other, names)| other != field.name() && names.iter().any(|name| name == field.name()));
            if is_taken && !aliases {
                let reason = format!("names {}, which no parameter means: its own name is an alias", field.name());
                self.wrong("required", reason);
            }
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
        if endpoint.split('/').next_back().is_some_and(|last| QUESTIONS.contains(&last)) {
            self.wrong("endpoint", format!("{endpoint:?} ends with a segment of the service's own"));
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

    pub(super) fn zone(&mut self, key: &str, name: &str) -> Zone {
        zone(name).unwrap_or_else(|| {
            self.wrong(key, format!("{name:?} is not an IANA time zone, such as \"Asia/Kuala_Lumpur\""));
            Zone::utc()
        })
    }

    pub(super) fn field(&mut self, key: &str, name: &str) -> Option<Field> {
        let field = Field::parse(name);
        if field.is_none() {
            self.wrong(key, format!("{name:?} is not a canonical field (docs/partner-files.md lists them)"));
        }
        field
    }

    fn amount_max(&mut self, written: Option<&str>) -> Amount {
        let Some(text) = written else { return Amount::SENT_MAX };
        let amount = Amount::parse(text).filter(|amount| Amount::parse(AMOUNT_MAX_LEAST) <= Some(*amount));
        amount.unwrap_or_else(|| {
            let (least, most) = (AMOUNT_MAX_LEAST, Amount::MAX);
            self.wrong("amount_max", format!("{text:?} is no amount from {least} to {most}, such as \"10000000\""));
            Amount::SENT_MAX
        })
    }

    fn duplicates(
        &mut self,
        table: &DuplicatesTable,
        retry_window_s: Option<u32>,
        refunds: &RefundsTable,
    ) -> DuplicatePolicy {
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
        let retry_window_s = retry_window_s.unwrap_or(RETRY_WINDOW_S);
        if retry_window_s > RETRY_WINDOW_S_MAX {
            self.wrong("retry_window_s", format!("must be 0 to {RETRY_WINDOW_S_MAX}, 30 days"));
        }
        DuplicatePolicy { key, window_s, repeat, retry_window_s, refund_repeat: refunds.repeat }
    }

    fn first_deposit(&mut self, table: FtdTable) -> Option<FirstDeposit> {
        let currency = self.currency("ftd.currency", &table.currency);
        match Amount::parse(&table.minimum).filter(|amount| !amount.is_negative()) {
            Some(minimum) => {
                let FtdTable { bonus_payment_methods, reversed, .. } = table;
                Some(FirstDeposit { minimum, currency, bonus_payment_methods, reversed })
            }
            None => {
                let reason = format!("{:?} is no amount, such as \"10.00\"", table.minimum);
                self.wrong("ftd.minimum", reason);
                None
            }
        }
    }

    fn attribution_window(&mut self, written: Option<u32>) -> Option<u32> {
        if written.is_some_and(|days| !(1..=ATTRIBUTION_DAYS_MAX).contains(&days)) {
            self.wrong("attribution.window_days", format!("must be 1 to {ATTRIBUTION_DAYS_MAX}"));
        }
        written
    }

    fn at_least_one(&mut self, key: &str, written: Option<u32>, default: u32) -> u32 {
        if written == Some(0) {
            self.wrong(key, "must be at least 1; is_active = false stops a partner");
        }
        written.unwrap_or(default)
    }

    fn click_retention(&mut self, written: Option<u32>, window_days: Option<u32>) -> u32 {
        let least = window_days.map_or(1, |days| days.saturating_add(UNDER_WAY_DAYS));
        let days = written.unwrap_or(CLICK_RETENTION_DAYS.max(least));
        // A window that is too long is told as such.
        if days < least && window_days.is_some_and(|days| days <= ATTRIBUTION_DAYS_MAX) {
            self.wrong(
                "click_retention_days",
                format!(
                    "must be at least {least}: attribution.window_days and {UNDER_WAY_DAYS} more, for what is under way"
                ),
            );
        } else if !(1..=CLICK_RETENTION_DAYS_MAX).contains(&days) {
            self.wrong("click_retention_days", format!("must be 1 to {CLICK_RETENTION_DAYS_MAX}"));
        }
        days
    }

    fn retention(&mut self, written: Option<u32>) -> u32 {
        let days = written.unwrap_or(RETENTION_DAYS);
        if !(1..=RETENTION_DAYS_MAX).contains(&days) {
            self.wrong("data_retention_days", format!("must be 1 to {RETENTION_DAYS_MAX}"));
        }
        days
    }
}
