//! What is in the databases: work that does not get done, rates that are missing, partner files that were not taken over, tokens that
//! run out.

use super::code::Code;
use super::configuration::ENDING_S;
use super::databases::{Content, Outcome, Place};
use super::finding::{Checked, Finding};
use crate::config::Parts;
use crate::shared::{Difference, Scope, Seen};
use crate::store::worklist::Backlog;
use chrono::NaiveDate;
use postback::partner::Partner;
use postback::time::Timestamp;
use std::collections::BTreeSet;

/// For how long events may wait to be processed, in seconds: on D1 a minute passes anyway.
const LAG_S_MAX: u64 = 120;
/// How old the last rates may be while amounts wait for some, in days: over Easter none are published for five.
const RATES_DAYS_MAX: i64 = 5;
/// The same while none wait.
const UNNEEDED_RATES_DAYS_MAX: i64 = 10;

/// What is wrong with what is in the databases.
pub fn check(looked: &[(Place, Outcome)], parts: &Parts, now: Timestamp) -> Vec<Checked> {
    let backlogs: Vec<_> = looked
        .iter()
        .filter_map(|(place, outcome)| match outcome {
            Outcome::Seen(_, Content::Partner(backlog)) => Some((place.name.as_str(), *backlog)),
            Outcome::Seen(_, Content::Shared(_) | Content::Unread(_)) | Outcome::Unseen(_) => None,
        })
        .collect();
    let mut checked: Vec<_> = backlogs
        .iter()
        .map(|(code, backlog)| Checked::new("processing", code, waiting(backlog), judge_backlog(code, backlog)))
        .collect();
    let shared = looked.iter().find_map(|(_, outcome)| match outcome {
        Outcome::Seen(_, Content::Shared(seen)) => Some(seen),
        Outcome::Seen(_, Content::Partner(_) | Content::Unread(_)) | Outcome::Unseen(_) => None,
    });
    let Some(shared) = shared else {
        let why = "the database that partners share cannot be read";
        checked.extend(["rates", "partner files", "tokens"].map(|name| Checked::skipped(name, why)));
        return checked;
    };
    let last = shared.last_rate_day.map_or_else(|| "none".to_owned(), |day| format!("the last are of {day}"));
    checked.push(Checked::new("rates", "", last, judge_rates(shared.last_rate_day, &backlogs, now)));
    // All that the program was built with: that is what is taken over, whichever of them are served here.
    let all = crate::config::registry().map(|registry| registry.all().to_vec()).unwrap_or_default();
    checked.push(Checked::new(
        "partner files",
        "",
        format!("{} in this program", all.len()),
        judge_files(shared, &all),
    ));
    let in_force = shared.credentials.iter().filter(|credential| credential.is_in_force(now.unix_s())).count();
    checked.push(Checked::new(
        "tokens",
        "",
        format!("{in_force} in force"),
        judge_credentials(shared, parts, now.unix_s()),
    ));
    checked
}

fn waiting(backlog: &Backlog) -> String {
    format!("{} wait, {} wait for rates, {} given up", backlog.waiting, backlog.delayed, backlog.dead)
}

fn judge_backlog(code: &str, backlog: &Backlog) -> Vec<Finding> {
    let mut findings = Vec::new();
    if backlog.dead > 0 {
        findings.push(Finding::new(
            Code::ItemsDead,
            format!("{} events of {code} were given up and are not judged", backlog.dead),
            "their conversions say why in processing_error; mend that, then: update work_items set state = 'waiting', attempts = 0 where state = 'dead'",
        ));
    }
    if backlog.lag_s > LAG_S_MAX {
        findings.push(Finding::new(
            Code::ProcessingBehind,
            format!("an event of {code} has been due to be processed for {} s", backlog.lag_s),
            "see that an origin runs that serves this partner (systemctl status bytec-origin), and its log: journalctl -u bytec-origin | grep 'could not be processed'",
        ));
    }
    findings
}

fn judge_rates(last: Option<NaiveDate>, backlogs: &[(&str, Backlog)], now: Timestamp) -> Vec<Finding> {
    let age_days = last.map(|last| now.to_chrono().date_naive().signed_duration_since(last).num_days());
    let delayed: Vec<_> = backlogs.iter().filter(|(_, backlog)| backlog.delayed > 0).collect();
    let hint = "import the European Central Bank's, daily: curl -sO https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip && unzip -o eurofxref-hist.zip && bytec-origin rates import eurofxref-hist.csv";
    let age =
        age_days.map_or_else(|| "there are no rates".to_owned(), |days| format!("the last rates are {days} days old"));
    if !delayed.is_empty() && age_days.is_none_or(|days| days > RATES_DAYS_MAX) {
        let whose: Vec<_> = delayed.iter().map(|(code, backlog)| format!("{} of {code}", backlog.delayed)).collect();
        return vec![Finding::new(
            Code::RatesWaitedFor,
            format!("{age}, and amounts wait for some: {}", whose.join(", ")),
            hint,
        )];
    }
    match age_days {
        Some(days) if days > UNNEEDED_RATES_DAYS_MAX => vec![Finding::new(Code::RatesOld, age, hint)],
        Some(_) | None => Vec::new(),
    }
}

