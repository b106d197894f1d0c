//! The edge's configuration: read once per isolate, every problem reported at once. The rules are plain functions over
//! a lookup, so that they are tested without a Worker.

pub mod origins;
pub mod secrets;

use origins::Origins;
use postback::key::{DEVELOPMENT_KEYS, KeySet};
use postback::partner::Registry;
use postback::retry::Schedule;
use secrets::Secrets;
use std::fmt;
use std::sync::OnceLock;

/// What the partner files came to when this program was built.
const PARTNERS_JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/partners.json"));

/// Where the edge runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: public keys and tokens are believed, `http://` origins are called.
    Development,
    /// A rehearsal of production.
    Staging,
    /// Partners call it.
    Production,
}

impl Environment {
    fn parse(word: &str) -> Option<Environment> {
        [Environment::Development, Environment::Staging, Environment::Production]
            .into_iter()
            .find(|environment| environment.name() == word)
    }

    /// The word in `ENVIRONMENT`.
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Staging => "staging",
            Environment::Production => "production",
        }
    }
}

/// Everything that does not change between requests.
#[derive(Debug)]
pub struct Config {
    /// Where the edge runs.
    pub environment: Environment,
    /// All partners.
    pub registry: Registry,
    /// Signs what goes to the origin, and proves what comes back.
    pub keys: KeySet,
    /// Where the origins are.
    pub origins: Origins,
    /// What partners and operators prove themselves with.
    pub secrets: Secrets,
    /// Lets us through Cloudflare Access in front of the tunnel, where it is set up.
    pub access: Option<AccessToken>,
    /// When what could not be delivered is tried again.
    pub schedule: Schedule,
    /// What is wrong with secrets of single partners, tenants or operators, and was left out. It costs those alone: a secret is
    /// put in seconds, a partner's file comes with the next deployment, and the others must not wait for it.
    pub left_out: Vec<String>,
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
        let registry = registry().map_err(|problem| vec![problem])?;
        let mut reader = Reader { variable, problems: Vec::new(), left_out: Vec::new() };
        let environment = reader.environment();
        let origins = Origins::read(&mut reader, &registry, environment);
        let keys = reader.edge_keys(environment);
        let secrets = Secrets::read(&mut reader, &registry, environment);
        let access = reader.access();
        let schedule = reader.schedule(environment);
        match keys {
            Some(keys) if reader.problems.is_empty() => {
                let left_out = reader.left_out;
                Ok(Config { environment, registry, keys, origins, secrets, access, schedule, left_out })
            }
            Some(_) | None => Err(reader.problems),
        }
    }

    /// The configuration of this isolate; `when_read` hears of it once. A failure is not kept, so that mended secrets work at once.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn of_isolate(
        variable: impl Fn(&str) -> Option<String>,
        when_read: impl FnOnce(&Config),
    ) -> Result<&'static Config, Vec<String>> {
        static CONFIG: OnceLock<Config> = OnceLock::new();
        match CONFIG.get() {
            Some(config) => Ok(config),
            None => {
                let config = Config::read(variable)?;
                when_read(&config);
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

/// Reads variables and notes what is wrong with them.
pub(crate) struct Reader<V> {
    variable: V,
    problems: Vec<String>,
    left_out: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    /// A variable's text; one that is empty counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.trim().is_empty())
    }

    pub(crate) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// Notes something that is left out.
    pub(crate) fn leave_out(&mut self, problem: String) {
        self.left_out.push(problem);
    }

    /// Notes what was left out and goes on with the rest.
    pub(crate) fn but_for<T>(&mut self, (read, left_out): (T, Vec<String>)) -> T {
        self.left_out.extend(left_out);
        read
    }

    fn environment(&mut self) -> Environment {
        self.variable("ENVIRONMENT").as_deref().and_then(Environment::parse).unwrap_or_else(|| {
            self.problem("ENVIRONMENT must be development, staging or production");
            // Whoever forgets to say it must not get the public keys.
            Environment::Production
        })
    }

    fn edge_keys(&mut self, environment: Environment) -> Option<KeySet> {
        let is_public = environment == Environment::Development;
        let keys = match self.variable("EDGE_KEYS") {
            Some(text) => match KeySet::parse(&text) {
                Ok(keys) if keys.holds_development_key() && !is_public => {
                    Err("EDGE_KEYS holds the public development key".to_owned())
                }
                parsed => parsed.map_err(|problem| format!("EDGE_KEYS {problem}")),
            },
            None if is_public => KeySet::parse(DEVELOPMENT_KEYS).map_err(|problem| problem.to_string()),
            None => Err("EDGE_KEYS is not set: wrangler secret put EDGE_KEYS, with id:hex as at the origin".to_owned()),
        };
        keys.map_err(|problem| self.problem(problem)).ok()
    }

    fn access(&mut self) -> Option<AccessToken> {
        let header =
            |text: String| Some(text.trim().to_owned()).filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
        match (self.variable("ACCESS_CLIENT_ID"), self.variable("ACCESS_CLIENT_SECRET")) {
            (Some(client_id), Some(client_secret)) => {
                let token = header(client_id).zip(header(client_secret));
                if token.is_none() {
                    self.problem("ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET are one line each, without spaces");
                }
                token.map(|(client_id, client_secret)| AccessToken { client_id, client_secret })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.problem("ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET go together: set both or neither");
                None
            }
        }
    }

    /// Elsewhere than in development nothing may shorten the promise of 72 hours.
    fn schedule(&mut self, environment: Environment) -> Schedule {
        match self.variable("RETRY_DELAYS_S") {
            None => Schedule::standard(),
            Some(_) if environment != Environment::Development => {
                self.problem("RETRY_DELAYS_S is for development only: partners are promised 72 hours");
                Schedule::standard()
            }
            Some(text) => Schedule::parse(&text).unwrap_or_else(|| {
                self.problem("RETRY_DELAYS_S must be one to eight delays in seconds, such as 1,1,2");
                Schedule::standard()
            }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        Config::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    pub(crate) const DEVELOPMENT: [(&str, &str); 2] =
        [("ENVIRONMENT", "development"), ("ORIGIN_URL", "http://127.0.0.1:8000")];
    const PRODUCTION: [(&str, &str); 2] = [("ENVIRONMENT", "production"), ("ORIGIN_URL", "https://origin.bytec.com")];

    #[test]
    fn development_needs_no_secret() {
        let config = read(&DEVELOPMENT).unwrap();
        assert_eq!(config.keys.newest(0).unwrap().id(), "development");
        assert_eq!(config.schedule, Schedule::standard());
    }

    #[test]
    fn production_never_falls_back_to_the_development_key() {
        let problems = read(&PRODUCTION).unwrap_err();
        assert!(problems.len() == 1 && problems[0].starts_with("EDGE_KEYS is not set"), "{problems:?}");
        let problems = read(&[PRODUCTION[0], PRODUCTION[1], ("EDGE_KEYS", DEVELOPMENT_KEYS)]).unwrap_err();
        assert_eq!(problems, ["EDGE_KEYS holds the public development key"]);
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let problems =
            read(&[("EDGE_KEYS", "k1:tooshort"), ("RETRY_DELAYS_S", "1"), ("ACCESS_CLIENT_ID", "id")]).unwrap_err();
        let starts: Vec<_> = problems.iter().map(|p| p.split(' ').next().unwrap()).collect();
        let expected = ["ENVIRONMENT", "ORIGIN_URL", "EDGE_KEYS", "ACCESS_CLIENT_ID", "RETRY_DELAYS_S"];
        assert_eq!(starts, expected, "{problems:?}");
        assert!(!problems.concat().contains("tooshort"));
    }

    #[test]
    fn an_access_token_is_whole_or_absent_and_never_shown() {
        let with = |more: &[(&'static str, &'static str)]| read(&[DEVELOPMENT.as_slice(), more].concat());
        assert!(with(&[]).unwrap().access.is_none());
        let config = with(&[("ACCESS_CLIENT_ID", "id"), ("ACCESS_CLIENT_SECRET", "geheim")]).unwrap();
        assert!(!format!("{config:?}").contains("geheim"));
        assert_eq!(with(&[("ACCESS_CLIENT_ID", "id")]).unwrap_err().len(), 1);
        // A line's end comes with many a way to paste a secret.
        let pasted =
            with(&[("ACCESS_CLIENT_ID", "id\n"), ("ACCESS_CLIENT_SECRET", " geheim\n")]).unwrap().access.unwrap();
        assert_eq!((pasted.client_id.as_str(), pasted.client_secret.as_str()), ("id", "geheim"));
        let torn = with(&[("ACCESS_CLIENT_ID", "id"), ("ACCESS_CLIENT_SECRET", "ge\nheim")]).unwrap_err();
        assert!(torn.len() == 1 && !torn.concat().contains("heim"), "{torn:?}");
    }

    #[test]
    fn a_short_schedule_is_for_development_alone() {
        let keys = format!("k1:{}", "ab".repeat(32));
        let with = |base: [(&'static str, &'static str); 2], delays| {
            read(&[base[0], base[1], ("EDGE_KEYS", keys.as_str()), ("RETRY_DELAYS_S", delays)])
        };
        assert_eq!(with(DEVELOPMENT, "1,2").unwrap().schedule, Schedule::parse("1,2").unwrap());
        assert!(with(DEVELOPMENT, "soon").unwrap_err()[0].starts_with("RETRY_DELAYS_S must be"));
        assert!(with(PRODUCTION, "1,2").unwrap_err()[0].starts_with("RETRY_DELAYS_S is for development only"));
    }
}
