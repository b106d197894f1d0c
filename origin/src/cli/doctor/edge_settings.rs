//! The edge's settings, `wrangler.toml`: that the edge sends to the origin that is meant, loses nothing on the way, and shows no secret.

use super::code::Code;
use super::finding::{Checked, Finding};
use super::tunnel::text_of;
use crate::cli::web::base_url;
use crate::config::Environment;
use postback::retry::RETRIES_MAX;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes of the file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the edge holds as secrets, and never as variables (docs/configuration.md).
const SECRETS: [&str; 8] = [
    "EDGE_KEYS",
    "ACCESS_CLIENT_ID",
    "ACCESS_CLIENT_SECRET",
    "OPERATOR_TOKENS",
    "TENANT_TOKENS",
    "PATH_KEYS",
    "PARTNER_KEYS",
    "JWT_KEYS",
];
/// The variable that names the origin of all partners.
const ORIGIN_URL: &str = "ORIGIN_URL";
/// The queues by their bindings.
const QUEUES: [&str; 3] = ["POSTBACKS", "CLICKS", "REJECTIONS"];
/// The binding of the table of parked postbacks.
const PARKED: &str = "PARKED";
/// What stands for a database's id until it is made.
const NO_DATABASE: &str = "00000000-0000-0000-0000-000000000000";

/// What of one environment is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    vars: BTreeMap<String, toml::Value>,
    queues: Queues,
    d1_databases: Vec<D1>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Queues {
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Producer {
    binding: String,
    queue: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Consumer {
    queue: String,
    max_retries: Option<u32>,
    dead_letter_queue: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct D1 {
    binding: String,
    database_name: String,
    database_id: String,
}

#[derive(Deserialize)]
struct Environments {
    #[serde(default)]
    env: BTreeMap<String, Settings>,
}

/// What was found at its place.
#[derive(Debug)]
pub struct Looked {
    path: PathBuf,
    /// The environment's name.
    env: String,
    /// The settings of the environment; None where it is not there.
    settings: Result<Option<Settings>, String>,
}

/// Looks at the settings of an environment; `development` is the top level.
pub fn look(path: &Path, env: &str) -> Looked {
    let settings = text_of(path, FILE_BYTES_MAX).and_then(|text| read(&text, env));
    Looked { path: path.to_owned(), env: env.to_owned(), settings }
}

fn read(text: &str, env: &str) -> Result<Option<Settings>, String> {
    // The place, and not the line that stands there: it may hold what it should not.
    let wrong = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            let before = text.bytes().take(span.start);
            before.filter(|byte| *byte == b'\n').count().saturating_add(1)
        });
        format!("line {line}: {}", error.message())
    };
    if env == Environment::Development.name() {
        return toml::from_str(text).map(Some).map_err(wrong);
    }
    let mut environments: Environments = toml::from_str(text).map_err(wrong)?;
    Ok(environments.env.remove(env))
}

impl Looked {
    /// The hostname of the origin that the edge asks for all partners: the tunnel's. A partner may have another elsewhere.
    pub fn hostnames(&self) -> Vec<String> {
        let url = self.origins().find(|(name, _)| *name == ORIGIN_URL).and_then(|(_, url)| base_url(url).ok());
        url.iter().filter_map(|url| url.host_str().map(str::to_owned)).collect()
    }

    /// Every variable that names an origin.
    fn origins(&self) -> impl Iterator<Item = (&str, &str)> {
        let vars = self.settings.iter().flatten().flat_map(|settings| &settings.vars);
        let is_one = |name: &str| name.starts_with(ORIGIN_URL) || name.starts_with("ORIGIN_FALLBACK_URL");
        let urls = vars.filter(move |(name, _)| is_one(name));
        urls.map(|(name, url)| (name.as_str(), url.as_str().unwrap_or_default().trim_end_matches('/')))
    }
}

/// What is wrong with it. `tunnel` has the tunnel's hostnames, where its configuration was read.
pub fn check(looked: &Looked, tunnel: Option<&[&str]>) -> Checked {
    Checked::new("edge settings", &looked.env, looked.path.display().to_string(), judge(looked, tunnel))
}