fn judge_files(shared: &Seen, partners: &[Partner]) -> Vec<Finding> {
    let differences = shared.differences(partners);
    let finding = |(code, difference): (&String, &Difference)| match difference {
        Difference::Unknown => Finding::new(
            Code::PartnerUnknown,
            format!("{code} was taken over from another program: this one has no such partner file"),
            format!("if partners/{code}.toml was not removed on purpose, install the program that has it"),
        ),
        Difference::New | Difference::Changed { .. } => Finding::new(
            Code::PartnersUnsynced,
            format!("what partners/{code}.toml says now was not taken over"),
            "bytec-origin partners sync --dry-run shows what differs, bytec-origin partners sync takes it over; serve does when it starts",
        ),
    };
    differences.iter().map(finding).collect()
}

fn judge_credentials(shared: &Seen, parts: &Parts, now_s: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let served = || parts.registry.all().iter().filter(|partner| partner.is_active);
    let tenants: BTreeSet<_> = served().map(|partner| partner.tenant.as_str()).collect();
    let in_force = || shared.credentials.iter().filter(|credential| credential.is_in_force(now_s));
    for tenant in tenants {
        let of_tenant = |partner: &&Partner| partner.tenant == tenant;
        let lets_in = |partner: &Partner| {
            parts.tokens.has(tenant)
                || in_force().any(|credential| credential.allows(Scope::Ingest, tenant, &partner.code))
                || parts.partner_keys.get(&partner.code).is_some_and(|keys| keys.newest(now_s).is_some())
        };
        let without: Vec<_> = served().filter(of_tenant).filter(|partner| !lets_in(partner)).collect();
        if !without.is_empty() {
            let codes: Vec<_> = without.iter().map(|partner| partner.code.as_str()).collect();
            findings.push(Finding::new(
                Code::TokenNone,
                format!("{tenant} has no token in force: nobody can send to the origin itself for {}", codes.join(", ")),
                format!("where partners send to the edge alone that is right; else: bytec-origin tokens create --tenant {tenant}"),
            ));
        }
    }
    for credential in in_force() {
        let left_s = credential.expires_s.saturating_sub(now_s);
        if left_s < ENDING_S && credential.replaced_by.is_none() {
            let kind = credential.scope.kind().name();
            let days = left_s / (24 * 60 * 60);
            findings.push(Finding::new(
                Code::CredentialEnding,
                format!("the {kind} {} of {} ({}) ends in {days} days, and none has taken its place", credential.id, credential.tenant, credential.label),
                format!("bytec-origin {kind}s rotate {}, and give the new one to its owner; at the edge: docs/tokens.md#at-the-edge", credential.id),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings, registry};
    use crate::shared::Credential;

    const NOW_S: i64 = 1_780_272_000;
    const DAY_S: i64 = 86_400;

    fn names(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().inspect(|finding| assert!(finding.hint.len() > 20)).map(|finding| finding.code.name()).collect()
    }

    #[test]
    fn work_that_does_not_get_done_is_found() {
        let of = |dead, lag_s| names(&judge_backlog("rector", &Backlog { dead, lag_s, ..Backlog::default() }));
        assert_eq!(of(0, 120), [""; 0]);
        assert_eq!(of(1, 0), ["items_dead"]);
        assert_eq!(of(0, 121), ["processing_behind"]);
    }

    #[test]
    fn rates_are_as_old_as_weekends_and_holidays_make_them() {
        let now = Timestamp::from_unix_ms(NOW_S * 1_000).unwrap();
        let of = |days: Option<i64>, delayed| {
            let last = days.map(|days| now.to_chrono().date_naive() - chrono::Days::new(days.unsigned_abs()));
            names(&judge_rates(last, &[("rector", Backlog { delayed, ..Backlog::default() })], now))
        };
        assert_eq!([of(Some(5), 3), of(Some(10), 0), of(None, 0)], [[""; 0]; 3]);
        assert_eq!([of(Some(6), 3), of(None, 1)], [["rates_waited_for"], ["rates_waited_for"]]);
        assert_eq!(of(Some(11), 0), ["rates_old"]);
    }

    #[test]
    fn files_that_were_not_taken_over_are_found() {
        let registry = registry().unwrap();
        let mut seen = Seen::default();
        assert_eq!(names(&judge_files(&seen, registry.all())), ["partners_unsynced"; 3]);
        seen.files.insert("former".to_owned(), serde_json::Value::Null);
        assert_eq!(names(&judge_files(&seen, &[])), ["partner_unknown"]);
    }

    fn token(days: i64, partner: Option<&str>, replaced_by: Option<&str>) -> Credential {
        Credential {
            id: "token-1".to_owned(),
            tenant: "bytec".to_owned(),
            partner: partner.map(str::to_owned),
            scope: Scope::Ingest,
            label: String::new(),
            created_s: 0,
            expires_s: NOW_S.saturating_add(days.saturating_mul(DAY_S)),
            revoked_s: None,
            last_used_s: None,
            replaced_by: replaced_by.map(str::to_owned),
        }
    }

    #[test]
    fn tokens_that_are_missing_or_run_out_are_found() {
        let production = Settings { environment: Some("production".to_owned()), ..Settings::default() };
        let parts = Config::parts(&production, |_| None).unwrap();
        let of = |credentials| names(&judge_credentials(&Seen { credentials, ..Seen::default() }, &parts, NOW_S));
        assert_eq!(of(vec![]), ["token_none"]);
        assert_eq!(of(vec![token(-1, None, None)]), ["token_none"]);
        assert_eq!(of(vec![token(60, None, None)]), [""; 0]);
        assert_eq!(of(vec![token(60, Some("rector"), None)]), ["token_none"]);
        assert_eq!(of(vec![token(13, None, None)]), ["credential_ending"]);
        assert_eq!(of(vec![token(13, None, Some("token-2")), token(365, None, None)]), [""; 0]);
    }
}
