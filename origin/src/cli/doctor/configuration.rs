//! The configuration: whether it can be read, and whether it lets in nobody that it should not.

use super::code::Code;
use super::files;
use super::finding::{Checked, Finding};
use crate::config::{Config, Environment, Parts, Settings, secret};
use postback::credential::DEVELOPMENT_TOKEN;
use postback::key::KeySet;
use postback::time::Timestamp;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// How long before its end something is told about, in seconds.
pub const ENDING_S: i64 = 14 * 24 * 60 * 60;
/// Of 32 random bytes fewer are never different: not in the lifetime of the universe.
const DIFFERENT_BYTES_MIN: usize = 16;

/// What was read of the configuration.
#[derive(Debug)]
pub struct Configuration {
    /// The configuration, as far as it can be read.
    pub parts: Parts,
    /// Keys that can be guessed: the variable and their ids.
    weak: Vec<(&'static str, String)>,
    /// Files with secrets that everybody can read: the variable, and the file.
    open: Vec<(String, PathBuf)>,
}

/// Reads it. Takes as long as its files do.
///
/// # Errors
/// As [`Config::parts`].
pub fn read(settings: &Settings, variable: impl Fn(&str) -> Option<String>) -> Result<Configuration, Vec<String>> {
    let parts = Config::parts(settings, &variable)?;
    let codes = parts.registry.all().iter().map(|partner| format!("DATABASE_URL_{}", partner.code.to_uppercase()));
    let others = ["EDGE_KEYS", "TENANT_TOKENS", "PARTNER_KEYS", "DATABASE_URL", "SHARED_DATABASE_URL"];
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.trim().is_empty());
    let file = |name: String| {
        let path = variable(&format!("{name}_FILE")).filter(|_| !is_set(&name))?;
        let path = PathBuf::from(path);
        files::is_readable_by_all(&path)?.then(|| (format!("{name}_FILE"), path))
    };
    let open = others.map(str::to_owned).into_iter().chain(codes).filter_map(file).collect();
    let mut weak = Vec::new();
    for name in ["EDGE_KEYS", "PARTNER_KEYS"] {
        let text = secret(name, &variable).ok().flatten().unwrap_or_default();
        weak.extend(guessable(&text).into_iter().map(|id| (name, id)));
    }
    Ok(Configuration { parts, weak, open })
}

/// The ids of keys that nobody has made by chance.
fn guessable(text: &str) -> Vec<String> {
    let entries = text.split([',', ' ', '\n', '\t', '\r']).filter_map(|entry| {
        let entry = entry.rsplit_once('=').map_or(entry, |(_, key)| key);
        let (id, rest) = entry.split_once(':')?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(rest.split('@').next()?, &mut bytes).ok()?;
        Some((id, bytes))
    });
    entries.filter(|(_, bytes)| is_guessable(bytes)).map(|(id, _)| id.to_owned()).collect()
}

fn is_guessable(bytes: &[u8]) -> bool {
    let different: BTreeSet<_> = bytes.iter().collect();
    let steps: BTreeSet<_> = bytes.iter().zip(bytes.iter().skip(1)).map(|(a, b)| b.wrapping_sub(*a)).collect();
    different.len() < DIFFERENT_BYTES_MIN || steps.len() < DIFFERENT_BYTES_MIN
}

/// What is wrong with it.
pub fn check(configuration: &Configuration, now: Timestamp) -> Checked {
    let Parts { environment, bind, registry, .. } = &configuration.parts;
    let looked_at = format!("{}, {bind}, {} partners", environment.name(), registry.all().len());
    Checked::new("configuration", "", looked_at, judge(configuration, now))
}

