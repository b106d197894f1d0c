//! Judging: from what was gathered to the checks, in the order in which they are told. Pure.

use super::clock::{self, Other};
use super::code::Code;
use super::configuration;
use super::content;
use super::databases::{self, Outcome, Place};
use super::edge_settings;
use super::finding::{Checked, Finding};
use super::gather::Gathered;
use super::listener;
use super::outside;
use super::storage;
use super::tunnel;
use crate::config::Environment;
use crate::store::look::Seen;
use postback::time::Timestamp;
use reqwest::Url;

/// What things are judged by.
#[derive(Clone, Copy, Debug)]
pub struct By {
    /// Now.
    pub now: Timestamp,
    /// How long each piece was waited for, in seconds.
    pub limit_s: u64,
    /// How much room a disk should have, in bytes.
    pub free_bytes_min: u64,
}

/// Every check.
pub fn judge(gathered: &Gathered, by: By) -> Vec<Checked> {
    let parts = gathered.parts();
    let mut checked = vec![of_configuration(gathered, by)];
    checked.extend(gathered.bind.map(|bind| match &gathered.port {
        Some(port) => listener::check(bind, port, parts.map(|parts| &parts.registry)),
        None => Checked::overdue("address", &bind.to_string(), "who listens there", by.limit_s),
    }));
    let is_production = parts.is_none_or(|parts| parts.environment == Environment::Production);
    match &gathered.folders {
        Some(folders) => checked.extend(
            folders.iter().map(|(path, folder)| storage::check(path, folder, is_production, by.free_bytes_min)),
        ),
        None => checked.push(Checked::overdue("files", "", "the folders of SQLite files", by.limit_s)),
    }
    checked.extend(databases::check(&gathered.databases));
    if let Some(parts) = parts {
        checked.extend(content::check(&gathered.databases, parts, by.now));
    }
    checked.push(clock::check(&clocks(gathered)));
    checked.extend(of_the_way(gathered, by));
    checked.push(match &gathered.origin {
        Some((url, answer)) => outside::check_origin(url, answer),
        None => Checked::skipped("origin url", "--url https://origin.bytec.com says where it is"),
    });
    checked.push(match &gathered.edge {
        Some((url, answer)) => outside::check_edge(url, answer),
        None => Checked::skipped("edge", "--edge https://network.bytec.com says where it is"),
    });
    checked
}

fn of_configuration(gathered: &Gathered, by: By) -> Checked {
    match &gathered.configuration {
        Some(Ok(configuration)) => configuration::check(configuration, by.now),
        Some(Err(problems)) => {
            let broken = |problem: &String| {
                Finding::new(
                    Code::Configuration,
                    problem,
                    "build the program anew: cargo build --profile origin -p bytec-origin",
                )
            };
            Checked::new("configuration", "", "", problems.iter().map(broken).collect())
        }
        None => Checked::overdue("configuration", "", "variables, and files with secrets", by.limit_s),
    }
}

/// The checks of the tunnel and of the edge's settings, each by what the other says.
fn of_the_way(gathered: &Gathered, by: By) -> [Checked; 2] {
    let settings = gathered.edge_settings.as_ref().map(Option::as_ref);
    let looked = gathered.tunnel.as_ref().map(Option::as_ref);
    // An address is no hostname of a tunnel.
    let url = gathered.origin.as_ref().and_then(|(url, _)| Url::domain(url)).filter(|host| *host != "localhost");
    let hostnames = match url {
        Some(host) => vec![host.to_owned()],
        None => settings.flatten().map(edge_settings::Looked::hostnames).unwrap_or_default(),
    };
    let names = looked.flatten().map(tunnel::Looked::hostnames).filter(|names| !names.is_empty());
    [
        match looked {
            Some(Some(looked)) => tunnel::check(looked, &hostnames, gathered.bind),
            Some(None) => {
                Checked::skipped("tunnel", "--cloudflared /etc/cloudflared/config.yml says where its configuration is")
            }
            None => Checked::overdue("tunnel", "", "its configuration", by.limit_s),
        },
        match settings {
            Some(Some(settings)) => edge_settings::check(settings, names.as_deref()),
            Some(None) => Checked::skipped("edge settings", "--wrangler wrangler.toml says where they are"),
            None => Checked::overdue("edge settings", "", "wrangler.toml", by.limit_s),
        },
    ]
}

/// The clocks of servers, each once, and of what answered from outside.
fn clocks(gathered: &Gathered) -> Vec<Other> {
    let mut servers: Vec<&str> = Vec::new();
    let mut clocks = Vec::new();
    for (Place { location, .. }, outcome) in &gathered.databases {
        if let Outcome::Seen(Seen { server: Some(server), .. }, _) = outcome
            && !servers.contains(&server.name.as_str())
        {
            servers.push(&server.name);
            let whose = format!("the database {}", location.name());
            clocks.push(Other { whose, ahead_ms: server.clock_ahead_ms });
        }
    }
    for (whose, answer) in [("the origin's url", &gathered.origin), ("the edge", &gathered.edge)] {
        let ahead_ms = answer.as_ref().and_then(|(_, answer)| answer.as_ref().ok()?.clock_ahead_ms);
        clocks.extend(ahead_ms.map(|ahead_ms| Other { whose: whose.to_owned(), ahead_ms }));
    }
    clocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_in_time_is_told_and_hides_nothing() {
        let gathered = Gathered {
            configuration: None,
            bind: Some("127.0.0.1:8000".parse().unwrap()),
            port: None,
            folders: None,
            databases: Vec::new(),
            tunnel: None,
            edge_settings: None,
            origin: None,
            edge: Some(("https://network.bytec.com".parse().unwrap(), Err("no".to_owned()))),
        };
        let checked = judge(&gathered, By { now: Timestamp::EPOCH, limit_s: 10, free_bytes_min: 0 });
        let states: Vec<_> = checked.iter().map(|each| format!("{} {}", each.check, each.state())).collect();
        let expected = [
            "configuration problem",
            "address problem",
            "files problem",
            "clock skipped",
            "tunnel problem",
            "edge settings problem",
            "origin url skipped",
            "edge problem",
        ];
        assert_eq!(states, expected);
        let overdue = checked.iter().flat_map(|each| &each.findings).filter(|found| found.code == Code::Overdue);
        assert_eq!(overdue.count(), 5);
    }
}