fn judge(looked: &Looked, tunnel: Option<&[&str]>) -> Vec<Finding> {
    let (path, env) = (looked.path.display(), looked.env.as_str());
    let is_development = env == Environment::Development.name();
    let within = |table: &str| if is_development { format!("[{table}]") } else { format!("[env.{env}.{table}]") };
    let settings = match &looked.settings {
        Ok(Some(settings)) => settings,
        Ok(None) => {
            return vec![Finding::new(
                Code::EdgeEnvironment,
                format!("{path} has no environment {env}"),
                format!("add [env.{env}] with all that [env.production] has, or say which one is meant: --env"),
            )];
        }
        Err(why) => {
            return vec![Finding::new(
                Code::EdgeSettingsUnreadable,
                format!("{path}: {why}"),
                format!("mend {path}, and check it: npm run deploy -- --env {env} --dry-run"),
            )];
        }
    };
    let mut findings = Vec::new();
    for name in SECRETS.into_iter().filter(|name| settings.vars.contains_key(*name)) {
        findings.push(Finding::new(
            Code::SecretInVars,
            format!("{path}: {name} stands in {}, for everybody who sees the file or the dashboard", within("vars")),
            format!(
                "take it out, make a new one, and put that as a secret: npx wrangler secret put {name} --env {env}"
            ),
        ));
    }
    let named = settings.vars.get("ENVIRONMENT").and_then(toml::Value::as_str).unwrap_or_default();
    if named != env {
        findings.push(Finding::new(
            Code::EdgeEnvironment,
            format!("{path}: ENVIRONMENT of {env} is {named:?}"),
            format!("write ENVIRONMENT = \"{env}\" under {}", within("vars")),
        ));
    }
    findings.extend(judge_origin(looked, tunnel, &within("vars"), is_development));
    findings.extend(judge_queues(settings, &looked.path, &|table| within(table)));
    match settings.d1_databases.iter().find(|database| database.binding == PARKED) {
        None => findings.push(Finding::new(
            Code::BindingMissing,
            format!("{path}: no database is bound as {PARKED}, so what is given up has no place"),
            format!(
                "add [{}] with binding = \"{PARKED}\"; docs/operations.md#first-deployment",
                within("d1_databases")
            ),
        )),
        Some(database) if !is_development && [NO_DATABASE, ""].contains(&database.database_id.as_str()) => {
            findings.push(Finding::new(
                Code::DatabaseIdMissing,
                format!("{path}: {} has no database_id yet", database.database_name),
                format!(
                    "npx wrangler d1 create {}, and write the id that it prints under [{}]",
                    database.database_name,
                    within("d1_databases")
                ),
            ));
        }
        Some(_) => {}
    }
    findings
}

fn judge_origin(looked: &Looked, tunnel: Option<&[&str]>, vars: &str, is_development: bool) -> Vec<Finding> {
    let path = looked.path.display();
    let wrong = |name: &str, why: &str| {
        Finding::new(
            Code::OriginUrlWrong,
            format!("{path}: {name} {why}"),
            format!(
                "write {name} = \"https://<hostname of the tunnel>\" under {vars}, then npm run deploy -- --env {}",
                looked.env
            ),
        )
    };
    let mut findings = Vec::new();
    if looked.origins().all(|(name, _)| name != ORIGIN_URL) {
        findings.push(wrong(ORIGIN_URL, "is not set"));
    }
    // An origin that is a bound Worker has no tunnel.
    for (name, url) in looked.origins().filter(|(_, url)| !url.starts_with("service://")) {
        let base = match base_url(url) {
            Ok(base) if base.scheme() == "https" || is_development => base,
            Ok(_) => {
                findings.push(wrong(name, "must begin with https://"));
                continue;
            }
            Err(why) => {
                findings.push(wrong(name, &why));
                continue;
            }
        };
        let host = base.host_str().unwrap_or_default();
        let is_elsewhere = tunnel.is_some_and(|names| !names.iter().any(|name| fits(name, host)));
        if name == ORIGIN_URL && is_elsewhere && !is_development {
            let names = tunnel.unwrap_or_default().join(", ");
            findings.push(Finding::new(
                Code::OriginUrlNotTheTunnels,
                format!("{path}: {name} is {host}, and the tunnel is for {names}"),
                format!(
                    "write the tunnel's hostname as {name} under {vars} and deploy; or add {host} to ingress in cloudflared's config.yml"
                ),
            ));
        }
    }
    findings
}

/// Whether a hostname of the tunnel, which may begin with `*.`, is for a host.
fn fits(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => name.eq_ignore_ascii_case(host),
    }
}