fn judge(configuration: &Configuration, now: Timestamp) -> Vec<Finding> {
    let Configuration { parts, weak, open } = configuration;
    let is_production = parts.environment == Environment::Production;
    let holds_public = parts.edge_keys.as_ref().is_some_and(KeySet::holds_development_key) && is_production;
    let mut findings: Vec<_> = parts
        .problems
        .iter()
        // It has a code of its own below.
        .filter(|problem| !(holds_public && problem.contains("public development key")))
        .map(|problem| Finding::new(Code::Configuration, problem, mending(problem)))
        .collect();
    if holds_public {
        findings.push(Finding::new(
            Code::DevelopmentKey,
            "EDGE_KEYS holds the public development key: anybody can sign as the edge",
            "put another one into EDGE_KEYS, id:hex from openssl rand -hex 32, and at the edge: npx wrangler secret put EDGE_KEYS --env production",
        ));
    }
    let tenants: BTreeSet<_> = parts.registry.all().iter().map(|partner| partner.tenant.as_str()).collect();
    let believes = |tenant: &&str| parts.tokens.belong_to(tenant, DEVELOPMENT_TOKEN, now.unix_s());
    for tenant in tenants.into_iter().filter(believes).filter(|_| is_production) {
        findings.push(Finding::new(
            Code::DevelopmentToken,
            format!("TENANT_TOKENS lets in the public development token for {tenant}"),
            format!(
                "take that entry out of TENANT_TOKENS and make a token: bytec-origin tokens create --tenant {tenant}"
            ),
        ));
    }
    if !is_production {
        findings.push(Finding::new(
            Code::DevelopmentEnvironment,
            "the public key and the public token are believed here",
            "where real postbacks come in, set ENVIRONMENT=production",
        ));
    }
    if is_production && !parts.bind.ip().is_loopback() {
        findings.push(Finding::new(
            Code::BindReachable,
            format!("{} can be reached past the tunnel", parts.bind),
            "set ORIGIN_BIND=127.0.0.1:8000 where cloudflared runs on this machine; elsewhere let a firewall admit the tunnel alone",
        ));
    }
    let open_partners = parts.registry.all().iter().filter(|partner| partner.is_open());
    let open_partners: Vec<_> = open_partners.map(|partner| partner.code.as_str()).collect();
    if !open_partners.is_empty() {
        findings.push(Finding::new(
            Code::PartnerOpen,
            format!("auth = \"open\": whoever knows the URL can report conversions of {}", open_partners.join(", ")),
            "where the network can, set auth in its partner file to token, path_key, ip or signature",
        ));
    }
    for (variable, path) in open {
        findings.push(Finding::new(
            Code::SecretReadable,
            format!("{variable}: every user of this machine can read {}", path.display()),
            format!(
                "chmod 600 {0}, owned by whom the origin runs as; then change the secret, which may be known",
                path.display()
            ),
        ));
    }
    for (variable, id) in weak.iter().filter(|_| is_production) {
        findings.push(Finding::new(
            Code::KeyWeak,
            format!("{variable}: the key {id} is not random"),
            format!("make another with openssl rand -hex 32, and put it into {variable} here and at the other side"),
        ));
    }
    findings.extend(of_keys(parts, now.unix_s()));
    findings
}

/// What is wrong with when keys are in force, and with what they are used for.
fn of_keys(parts: &Parts, now_s: i64) -> Vec<Finding> {
    let partners = parts.partner_keys.iter().map(|(code, keys)| (format!("PARTNER_KEYS of {code}"), keys));
    let edge = parts.edge_keys.iter().map(|keys| ("EDGE_KEYS".to_owned(), keys));
    let mut findings = Vec::new();
    for (name, keys) in edge.chain(partners) {
        findings.extend(in_force(&name, keys, now_s));
    }
    for (code, keys) in &parts.partner_keys {
        for key in keys.iter() {
            let edge = parts.edge_keys.iter().flat_map(KeySet::iter);
            for same in edge.filter(|edge| edge.is_same_secret(key)) {
                findings.push(Finding::new(
                    Code::KeyShared,
                    format!("{code} has the edge's key {} as {}: it can sign as the edge", same.id(), key.id()),
                    "give the partner a key of its own in PARTNER_KEYS (openssl rand -hex 32), and change the one in EDGE_KEYS",
                ));
            }
        }
    }
    findings
}

