//! The edge's configuration: read once per isolate, every problem reported at once. The rules are plain functions over
//! a lookup, so that they are tested without a Worker.

use postback::key::{DEVELOPMENT_KEYS, KeySet};
use postback::partner::Registry;
use std::fmt;
use std::sync::OnceLock;

/// What the partner files came to when this program was built.
const PARTNERS_JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/partners.json"));

/// The hostname that partners call. Forwarding to it would call ourselves without end.
const EDGE_HOST: &str = "network.bytec.com";

/// Everything that does not change between requests.
#[derive(Debug)]
pub struct Config {
    /// All partners.
    pub registry: Registry,
    /// Signs what goes to the origin, and proves what comes back.
    pub keys: KeySet,
    /// Scheme, host and port of the origin, without a path.
    pub origin_url: String,
    /// Lets us through Cloudflare Access in front of the tunnel, where it is set up.
    pub access: Option<AccessToken>,
}

/// A Cloudflare Access service token.
#[derive(Clone)]
pub struct AccessToken {
    /// Value of `CF-Access-Client-Id`.
    pub client_id: String,
    /// Value of `CF-Access-Client-Secret`.
    pub client_secret: String,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(redacted)")
    }
}

impl Config {
    /// Reads the configuration out of variables and secrets.
    ///
    /// # Errors
    /// Every problem, each a sentence that names the variable and shows no secret.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Config, Vec<String>> {
        let mut problems = Vec::new();
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let development = match variable("ENVIRONMENT").as_deref() {
            Some("development") => true,
            Some("staging" | "production") => false,
            Some(_) | None => {
                problems.push("ENVIRONMENT must be development, staging or production".to_owned());
                false
            }
        };
        let origin_url = variable("ORIGIN_URL").unwrap_or_else(|| {
            problems.push("ORIGIN_URL is not set: the origin's tunnel, such as https://origin.bytec.com".to_owned());
            String::new()
        });
        let origin_url = origin_url.trim_end_matches('/').to_owned();
        if !origin_url.is_empty() {
            problems.extend(origin_url_problem(&origin_url, development));
        }
        let keys = match variable("EDGE_KEYS") {
            Some(text) => match KeySet::parse(&text) {
                Ok(keys) if keys.holds_development_key() && !development => {
                    Err("EDGE_KEYS holds the public development key".to_owned())
                }
                parsed => parsed.map_err(|problem| format!("EDGE_KEYS {problem}")),
            },
            None if development => KeySet::parse(DEVELOPMENT_KEYS).map_err(|problem| problem.to_string()),
            None => Err("EDGE_KEYS is not set: wrangler secret put EDGE_KEYS, with id:hex as at the origin".to_owned()),
        };
        let access = match (variable("ACCESS_CLIENT_ID"), variable("ACCESS_CLIENT_SECRET")) {
            (Some(client_id), Some(client_secret)) => Some(AccessToken { client_id, client_secret }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                problems.push("ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET go together: set both or neither".to_owned());
                None
            }
        };
        let registry = registry();
        match (keys, registry) {
            (Ok(keys), Ok(registry)) if problems.is_empty() => Ok(Config { registry, keys, origin_url, access }),
            (keys, registry) => {
                problems.extend(keys.err());
                problems.extend(registry.err());
                Err(problems)
            }
        }
    }

    /// The configuration of this isolate. A failure is not kept, so that mended secrets work at once.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn of_isolate(variable: impl Fn(&str) -> Option<String>) -> Result<&'static Config, Vec<String>> {
        static CONFIG: OnceLock<Config> = OnceLock::new();
        match CONFIG.get() {
            Some(config) => Ok(config),
            None => {
                let config = Config::read(variable)?;
                Ok(CONFIG.get_or_init(|| config))
            }
        }
    }
}

/// The partners that this program was built with.
///
/// # Errors
/// Never in a build that succeeded.
pub fn registry() -> Result<Registry, String> {
    Registry::from_json(PARTNERS_JSON).map_err(|error| format!("the embedded partners cannot be read: {error}"))
}

fn origin_url_problem(url: &str, development: bool) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if host.is_empty() || host.len() < rest.len() || host.contains(['@', ' ']) {
        return Some("ORIGIN_URL must be scheme and host alone, such as https://origin.bytec.com".to_owned());
    }
    if !(scheme == "https" || scheme == "http" && development) {
        return Some("ORIGIN_URL must begin with https://; http:// is for development only".to_owned());
    }
    if name.eq_ignore_ascii_case(EDGE_HOST) {
        return Some("ORIGIN_URL names the edge itself: it would call itself without end".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        Config::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn development_needs_no_secret() {
        let config = read(&[("ENVIRONMENT", "development"), ("ORIGIN_URL", "http://127.0.0.1:8000/")]).unwrap();
        assert_eq!(config.origin_url, "http://127.0.0.1:8000");
        assert_eq!(config.keys.newest(0).unwrap().id(), "development");
    }

    #[test]
    fn production_never_falls_back_to_the_development_key() {
        let production = [("ENVIRONMENT", "production"), ("ORIGIN_URL", "https://origin.bytec.com")];
        let problems = read(&production).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with("EDGE_KEYS is not set"), "{problems:?}");
        let problems = read(&[production[0], production[1], ("EDGE_KEYS", DEVELOPMENT_KEYS)]).unwrap_err();
        assert_eq!(problems, ["EDGE_KEYS holds the public development key"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let problems = read(&[("EDGE_KEYS", "k1:tooshort")]).unwrap_err();
        let starts: Vec<_> = problems.iter().map(|p| p.split(' ').next().unwrap()).collect();
        assert_eq!(starts, ["ENVIRONMENT", "ORIGIN_URL", "EDGE_KEYS"], "{problems:?}");
        assert!(!problems.concat().contains("tooshort"));
    }

    #[test]
    fn an_access_token_is_whole_or_absent_and_never_shown() {
        let development = [("ENVIRONMENT", "development"), ("ORIGIN_URL", "http://127.0.0.1:8000")];
        let with = |more: &[(&'static str, &'static str)]| read(&[development.as_slice(), more].concat());
        assert!(with(&[]).unwrap().access.is_none());
        let config = with(&[("ACCESS_CLIENT_ID", "id"), ("ACCESS_CLIENT_SECRET", "geheim")]).unwrap();
        assert!(!format!("{config:?}").contains("geheim"));
        assert_eq!(with(&[("ACCESS_CLIENT_ID", "id")]).unwrap_err().len(), 1);
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
        ] {
            let variables = [("ENVIRONMENT", "production"), ("ORIGIN_URL", url), ("EDGE_KEYS", keys.as_str())];
            assert_eq!(read(&variables).err().map(|problems| problems.len()), Some(1), "{url}");
        }
    }
}
