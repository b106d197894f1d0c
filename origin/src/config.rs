//! The origin's configuration, from arguments and environment. Everything wrong with it is reported at once, before
//! anything is started (R60).

use crate::shared;
use crate::store::location::Location;
use postback::credential::{self, DEVELOPMENT_TOKEN, TOKEN_BYTES_MIN, Tokens};
use postback::key::{DEVELOPMENT_KEYS, KeySet};
use postback::partner::{Partner, Registry};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What the partner files came to when this program was built.
const PARTNERS_JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/partners.json"));

/// Where the origin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine: public keys and tokens are accepted.
    Development,
    /// Anywhere else.
    Production,
}

impl Environment {
    /// The name, as `ENVIRONMENT` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Production => "production",
        }
    }
}

/// Everything that does not change while the origin runs.
#[derive(Debug)]
pub struct Config {
    /// Where the origin runs.
    pub environment: Environment,
    /// Where it listens.
    pub bind: SocketAddr,
    /// The partners that are served.
    pub registry: Registry,
    /// The edge's keys.
    pub edge_keys: KeySet,
    /// The tenants' tokens.
    pub tokens: Tokens,
    /// The partners' own keys (`bytec-v1`), by partner code.
    pub partner_keys: BTreeMap<String, KeySet>,
    /// Where the databases are.
    pub locations: Locations,
}

/// What can be made of a configuration, and what is wrong with the rest of it: one thing that is wrong hides no other.
#[derive(Debug)]
pub struct Parts {
    /// Where the origin runs.
    pub environment: Environment,
    /// Where it listens.
    pub bind: SocketAddr,
    /// The partners that are served.
    pub registry: Registry,
    /// The edge's keys.
    pub edge_keys: Option<KeySet>,
    /// The tenants' tokens.
    pub tokens: Tokens,
    /// The partners' own keys (`bytec-v1`), by partner code.
    pub partner_keys: BTreeMap<String, KeySet>,
    /// Each partner's database, by partner code, where it is said.
    pub partners: BTreeMap<String, Location>,
    /// The database that all partners share, where it is said.
    pub shared: Option<Location>,
    /// Every problem, each a sentence that begins with the variable and shows no secret.
    pub problems: Vec<String>,
}

impl Parts {
    /// The configuration, where nothing is wrong.
    ///
    /// # Errors
    /// Every problem.
    pub fn whole(self) -> Result<Config, Vec<String>> {
        let Parts { environment, bind, registry, edge_keys, tokens, partner_keys, partners, shared, problems } = self;
        match (edge_keys, shared) {
            (Some(edge_keys), Some(shared)) if problems.is_empty() => {
                let locations = Locations { partners, shared };
                Ok(Config { environment, bind, registry, edge_keys, tokens, partner_keys, locations })
            }
            _ => Err(problems),
        }
    }
}

/// Where the databases are.
#[derive(Clone, Debug)]
pub struct Locations {
    /// Each partner's, by partner code.
    pub partners: BTreeMap<String, Location>,
    /// The one that all partners share.
    pub shared: Location,
}

/// What the configuration is made of; text as a person wrote it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `ENVIRONMENT`.
    pub environment: Option<String>,
    /// `ORIGIN_BIND`.
    pub bind: Option<String>,
    /// `DATA_DIR`.
    pub data_dir: Option<String>,
    /// `PARTNERS`: codes of the partners to serve; none means all.
    pub partners: Vec<String>,
}

