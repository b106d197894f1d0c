//! The checks of how a partner proves who it is (R12): each mode together with its table.

use super::checks::Checks;
use super::{IpTable, MtlsTable};
use crate::partner::AuthMode;
use crate::partner::rules::JwtExpected;
use ipnet::IpNet;

impl Checks<'_> {
    pub(super) fn auth(&mut self, modes: &[AuthMode]) {
        if modes.is_empty() {
            self.wrong("auth", "names no mode; say \"open\" to believe everybody");
        }
        if (1..modes.len()).any(|end| modes.get(end).is_some_and(|mode| modes.iter().take(end).any(|m| m == mode))) {
            self.wrong("auth", "names one mode twice");
        }
        if modes.len() > 1 && modes.contains(&AuthMode::Open) {
            self.wrong("auth", "\"open\" stands alone: with another mode it would mean nothing");
        }
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

    pub(super) fn ip_allow(&mut self, auth: &[AuthMode], table: Option<IpTable>) -> Vec<IpNet> {
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

    pub(super) fn mtls(&mut self, auth: &[AuthMode], table: Option<MtlsTable>) -> Vec<String> {
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

    pub(super) fn jwt(&mut self, auth: &[AuthMode], table: Option<JwtExpected>) -> Option<JwtExpected> {
        self.table_belongs(auth, AuthMode::Jwt, table.is_some());
        let table = table?;
        for (key, text) in [("jwt.issuer", &table.issuer), ("jwt.audience", &table.audience)] {
            if text.is_empty() {
                self.wrong(key, "is empty");
            }
        }
        Some(table)
    }
}