fn in_force(name: &str, keys: &KeySet, now_s: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let shown = |at_s: i64| Timestamp::from_unix_ms(at_s.saturating_mul(1_000)).unwrap_or(Timestamp::EPOCH);
    match held_until(keys, now_s) {
        Held::Never => findings.push(Finding::new(
            Code::KeysNotInForce,
            format!("{name}: no key is in force now"),
            format!("put a key into {} that is: id:hex, or id:hex@from/until with now between the two", variable(name)),
        )),
        Held::Until(end_s) if end_s.saturating_sub(now_s) < ENDING_S => findings.push(Finding::new(
            Code::KeysEnding,
            format!("{name}: after {} no key is in force", shown(end_s)),
            format!("add a key that goes on, in front: {}=new-id:<openssl rand -hex 32>,...; docs/operations.md#rotating-keys-by-date", variable(name)),
        )),
        Held::Until(_) | Held::Always => {}
    }
    for key in keys.iter() {
        let validity = key.validity();
        if validity.until_s.is_some_and(|until_s| until_s <= now_s) {
            let says = format!("{name}: the key {} is over", key.id());
            findings.push(Finding::new(Code::KeyOver, says, format!("take its entry out of {}", variable(name))));
        }
        if let Some(from_s) = validity.from_s.filter(|from_s| *from_s > now_s) {
            findings.push(Finding::new(
                Code::KeyToCome,
                format!("{name}: the key {} is not believed before {}", key.id(), shown(from_s)),
                format!(
                    "take its beginning out of {}: who signs decides when, and clocks that stand apart do no harm then",
                    variable(name)
                ),
            ));
        }
    }
    findings
}

