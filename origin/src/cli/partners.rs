//! `partners`: what the partner files came to, whether those of a folder are right, and taking over what they say (R54).

use super::{DatabasesArgs, answered, change, ended, print};
use crate::app::Platform;
use crate::config::registry;
use crate::shared::{Difference, Key, Seen, Shared};
use crate::store::Tables;
use crate::store::location::Location;
use crate::store::look::{Look, Unseen};
use clap::{Args, Subcommand};
use postback::duplicate::DuplicateKey;
use postback::event::Event;
use postback::field::Field;
use postback::partner::file::{Problem, read_folder};
use postback::partner::{Partner, Registry};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long looking at what was taken over may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done with partner files; listed where nothing is said.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Partners {
    #[command(subcommand)]
    command: Option<Command>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// List the partners that this program was built with.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a folder of partner files, without a build. Exits with 1 when one is wrong; a warning is no error.
    Check {
        /// The folder.
        #[arg(default_value = "partners")]
        folder: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take over what this program's partner files say into the database that all partners share, as `serve` does when it starts.
    Sync {
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        databases: DatabasesArgs,
    },
}

/// Runs the command. 0: done, or right; 1: failed, or wrong; 2: wrong configuration or usage.
pub async fn partners(command: Partners) -> ExitCode {
    match command.command.unwrap_or(Command::List { json: command.json }) {
        Command::List { json } => answered(list(json).map(|()| true)),
        Command::Check { folder, json } => answered(check(&folder, json)),
        Command::Sync { dry_run, json, databases } => {
            let locations = match databases.locations() {
                Ok(locations) => locations,
                Err(code) => return code,
            };
            ended(sync(&locations.shared, dry_run, json).await)
        }
    }
}

fn list(json: bool) -> Result<(), String> {
    let registry = registry()?;
    if json {
        print(&serde_json::to_string_pretty(registry.all()).map_err(|error| error.to_string())?);
        return Ok(());
    }
    for partner in registry.all() {
        let modes: Vec<_> = partner.auth.iter().map(|mode| mode.name()).collect();
        print(&format!(
            "{:<14} /{:<16} {:<18} {:<20} {}",
            partner.code,
            if partner.endpoint.is_empty() { "postback" } else { &partner.endpoint },
            partner.database,
            partner.zone.name(),
            modes.join("+")
        ));
    }
    Ok(())
}

/// Whether a folder's files are right; says what is wrong with each.
fn check(folder: &Path, json: bool) -> Result<bool, String> {
    let shown = folder.display();
    let problems = match read_folder(folder) {
        Ok(registry) if registry.all().is_empty() => {
            let reason = "holds no *.toml: name the folder of the partner files, such as partners".to_owned();
            vec![Problem { file: shown.to_string(), key: String::new(), reason }]
        }
        Ok(registry) => {
            let warnings: Vec<_> =
                registry.all().iter().flat_map(|partner| [merged_deposits(partner), open(partner)]).flatten().collect();
            if !json {
                for warning in &warnings {
                    print(&format!("warning: {warning}"));
                }
            }
            print(&right(folder, &registry, &warnings, json));
            return Ok(true);
        }
        Err(problems) => problems,
    };
    if json {
        let problems = as_json(&problems);
        print(&json!({"ok": false, "folder": shown.to_string(), "problems": problems, "warnings": []}).to_string());
    } else {
        for problem in &problems {
            print(&problem.to_string());
        }
        print(&match problems.as_slice() {
            [_] => format!("{shown}: 1 problem"),
            _ => format!("{shown}: {} problems", problems.len()),
        });
    }
    Ok(false)
}

/// The warning about a partner whose conversions anybody can make up.
fn open(partner: &Partner) -> Option<Problem> {
    partner.is_open().then(|| Problem {
        file: format!("{}.toml", partner.code),
        key: "auth".to_owned(),
        reason: "\"open\": whoever knows the URL can report conversions. Where the network can, use \"token\", \"path_key\", \"ip\" or \
                 \"signature\""
            .to_owned(),
    })
}

/// The warning about a file under whose policy deposits may be lost: its sender gives every event an id of its own, and deposits
/// under one conversion id count as news of the first all the same.
fn merged_deposits(partner: &Partner) -> Option<Problem> {
    let is_deposit = |name: &String| Event::parse(name) == Some(Event::Deposit);
    let events = partner.events.values().chain(&partner.default_event).chain(partner.constants.get(&Field::Event));
    let has_deposits = events.into_iter().any(is_deposit);
    let merges = partner.duplicates.key == DuplicateKey::ConversionId && partner.required.contains(&Field::EventId);
    (merges && has_deposits).then(|| Problem {
        file: format!("{}.toml", partner.code),
        key: "duplicates.key".to_owned(),
        reason: "two deposits under one conversion_id count as one, although each has an event_id; if each is to count, set \
                 key = \"event_id\", or have the sender leave conversion_id out"
            .to_owned(),
    })
}

fn as_json(problems: &[Problem]) -> Vec<Value> {
    problems.iter().map(|Problem { file, key, reason }| json!({"file": file, "key": key, "reason": reason})).collect()
}

fn right(folder: &Path, registry: &Registry, warnings: &[Problem], json: bool) -> String {
    let codes: Vec<_> = registry.all().iter().map(|partner| partner.code.as_str()).collect();
    let shown = folder.display().to_string();
    if json {
        let warnings = as_json(warnings);
        json!({"ok": true, "folder": shown, "partners": codes, "problems": [], "warnings": warnings}).to_string()
    } else {
        format!("{shown}: {} partner files are right: {}", codes.len(), codes.join(", "))
    }
}

/// Takes over what the files say, or says what that would change.
async fn sync(location: &Location, dry_run: bool, json: bool) -> Result<(), String> {
    let registry = registry()?;
    let differences = differences(location, registry.all()).await?;
    let is_change = |difference: &Difference| !matches!(difference, Difference::Unknown);
    let changes = differences.values().filter(|difference| is_change(difference)).count();
    if !dry_run {
        let shared = Shared::at(location.clone());
        let synced = shared.sync(registry.all(), &change()?).await;
        shared.close().await;
        synced.map_err(|error| error.to_string())?;
    }
    if json {
        print(&json!({"applied": !dry_run, "changes": changes, "partners": differences}).to_string());
        return Ok(());
    }
    for (code, difference) in &differences {
        print(&told(code, difference));
    }
    let would = if dry_run { "would be " } else { "" };
    print(&match changes {
        0 => "nothing to take over: the database has what the partner files say".to_owned(),
        1 => format!("1 partner file {would}taken over"),
        _ => format!("{changes} partner files {would}taken over"),
    });
    Ok(())
}

/// How the files differ from what was taken over. A database that is not there yet has taken over nothing.
async fn differences(location: &Location, partners: &[Partner]) -> Result<BTreeMap<String, Difference>, String> {
    let looked = async {
        let mut look = match Look::open(location, Tables::Shared).await {
            Ok(look) => look,
            Err(Unseen::Missing { .. }) => return Ok(Seen::default()),
            Err(Unseen::Refused(why) | Unseen::Away(why) | Unseen::Broken(why)) => return Err(why),
        };
        let seen = look.see(Platform::SYSTEM.now).await.map_err(|error| error.to_string())?;
        let shared = if seen.schema.is_readable() {
            Seen::of(&mut look, (Platform::SYSTEM.now)()).await.map_err(|error| error.to_string())
        } else {
            Ok(Seen::default())
        };
        look.close().await;
        shared
    };
    let looked = tokio::time::timeout(LOOK_TIMEOUT, looked).await;
    let late = || format!("no answer within {} s", LOOK_TIMEOUT.as_secs());
    let seen = looked.unwrap_or_else(|_| Err(late())).map_err(|why| format!("{location:?}: {why}"))?;
    Ok(seen.differences(partners))
}

fn told(code: &str, difference: &Difference) -> String {
    match difference {
        Difference::New => format!("{code}: new"),
        Difference::Unknown => format!("{code}: not of this program; it stays as it is"),
        Difference::Changed { keys } => {
            let keys: Vec<_> = keys.iter().map(told_key).collect();
            format!("{code}: changed: {}", keys.join(", "))
        }
    }
}

/// Short values in full; of tables and lists the name alone, which `--json` shows whole.
fn told_key(Key { key, before, after }: &Key) -> String {
    let short = |value: &Option<Value>| match value {
        None => Some("nothing".to_owned()),
        Some(Value::Array(_) | Value::Object(_)) => None,
        Some(value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))) => Some(value.to_string()),
    };
    match (short(before), short(after)) {
        (Some(before), Some(after)) => format!("{key} {before} -> {after}"),
        (_, _) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::partner::file::read_files;

    const S2S: &str = include_str!("../../../partners/s2s.toml");

    fn warned(text: &str) -> Option<String> {
        let registry = read_files([("s2s.toml", text)].into_iter()).unwrap();
        merged_deposits(registry.by_code("s2s").unwrap()).map(|warning| warning.to_string())
    }

    #[test]
    fn deposits_with_ids_of_their_own_under_one_conversion_are_warned_of() {
        let with = |find: &str, replace: &str| {
            assert!(S2S.contains(find), "{find}");
            S2S.replace(find, replace)
        };
        let events = "[events]\ndeposit_success = \"deposit\"\n";
        let default =
            with("required = [\"event_id\", \"event\"]", "required = [\"event_id\"]\ndefault_event = \"deposit\"");
        for (text, is_warned) in [
            (S2S.to_owned(), true),
            (format!("{S2S}[duplicates]\nkey = \"conversion_id\"\n"), true),
            (default.replace(events, ""), true),
            (with(events, "[constants]\nevent = \"deposit\"\n"), true),
            (format!("{S2S}[duplicates]\nkey = \"event_id\"\n"), false),
            (format!("{S2S}[duplicates]\nkey = \"conversion_id+event\"\n"), false),
            (with("[\"event_id\", \"event\"]", "[\"conversion_id\", \"event\"]"), false),
            (with("= \"deposit\"", "= \"purchase\""), false),
            (with(events, ""), false),
        ] {
            let warning = warned(&text);
            assert_eq!(warning.is_some(), is_warned, "{text}");
            assert!(warning.is_none_or(|told| told.starts_with("s2s.toml: duplicates.key: two deposits under one")));
        }
    }

    #[test]
    fn an_open_partner_is_warned_of() {
        let warned = |text: &str| {
            let registry = read_files([("s2s.toml", text)].into_iter()).unwrap();
            open(registry.by_code("s2s").unwrap()).map(|warning| warning.to_string())
        };
        assert_eq!(warned(S2S), None);
        let with = |auth: &str| S2S.replace("auth = [\"token\"]", auth);
        assert!(warned(&with("auth = [\"open\"]")).unwrap().starts_with("s2s.toml: auth: \"open\": whoever"));
        assert_eq!(warned(&with("auth = [\"open\"]\nis_active = false")), None);
    }
}
