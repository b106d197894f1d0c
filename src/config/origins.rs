//! Where the origins are (R17): one for all partners, or a partner's own; behind each a fallback, for the time of a rotation.

use super::{Environment, Reader};
use postback::partner::{Partner, Registry};
use std::collections::BTreeMap;

/// The hostname that partners call. Forwarding to it would call ourselves without end.
const EDGE_HOST: &str = "network.bytec.com";

/// How an origin is named that is a Worker bound to this one (src/platform/exchange.js): `service://ORIGIN`.
const SERVICE_SCHEME: &str = "service";

/// Origins in the order in which they are tried: scheme, host and port, without a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    common: Vec<String>,
    own: BTreeMap<String, Vec<String>>,
}

impl Origins {
    /// Reads `ORIGIN_URL` and `ORIGIN_FALLBACK_URL`, and the same with a partner's code behind for that partner.
    pub(super) fn read(
        reader: &mut Reader<impl Fn(&str) -> Option<String>>,
        registry: &Registry,
        environment: Environment,
    ) -> Origins {
        let common = pair(reader, "", environment);
        if common.is_empty() {
            reader.problem("ORIGIN_URL is not set: the origin's tunnel, such as https://origin.bytec.com");
        }
        let mut own = BTreeMap::new();
        for Partner { code, .. } in registry.all() {
            let urls = pair(reader, &format!("_{}", code.to_uppercase()), environment);
            if !urls.is_empty() {
                own.insert(code.clone(), urls);
            }
        }
        Origins { common, own }
    }

    /// A partner's origins, the first first. A partner with an origin of its own does not fall back to the others'.
    pub fn of(&self, partner: &Partner) -> &[String] {
        self.own.get(&partner.code).unwrap_or(&self.common)
    }

    /// Every origin once.
    pub fn all(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for url in self.common.iter().chain(self.own.values().flatten()) {
            if !all.contains(&url.as_str()) {
                all.push(url);
            }
        }
        all
    }
}

fn pair(reader: &mut Reader<impl Fn(&str) -> Option<String>>, suffix: &str, environment: Environment) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for name in ["ORIGIN_URL", "ORIGIN_FALLBACK_URL"] {
        let name = format!("{name}{suffix}");
        let Some(url) = reader.variable(&name) else { continue };
        let url = url.trim().trim_end_matches('/').to_owned();
        if let Some(problem) = url_problem(&url, environment) {
            reader.problem(format!("{name} {problem}"));
        }
        if name.starts_with("ORIGIN_FALLBACK_URL") && urls.is_empty() {
            reader.problem(format!("{name} is set without ORIGIN_URL{suffix}: a fallback stands behind something"));
        }
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

fn url_problem(url: &str, environment: Environment) -> Option<&'static str> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme == SERVICE_SCHEME {
        let is_binding = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return (!is_binding).then_some("must name a service binding alone, such as service://ORIGIN");
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
    let name = name.trim_end_matches('.');
    if port.parse::<u16>().is_err() {
        return Some("has a port that is none");
    }
    if host.is_empty() || host.len() < rest.len() || host.contains(['@', ' ']) {
        return Some("must be scheme and host alone, such as https://origin.bytec.com");
    }
    if !(scheme == "https" || scheme == "http" && environment == Environment::Development) {
        return Some("must begin with https://; http:// is for development only");
    }
    if name.eq_ignore_ascii_case(EDGE_HOST) {
        return Some("names the edge itself: it would call itself without end");
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{DEVELOPMENT, read};

    #[test]
    fn a_partner_may_have_origins_of_its_own() {
        let mut variables = DEVELOPMENT.to_vec();
        variables.push(("ORIGIN_FALLBACK_URL", "http://127.0.0.1:8001/"));
        variables.push(("ORIGIN_URL_RECTOR", "http://127.0.0.1:9000"));
        let config = read(&variables).unwrap();
        let of = |code| config.origins.of(config.registry.by_code(code).unwrap());
        assert_eq!(of("involve_asia"), ["http://127.0.0.1:8000", "http://127.0.0.1:8001"]);
        assert_eq!(of("rector"), ["http://127.0.0.1:9000"]);
        assert_eq!(config.origins.all().len(), 3);
    }

    #[test]
    fn a_fallback_stands_behind_something() {
        let mut variables = DEVELOPMENT.to_vec();
        variables.push(("ORIGIN_FALLBACK_URL_RECTOR", "http://127.0.0.1:8001"));
        assert!(read(&variables).unwrap_err()[0].starts_with("ORIGIN_FALLBACK_URL_RECTOR is set without"));
    }

    #[test]
    fn an_origin_may_be_a_worker_that_is_bound() {
        let keys = format!("k1:{}", "ab".repeat(32));
        let variables = |url| {
            [("ENVIRONMENT", "production"), ("ORIGIN_URL", url), ("EDGE_KEYS", keys.as_str())]
                .map(|(n, v): (_, &str)| (n, v))
        };
        assert_eq!(read(&variables("service://ORIGIN")).unwrap().origins.all(), ["service://ORIGIN"]);
        assert!(read(&variables("service://")).is_err());
        for url in ["service://ORIGIN/path", "service://a.b"] {
            assert!(read(&variables(url)).unwrap_err()[0].contains("service binding"), "{url}");
        }
    }

    #[test]
    fn an_origin_url_that_cannot_be_right_is_refused() {
        let keys = format!("k1:{}", "ab".repeat(32));
        for url in [
            "origin.bytec.com",
            "http://origin.bytec.com",
            "https://network.bytec.com",
            "https://origin.bytec.com/path",
            "https://user@origin.bytec.com",
            "https://",
            "https://origin.bytec.com:99999",
            "https://network.bytec.com.",
        ] {
            let variables = [("ENVIRONMENT", "production"), ("ORIGIN_URL", url), ("EDGE_KEYS", keys.as_str())];
            assert_eq!(read(&variables).err().map(|problems| problems.len()), Some(1), "{url}");
        }
    }
}