impl Config {
    /// Puts the configuration together. `variable` looks up environment variables; for a secret `NAME` the file that
    /// `NAME_FILE` names is read where `NAME` itself is not set.
    ///
    /// # Errors
    /// Every problem, each a sentence that names the variable and shows no secret.
    #[cfg(not(target_family = "wasm"))]
    pub fn read(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> Result<Config, Vec<String>> {
        Config::parts(settings, variable)?.whole()
    }

    /// The same, as far as it can be read.
    ///
    /// # Errors
    /// Never in a build that succeeded: the embedded partners.
    #[cfg(not(target_family = "wasm"))]
    pub fn parts(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> Result<Parts, Vec<String>> {
        Config::put_together(settings, variable, |reader, registry| reader.locations(settings, registry))
    }

    /// The same for a Worker. `database` answers the binding of a name, such as `INVOLVE_ASIA_DB`.
    ///
    /// # Errors
    /// As [`Config::read`].
    #[cfg(target_family = "wasm")]
    pub fn read_bindings(
        settings: &Settings,
        variable: impl Fn(&str) -> Option<String>,
        database: impl Fn(&str) -> Option<crate::store::d1::D1>,
    ) -> Result<Config, Vec<String>> {
        Config::put_together(settings, variable, |reader, registry| reader.bindings(registry, database))?.whole()
    }

    fn put_together<V: Fn(&str) -> Option<String>>(
        settings: &Settings,
        variable: V,
        locations: impl FnOnce(&mut Reader<V>, &Registry) -> (BTreeMap<String, Location>, Option<Location>),
    ) -> Result<Parts, Vec<String>> {
        let mut reader = Reader { variable, problems: Vec::new() };
        let environment = reader.environment(settings);
        let bind = reader.bind(settings, environment);
        let registry = registry().map_err(|problem| vec![problem])?;
        let edge_keys = reader.edge_keys(environment);
        let tokens = reader.tokens(environment, &registry);
        let partner_keys = reader.partner_keys(&registry);
        // Tokens and keys may be of partners that another origin serves: all origins can have the same.
        let registry = reader.served(settings, registry);
        let (partners, shared) = locations(&mut reader, &registry);
        let problems = reader.problems;
        Ok(Parts { environment, bind, registry, edge_keys, tokens, partner_keys, partners, shared, problems })
    }
}

/// The partners that this program was built with.
///
/// # Errors
/// Never in a build that succeeded.
pub fn registry() -> Result<Registry, String> {
    Registry::from_json(PARTNERS_JSON).map_err(|error| format!("the embedded partners cannot be read: {error}"))
}

/// Where the databases are, for commands that need nothing else.
///
/// # Errors
/// Every problem, as [`Config::read`] reports them.
#[cfg(not(target_family = "wasm"))]
pub fn read_locations(
    settings: &Settings,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Locations, Vec<String>> {
    let mut reader = Reader { variable, problems: Vec::new() };
    let registry = reader.served(settings, registry().map_err(|problem| vec![problem])?);
    match reader.locations(settings, &registry) {
        (partners, Some(shared)) if reader.problems.is_empty() => Ok(Locations { partners, shared }),
        _ => Err(reader.problems),
    }
}

/// A secret's text: that of the variable, or else of the file that `NAME_FILE` names; None where neither is set.
///
/// # Errors
/// The file cannot be read.
pub fn secret(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if let Some(value) = get(name) {
        return Ok(Some(value));
    }
    let Some(path) = get(&format!("{name}_FILE")) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => Err(format!("{name}_FILE: {path} cannot be read: {error}")),
    }
}

struct Reader<V> {
    variable: V,
    problems: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    fn secret(&mut self, name: &str) -> Option<String> {
        secret(name, &self.variable).unwrap_or_else(|problem| {
            self.problems.push(problem);
            None
        })
    }

    fn environment(&mut self, settings: &Settings) -> Environment {
        match settings.environment.as_deref() {
            Some("development") => Environment::Development,
            // Whoever forgets to say it must not get the public keys.
            Some("production" | "staging") | None => Environment::Production,
            Some(_) => {
                self.problems.push("ENVIRONMENT must be development, staging or production".to_owned());
                Environment::Production
            }
        }
    }

    fn bind(&mut self, settings: &Settings, environment: Environment) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], 8000));
        let Some(text) = settings.bind.as_deref() else { return default };
        let Ok(bind) = text.parse::<SocketAddr>() else {
            self.problems.push(format!("ORIGIN_BIND: {text:?} is not address and port, such as 127.0.0.1:8000"));
            return default;
        };
        if environment == Environment::Development && !bind.ip().is_loopback() {
            self.problems.push(format!(
                "ORIGIN_BIND: {bind} can be reached from outside, and in development anyone there would be believed"
            ));
        }
        bind
    }

    /// `PARTNERS`: those partners of all that this origin serves (R45).
    fn served(&mut self, settings: &Settings, registry: Registry) -> Registry {
        let codes: Vec<_> = settings.partners.iter().map(|code| code.trim()).filter(|code| !code.is_empty()).collect();
        if codes.is_empty() {
            return registry;
        }
        match registry.only(&codes) {
            Ok(served) => served,
            Err(unknown) => {
                let known: Vec<_> = registry.all().iter().map(|partner| partner.code.as_str()).collect();
                self.problems
                    .push(format!("PARTNERS: there is no partner {unknown:?}; there are {}", known.join(", ")));
                registry
            }
        }
    }

    fn edge_keys(&mut self, environment: Environment) -> Option<KeySet> {
        let text = match (self.secret("EDGE_KEYS"), environment) {
            (Some(text), _) => text,
            (None, Environment::Development) => DEVELOPMENT_KEYS.to_owned(),
            (None, Environment::Production) => {
                self.problems.push("EDGE_KEYS is not set: id:hex as at the edge, the newest first".to_owned());
                return None;
            }
        };
        match KeySet::parse(&text) {
            Ok(keys) => {
                if keys.holds_development_key() && environment == Environment::Production {
                    self.problems.push("EDGE_KEYS holds the public development key".to_owned());
                }
                Some(keys)
            }
            Err(problem) => {
                self.problems.push(format!("EDGE_KEYS {problem}"));
                None
            }
        }
    }

    /// `TENANT_TOKENS`: `tenant=token` entries.
    fn tokens(&mut self, environment: Environment, registry: &Registry) -> Tokens {
        let tenants: Vec<_> = registry.all().iter().map(|partner| partner.tenant.as_str()).collect();
        let text = self.secret("TENANT_TOKENS").unwrap_or_default();
        let bytes_min = match environment {
            Environment::Development => 0,
            Environment::Production => TOKEN_BYTES_MIN,
        };
        let (mut tokens, problems) =
            Tokens::parse("TENANT_TOKENS", &text, "tenant", |name| tenants.contains(&name), bytes_min);
        self.problems.extend(problems);
        if environment == Environment::Development {
            for tenant in tenants {
                tokens.add(tenant, DEVELOPMENT_TOKEN);
            }
        }
        tokens
    }

    /// `PARTNER_KEYS`: `partner=id:hex` entries.
    fn partner_keys(&mut self, registry: &Registry) -> BTreeMap<String, KeySet> {
        let partners: Vec<_> = registry.all().iter().map(|partner| partner.code.as_str()).collect();
        let text = self.secret("PARTNER_KEYS").unwrap_or_default();
        let is_partner = |name: &str| partners.contains(&name);
        let (keys, problems) = credential::partner_keys("PARTNER_KEYS", &text, is_partner);
        self.problems.extend(problems);
        keys
    }

    /// A partner's tables and those that all share would come into one database.
    fn refuse_shared_name(&mut self, registry: &Registry) {
        for partner in registry.all().iter().filter(|partner| partner.database == shared::NAME) {
            let code = &partner.code;
            self.problems.push(format!("partners/{code}.toml: database: {} is what all partners share", shared::NAME));
        }
    }

    /// The D1 databases, each bound by its name in capitals.
    #[cfg(target_family = "wasm")]
    fn bindings(
        &mut self,
        registry: &Registry,
        database: impl Fn(&str) -> Option<crate::store::d1::D1>,
    ) -> (BTreeMap<String, Location>, Option<Location>) {
        self.refuse_shared_name(registry);
        let mut locations = BTreeMap::new();
        for Partner { code, database: name, .. } in registry.all() {
            let binding = name.to_uppercase();
            match database(&binding) {
                Some(way) => drop(locations.insert(code.clone(), Location::D1 { name: name.clone(), way })),
                None => self
                    .problems
                    .push(format!("{binding} is not bound: the D1 database of {code}, or leave it out of PARTNERS")),
            }
        }
        let binding = shared::NAME.to_uppercase();
        let shared = database(&binding).map(|way| Location::D1 { name: shared::NAME.to_owned(), way });
        if shared.is_none() {
            self.problems.push(format!("{binding} is not bound: the D1 database that all partners share"));
        }
        (locations, shared)
    }

    /// `DATABASE_URL` for all, `DATABASE_URL_<CODE>` for one, `SHARED_DATABASE_URL` for the one that all partners share.
    #[cfg(not(target_family = "wasm"))]
    fn locations(
        &mut self,
        settings: &Settings,
        registry: &Registry,
    ) -> (BTreeMap<String, Location>, Option<Location>) {
        self.refuse_shared_name(registry);
        let data_dir = settings.data_dir.as_deref().unwrap_or("data");
        let common = self.secret("DATABASE_URL").unwrap_or_else(|| format!("sqlite:{data_dir}"));
        let own = self.secret("SHARED_DATABASE_URL");
        let name = if own.is_some() { "SHARED_DATABASE_URL" } else { "DATABASE_URL" };
        let shared = Location::within(own.as_deref().unwrap_or(&common), shared::NAME)
            .map_err(|problem| self.problems.push(format!("{name} {problem}")));
        let mut locations = BTreeMap::new();
        for Partner { code, database, .. } in registry.all() {
            let own_name = format!("DATABASE_URL_{}", code.to_uppercase());
            let own = self.secret(&own_name);
            let name = if own.is_some() { own_name.as_str() } else { "DATABASE_URL" };
            match Location::within(own.as_deref().unwrap_or(&common), database) {
                Ok(location) => {
                    locations.insert(code.clone(), location);
                }
                Err(problem) => {
                    let problem = format!("{name} {problem}");
                    if !self.problems.contains(&problem) {
                        self.problems.push(problem);
                    }
                }
            }
        }
        (locations, shared.ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn read(environment: &str, bind: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        read_for("", environment, bind, variables)
    }

    fn read_for(
        partners: &str,
        environment: &str,
        bind: &str,
        variables: &[(&str, &str)],
    ) -> Result<Config, Vec<String>> {
        let settings = Settings {
            environment: Some(environment.to_owned()).filter(|text| !text.is_empty()),
            bind: Some(bind.to_owned()).filter(|text| !text.is_empty()),
            data_dir: None,
            partners: partners.split(',').map(str::to_owned).collect(),
        };
        Config::read(&settings, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn development_needs_nothing() {
        let config = read("development", "", &[]).unwrap();
        assert_eq!(config.bind.to_string(), "127.0.0.1:8000");
        assert!(config.tokens.belong_to("bytec", "default-ts-token", 0));
        assert!(!config.tokens.belong_to("other", "default-ts-token", 0) && !config.tokens.belong_to("bytec", "", 0));
        assert_eq!(format!("{:?}", config.locations.partners["rector"]), "sqlite at data/rector_db.sqlite");
    }

    #[test]
    fn what_partners_share_is_beside_their_databases_or_where_it_is_said() {
        let shown =
            |variables: &[(&str, &str)]| format!("{:?}", read("development", "", variables).unwrap().locations.shared);
        assert_eq!(shown(&[]), "sqlite at data/bytec_db.sqlite");
        let url = "postgres://u:geheim@db.example/postgres";
        assert_eq!(shown(&[("DATABASE_URL", url)]), "postgres at db.example:5432, bytec_db");
        assert_eq!(shown(&[("DATABASE_URL_RECTOR", url)]), "sqlite at data/bytec_db.sqlite");
        assert_eq!(shown(&[("SHARED_DATABASE_URL", url)]), "postgres at db.example:5432, bytec_db");
        let problems = read("development", "", &[("SHARED_DATABASE_URL", "mysql://u:geheim@h/d")]).unwrap_err();
        assert_eq!(problems, ["SHARED_DATABASE_URL must begin with postgres:// or sqlite:"]);
        // What is wrong with the URL for all is said once.
        assert_eq!(read("development", "", &[("DATABASE_URL", "mysql://u:geheim@h/d")]).unwrap_err().len(), 1);
    }

    #[test]
    fn production_knows_no_public_secret() {
        let edge = format!("k1:{HEX}");
        let config = read("", "", &[("EDGE_KEYS", &edge)]).unwrap();
        assert_eq!(config.environment, Environment::Production);
        assert!(!config.tokens.belong_to("bytec", "default-ts-token", 0));
        for variables in [
            vec![],
            vec![("EDGE_KEYS", DEVELOPMENT_KEYS)],
            vec![("EDGE_KEYS", edge.as_str()), ("TENANT_TOKENS", "bytec=default-ts-token")],
        ] {
            assert_eq!(read("production", "", &variables).unwrap_err().len(), 1, "{variables:?}");
        }
    }

    #[test]
    fn every_problem_is_reported_at_once_and_no_secret_shown() {
        let problems = read(
            "live",
            "localhost",
            &[
                ("EDGE_KEYS", "k1:geheim"),
                ("TENANT_TOKENS", "nobody=geheim"),
                ("PARTNER_KEYS", "nobody=k:geheim rector=geheim"),
                ("DATABASE_URL", "mysql://u:geheim@h/d"),
            ],
        )
        .unwrap_err();
        let names: Vec<_> = problems.iter().map(|p| p.split([' ', ':']).next().unwrap()).collect();
        let expected = [
            "ENVIRONMENT",
            "ORIGIN_BIND",
            "EDGE_KEYS",
            "TENANT_TOKENS",
            "PARTNER_KEYS",
            "PARTNER_KEYS",
            "DATABASE_URL",
        ];
        assert_eq!(names, expected, "{problems:#?}");
        assert!(!problems.concat().contains("geheim"), "{problems:#?}");
    }

    #[test]
    fn the_development_set_up_stays_on_its_machine() {
        let problems = read("development", "0.0.0.0:8000", &[]).unwrap_err();
        assert!(problems[0].starts_with("ORIGIN_BIND: 0.0.0.0:8000 can be reached from outside"), "{problems:?}");
    }

    #[test]
    fn one_partner_may_live_elsewhere() {
        let config = read("development", "", &[("DATABASE_URL_RECTOR", "postgres://u@db.example/x")]).unwrap();
        assert_eq!(format!("{:?}", config.locations.partners["rector"]), "postgres at db.example:5432, rector_db");
        assert_eq!(format!("{:?}", config.locations.partners["involve_asia"]), "sqlite at data/involve_asia_db.sqlite");
    }

    #[test]
    fn an_origin_may_serve_some_partners() {
        let keys = format!("s2s=a:{HEX} rector=b:{HEX}");
        let config = read_for("rector, involve_asia,", "development", "", &[("PARTNER_KEYS", &keys)]).unwrap();
        let served: Vec<_> = config.registry.all().iter().map(|partner| partner.code.as_str()).collect();
        assert_eq!(served, ["involve_asia", "rector"]);
        assert_eq!(config.locations.partners.keys().collect::<Vec<_>>(), ["involve_asia", "rector"]);
        assert!(config.registry.by_path("/postback").is_none(), "the others' endpoints are not there");
        let problems = read_for("rector,rectro", "development", "", &[]).unwrap_err();
        assert_eq!(problems, ["PARTNERS: there is no partner \"rectro\"; there are involve_asia, rector, s2s"]);
    }

    #[test]
    fn a_partners_keys_are_read_from_several_entries() {
        let text = format!("s2s=a:{HEX}, s2s=b:{HEX}");
        let config = read("development", "", &[("PARTNER_KEYS", text.as_str())]).unwrap();
        assert!(config.partner_keys["s2s"].get("a", 0).is_ok() && config.partner_keys["s2s"].get("b", 0).is_ok());
        assert!(!format!("{config:?}").contains("0102"));
    }
}