fn judge_queues(settings: &Settings, path: &Path, within: &dyn Fn(&str) -> String) -> Vec<Finding> {
    let path = path.display();
    let consumers = &settings.queues.consumers;
    let consumer = |queue: &str| consumers.iter().find(|consumer| consumer.queue == queue);
    let table = within("queues.consumers");
    let wrong = |says: String, edit: String| {
        Finding::new(Code::QueueSettings, format!("{path}: {says}"), format!("{edit} under [{table}], then deploy"))
    };
    let mut findings = Vec::new();
    for binding in QUEUES {
        let Some(producer) = settings.queues.producers.iter().find(|producer| producer.binding == binding) else {
            findings.push(Finding::new(
                Code::BindingMissing,
                format!("{path}: no queue is bound as {binding}, so what the origin does not take is lost"),
                format!(
                    "add [{}] with binding = \"{binding}\"; docs/operations.md#first-deployment",
                    within("queues.producers")
                ),
            ));
            continue;
        };
        let queue = &producer.queue;
        let Some(taken) = consumer(queue) else {
            findings.push(wrong(format!("nobody takes what is in {queue}"), format!("add queue = \"{queue}\"")));
            continue;
        };
        if taken.max_retries != Some(RETRIES_MAX) {
            let retries = taken.max_retries.map_or_else(|| "not said".to_owned(), |retries| retries.to_string());
            findings.push(wrong(
                format!("max_retries of {queue} is {retries}: what waits there is not tried for 72 hours"),
                format!("write max_retries = {RETRIES_MAX} for {queue}"),
            ));
        }
        match &taken.dead_letter_queue {
            None => findings.push(wrong(
                format!("{queue} has no dead_letter_queue: what is behind its last try is forgotten"),
                format!("write dead_letter_queue = \"bytec-dead-letters\" for {queue}"),
            )),
            Some(dead) if consumer(dead).is_none() => findings.push(wrong(
                format!("nobody takes what is in {dead}, so it is forgotten"),
                format!("add queue = \"{dead}\""),
            )),
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../../../wrangler.toml");

    /// The file of the repository, with a database's id filled in.
    fn good() -> String {
        FILE.replace(NO_DATABASE, "5f1c09ab-0000-4000-8000-000000000001")
    }

    fn of(text: &str, env: &str) -> Vec<&'static str> {
        let looked = Looked { path: "wrangler.toml".into(), env: env.to_owned(), settings: read(text, env) };
        let checked = check(&looked, Some(&["origin.bytec.com", "*.staging.bytec.com"]));
        let secret = checked.findings.iter().any(|finding| format!("{finding:?}").contains("geheim"));
        assert!(!secret, "{checked:?}");
        checked.findings.iter().map(|finding| finding.code.name()).collect()
    }

    #[test]
    fn the_file_of_the_repository_is_right_once_it_is_filled_in() {
        assert_eq!(of(&good(), "production"), [""; 0]);
        assert_eq!(of(FILE, "development"), [""; 0]);
        assert_eq!(of(FILE, "production"), ["database_id_missing"]);
        assert_eq!(of(&good(), "staging"), ["origin_url_not_the_tunnels"]);
        assert_eq!(of(&good().replace("origin-staging.", "origin.staging."), "staging"), [""; 0]);
        assert_eq!(of(&good().replace("https://origin.bytec.com", "service://ORIGIN"), "production"), [""; 0]);
    }

    #[test]
    fn what_is_wrong_with_it_is_found() {
        let url = "ORIGIN_URL = \"https://origin.bytec.com\"\n#";
        let with = |text: &str| good().replacen(url, &format!("{text}\n#"), 1);
        assert_eq!(of(&with("ORIGIN_URL = \"https://old.bytec.com\""), "production"), ["origin_url_not_the_tunnels"]);
        for wrong in [
            "http://origin.bytec.com",
            "origin.bytec.com",
            "https://origin.bytec.com/x",
            "https://u:geheim@origin.bytec.com",
        ] {
            assert_eq!(of(&with(&format!("ORIGIN_URL = \"{wrong}\"")), "production"), ["origin_url_wrong"], "{wrong}");
        }
        assert_eq!(of(&with(""), "production"), ["origin_url_wrong"]);
        let fallback =
            "ORIGIN_URL = \"https://origin.bytec.com\"\nORIGIN_FALLBACK_URL_RECTOR = \"origin-old.bytec.com\"";
        assert_eq!(of(&with(fallback), "production"), ["origin_url_wrong"]);
        let secret = "ORIGIN_URL = \"https://origin.bytec.com\"\nEDGE_KEYS = \"k1:geheim\"";
        assert_eq!(of(&with(secret), "production"), ["secret_in_vars"]);
        assert_eq!(
            of(&good().replace("ENVIRONMENT = \"production\"", "ENVIRONMENT = \"development\""), "production"),
            ["edge_environment"]
        );
        assert_eq!(of(&good(), "live"), ["edge_environment"]);
        assert_eq!(of("a = [\nb = \"geheim", "production"), ["edge_settings_unreadable"]);
        assert_eq!(of(&good().replace("max_retries = 79", "max_retries = 3"), "production"), ["queue_settings"; 3]);
        assert_eq!(
            of(&good().replace("dead_letter_queue = \"bytec-dead-letters\"", ""), "production"),
            ["queue_settings"; 3]
        );
        assert_eq!(
            of(&good().replace("queue = \"bytec-dead-letters\"\nmax", "queue = \"x\"\nmax"), "production"),
            ["queue_settings"; 3]
        );
        assert_eq!(
            of(&good().replace("binding = \"POSTBACKS\"", "binding = \"P\""), "production"),
            ["binding_missing"]
        );
        assert_eq!(of(&good().replace("binding = \"PARKED\"", "binding = \"P\""), "production"), ["binding_missing"]);
    }

    #[test]
    fn a_wrong_file_is_told_by_its_line() {
        let Err(why) = read("a = 1\nb = = geheim\n", "production") else { panic!("it is wrong") };
        assert!(why.starts_with("line 2: ") && !why.contains("geheim"), "{why}");
    }
}