/// The variable that a name of keys begins with.
fn variable(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// For how long there is a key in force without a gap.
enum Held {
    Never,
    Until(i64),
    Always,
}

fn held_until(keys: &KeySet, now_s: i64) -> Held {
    let mut until_s = now_s;
    // Each key leads on once at most.
    for _ in keys.iter() {
        let ends = keys.iter().map(|key| key.validity()).filter(|validity| validity.contains(until_s));
        match ends.map(|validity| validity.until_s.unwrap_or(i64::MAX)).max() {
            None => break,
            Some(i64::MAX) => return Held::Always,
            Some(end_s) => until_s = end_s,
        }
    }
    if until_s == now_s { Held::Never } else { Held::Until(until_s) }
}

/// What mends a problem of the configuration.
fn mending(problem: &str) -> String {
    let variable = problem.split([' ', ':']).next().unwrap_or_default();
    let make = match variable {
        "EDGE_KEYS" => ", id:hex with 64 digits from openssl rand -hex 32, the same as at the edge",
        "TENANT_TOKENS" | "PARTNER_KEYS" => ", with secrets from openssl rand -hex 32",
        _ => "",
    };
    format!(
        "mend {variable} in the environment of bytec-origin (sudo systemctl edit bytec-origin){make}; docs/configuration.md#origin says what it takes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "ffc515fa88441ec8bf78f23f812062d38894f357f2a2ee2b9b75623e1bbd0aea";
    const OTHER: &str = "e520c593b444c7d561bf61686570d737d052f5d1e2f566cb443bb4f245d8cec5";
    /// 2026-06-01 00:00:00 UTC.
    const NOW_S: i64 = 1_780_272_000;

    fn found(environment: &str, bind: &str, variables: &[(&str, &str)]) -> Vec<&'static str> {
        let settings = Settings {
            environment: Some(environment.to_owned()),
            bind: Some(bind.to_owned()),
            data_dir: Some("data".to_owned()),
            partners: Vec::new(),
        };
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let configuration = read(&settings, variable).unwrap();
        let now = Timestamp::from_unix_ms(NOW_S * 1_000).unwrap();
        let checked = check(&configuration, now);
        assert!(!format!("{checked:?}").contains(GOOD), "no secret is shown");
        for finding in &checked.findings {
            assert!(finding.hint.len() > 20, "{finding:?}");
        }
        // Of the shipped partners two are open, whatever the configuration.
        let (open, rest): (Vec<_>, Vec<_>) =
            checked.findings.iter().partition(|finding| finding.code == Code::PartnerOpen);
        assert!(matches!(open.as_slice(), [one] if one.says.ends_with(" involve_asia, rector")), "{open:?}");
        rest.iter().map(|finding| finding.code.name()).collect()
    }

    fn in_production(variables: &[(&str, &str)]) -> Vec<&'static str> {
        found("production", "127.0.0.1:8000", variables)
    }

    #[test]
    fn a_right_configuration_has_nothing_to_be_found() {
        let key = format!("k1:{GOOD}");
        assert_eq!(in_production(&[("EDGE_KEYS", &key)]), [""; 0]);
        assert_eq!(found("development", "127.0.0.1:8000", &[]), ["development_environment"]);
        assert_eq!(found("production", "0.0.0.0:8000", &[("EDGE_KEYS", &key)]), ["bind_reachable"]);
    }

    #[test]
    fn all_problems_of_the_configuration_are_told_at_once() {
        let problems =
            found("live", "localhost", &[("DATABASE_URL", "mysql://u:geheim@h/d"), ("TENANT_TOKENS", "nobody=x")]);
        assert_eq!(problems, ["configuration"; 5]);
    }

    #[test]
    fn public_secrets_are_found_in_production() {
        let digest = hex::encode(postback::credential::digest(DEVELOPMENT_TOKEN));
        let (tokens, key) = (format!("bytec=sha256:{digest}"), format!("k1:{GOOD}"));
        let development = postback::key::DEVELOPMENT_KEYS;
        assert_eq!(in_production(&[("EDGE_KEYS", &key), ("TENANT_TOKENS", &tokens)]), ["development_token"]);
        let codes = in_production(&[("EDGE_KEYS", development)]);
        assert!(codes.contains(&"development_key") && !codes.contains(&"configuration"), "{codes:?}");
    }

    #[test]
    fn keys_that_can_be_guessed_are_found() {
        let counted: Vec<u8> = (0..32).collect();
        for weak in ["5a".repeat(32), hex::encode(counted), "deadbeef".repeat(8), "00".repeat(32)] {
            assert_eq!(in_production(&[("EDGE_KEYS", &format!("k1:{weak}"))]), ["key_weak"], "{weak}");
            let keys = format!("s2s=a:{weak}@2020-01-01/");
            assert_eq!(in_production(&[("EDGE_KEYS", &format!("k1:{GOOD}")), ("PARTNER_KEYS", &keys)]), ["key_weak"]);
        }
    }

    #[test]
    fn when_keys_are_in_force_is_looked_at() {
        for (keys, expected) in [
            (format!("a:{GOOD}@/2026-06-01"), vec!["keys_not_in_force", "key_over"]),
            (format!("a:{GOOD}@2026-07-01/"), vec!["keys_not_in_force", "key_to_come"]),
            (format!("a:{GOOD}@/2026-06-05"), vec!["keys_ending"]),
            (format!("a:{GOOD}@/2026-07-05"), vec![]),
            (format!("a:{GOOD}@/2026-06-05,b:{OTHER}@2026-06-05/"), vec!["key_to_come"]),
            (format!("a:{GOOD}@/2026-06-05,b:{OTHER}@2026-06-06/"), vec!["keys_ending", "key_to_come"]),
            (format!("b:{OTHER},a:{GOOD}@/2026-05-05"), vec!["key_over"]),
        ] {
            assert_eq!(in_production(&[("EDGE_KEYS", &keys)]), expected, "{keys}");
        }
        let partner = format!("s2s=p:{GOOD}");
        assert_eq!(in_production(&[("EDGE_KEYS", &format!("e:{GOOD}")), ("PARTNER_KEYS", &partner)]), ["key_shared"]);
    }

    #[test]
    fn a_file_with_secrets_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("edge-keys");
        std::fs::write(&path, format!("k1:{GOOD}")).unwrap();
        for (mode, expected) in [(0o644, vec!["secret_readable"]), (0o640, vec![])] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(in_production(&[("EDGE_KEYS_FILE", path.to_str().unwrap())]), expected);
        }
    }
}
