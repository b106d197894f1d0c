//! The partner file's schema: what may be written, and of which type. What it means is for the checks.

mod checks;
mod proof;
mod words;
mod offers;
mod report;

use super::problem::Problem;
use super::rules::{JwtExpected, OnExceeding, OnReversed, OtherAmount, UnknownStatus};
use super::{AuthMode, Partner};
use crate::duplicate::{DuplicateKey, OnRepeat, RefundRepeat};
use crate::reply::Format;
use checks::Checks;
use serde::Deserialize;
use std::collections::BTreeMap;

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
    amount_max: Option<String>,
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
    offers: BTreeMap<String, OfferTable>,
    #[serde(default)]
    duplicates: DuplicatesTable,
    retry_window_s: Option<u32>,
    #[serde(default)]
    refunds: RefundsTable,
    ftd: Option<FtdTable>,
    #[serde(default)]
    attribution: AttributionTable,
    #[serde(default)]
    consent: ConsentTable,
    max_daily_requests: Option<u32>,
    max_requests_per_minute: Option<u32>,
    data_retention_days: Option<u32>,
    click_retention_days: Option<u32>,
    report: Option<ReportTable>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfferTable {
    landing: String,
    #[serde(default)]
    allow: Vec<String>,
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
    #[serde(default)]
    reversed: OnReversed,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundsTable {
    #[serde(default)]
    exceeding: OnExceeding,
    #[serde(default)]
    other_amount: OtherAmount,
    #[serde(default)]
    repeat: RefundRepeat,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributionTable {
    window_days: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentTable {
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportTable {
    #[serde(default)]
    columns: BTreeMap<String, String>,
    delimiter: Option<char>,
    decimal_mark: Option<char>,
    time_format: Option<String>,
    time_zone: Option<String>,
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
