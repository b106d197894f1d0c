//! `doctor`: looks at configuration, databases, tunnel, edge and clock, and says what is wrong and what to do (R54). It changes
//! nothing and shows no secret.
//!
//! Looking and judging are apart: each check gathers what there is, with a limit on how long that takes, and a pure function says what
//! is wrong with it. What cannot be looked at hides nothing else.

mod clock;
mod code;
mod configuration;
mod content;
mod databases;
mod edge_settings;
mod files;
mod finding;
mod listener;
mod outside;
mod storage;
mod told;
mod tunnel;
mod waiting;
mod web;

use super::{SettingsArgs, print};
use crate::app::Platform;
use crate::config::{Environment, Parts};
use crate::store::Tables;
use crate::store::location::Location;
use crate::store::look::Seen;
use clap::Args;
use clock::Other;
use configuration::Configuration;
use databases::{Outcome, Place};
use finding::Checked;
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream;
use reqwest::Url;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use waiting::Waiting;
use web::Answer;

/// Databases that are looked at at once: a server that is near its limit must not be pushed over it.
const DATABASES_AT_ONCE: usize = 8;

/// What is looked at beside the configuration.
#[derive(Args)]
pub struct Doctor {
    /// cloudflared's configuration; /etc/cloudflared/config.yml or ~/.cloudflared/config.yml where there is one.
    #[arg(long, value_name = "FILE")]
    cloudflared: Option<PathBuf>,
    /// The edge's settings; wrangler.toml where there is one.
    #[arg(long, value_name = "FILE")]
    wrangler: Option<PathBuf>,
    /// Which environment of the edge's settings; that of the origin where it is not said.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// The origin's public URL, such as https://origin.bytec.com: whether the tunnel leads here.
    #[arg(long, value_parser = web::base_url)]
    url: Option<Url>,
    /// The edge's URL, such as https://network.bytec.com: whether it reaches its origins, and whether its clock is ours.
    #[arg(long, value_parser = web::base_url)]
    edge: Option<Url>,
    /// Megabytes that a disk with SQLite files should have free.
    #[arg(long, default_value_t = 1024, value_name = "MB")]
    free_mb_min: u32,
    /// Seconds that each check may take.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=300))]
    timeout_s: u16,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs the command, and the program's end with it. 0: no problem; 1: some; 2: could not be asked.
pub async fn doctor(command: Doctor) -> std::process::ExitCode {
    let json = command.json;
    let checked = look(command).await;
    print(&if json { told::json(&checked).to_string() } else { told::text(&checked) });
    let [problems, _] = told::counts(&checked);
    let _ = std::io::stdout().flush();
    // A file that never answers has a thread that never ends, and a runtime that is let go of would wait for it.
    std::process::exit(i32::from(problems > 0));
}

/// Every check, in the order in which they are told.
async fn look(command: Doctor) -> Vec<Checked> {
    let limit = Duration::from_secs(command.timeout_s.into());
    let waiting = Waiting::new(limit);
    let now = (Platform::SYSTEM.now)();
    let variable = |name: &str| std::env::var(name).ok();
    let env = command.env.clone().or_else(|| command.settings.environment.clone());
    let env = env.unwrap_or_else(|| Environment::Production.name().to_owned());
    let bind = command.settings.bind.clone();
    let settings = command.settings.settings();

    let wrangler = place(command.wrangler, vec![PathBuf::from("wrangler.toml")]);
    let cloudflared = place(command.cloudflared, tunnel::usual_places());
    let (configuration, (edge_settings, tunnel)) = join(
        waiting.thread("configuration", move || configuration::read(&settings, variable)),
        join(
            waiting.thread("wrangler.toml", move || wrangler.map(|path| edge_settings::look(&path, &env))),
            waiting.thread("the tunnel's configuration", move || cloudflared.map(|path| tunnel::look(&path))),
        ),
    )
    .await;

    let mut checked = Vec::new();
    let configuration = match configuration {
        Some(Ok(configuration)) => {
            checked.push(configuration::check(&configuration, now));
            Some(configuration)
        }
        Some(Err(problems)) => {
            let broken =
                |problem: String| finding::Finding::new(code::Code::Configuration, problem, "build the program anew");
            checked.push(Checked::new("configuration", "", "", problems.into_iter().map(broken).collect()));
            None
        }
        None => {
            checked.push(Checked::overdue("configuration", "", "variables, and files with secrets", limit.as_secs()));
            None
        }
    };
    let parts = configuration.as_ref().map(|Configuration { parts, .. }| parts);
    let bind = parts.map(|parts| parts.bind).or_else(|| bind.parse().ok());

    let places = parts.map(places).unwrap_or_default();
    let (((port, folders), looked), (origin, edge)) = join(
        join(
            join(waiting.task("the address", async { Some(listener::look(bind?, limit).await) }), async {
                let files: Vec<_> = places.iter().filter_map(|place| file_of(&place.location)).collect();
                waiting.thread("the folders", move || storage::look(files.iter().map(PathBuf::as_path))).await
            }),
            look_at_databases(places.clone(), &waiting),
        ),
        join(ask(command.url.as_ref(), "health", &waiting), ask(command.edge.as_ref(), "health?deep=1", &waiting)),
    )
    .await;

    if let (Some(bind), Some(Some(port))) = (bind, &port) {
        checked.push(listener::check(bind, port, parts.map(|parts| &parts.registry)));
    }
    match folders {
        Some(folders) => {
            let is_production = parts.is_none_or(|parts| parts.environment == Environment::Production);
            let free_bytes_min = u64::from(command.free_mb_min) << 20;
            checked.extend(
                folders.iter().map(|(path, folder)| storage::check(path, folder, is_production, free_bytes_min)),
            );
        }
        None => checked.push(Checked::overdue("files", "", "the folders of SQLite files", limit.as_secs())),
    }
    checked.extend(databases::check(&looked));
    if let Some(parts) = parts {
        checked.extend(content::check(&looked, parts, now));
    }
    let mut clocks = clocks_of(&looked);
    for (whose, answer) in [("the origin's url", &origin), ("the edge", &edge)] {
        let ahead_ms = answer.as_ref().and_then(|(_, answer)| answer.as_ref().ok()?.clock_ahead_ms);
        clocks.extend(ahead_ms.map(|ahead_ms| Other { whose: whose.to_owned(), ahead_ms }));
    }
    checked.push(clock::check(&clocks));
    checked.extend(of_the_way(edge_settings, tunnel, command.url.as_ref(), bind, limit));
    checked.push(match &origin {
        Some((url, answer)) => outside::check_origin(url, answer),
        None => Checked::skipped("origin url", "--url https://origin.bytec.com says where it is"),
    });
    checked.push(match &edge {
        Some((url, answer)) => outside::check_edge(url, answer),
        None => Checked::skipped("edge", "--edge https://network.bytec.com says where it is"),
    });
    checked
}

/// The checks of the tunnel and of the edge's settings, each by what the other says.
fn of_the_way(
    edge_settings: Option<Option<edge_settings::Looked>>,
    tunnel: Option<Option<tunnel::Looked>>,
    url: Option<&Url>,
    bind: Option<std::net::SocketAddr>,
    limit: Duration,
) -> [Checked; 2] {
    // An address is no hostname of a tunnel.
    let host = url.and_then(Url::domain).filter(|host| *host != "localhost").map(str::to_owned);
    let known = edge_settings.as_ref().and_then(Option::as_ref).map(edge_settings::Looked::hostnames);
    // A wrong ORIGIN_URL is the edge's fault and not also the tunnel's: it is told there.
    let hostnames = host.map_or_else(|| known.unwrap_or_default(), |host| vec![host]);
    let names = tunnel.as_ref().and_then(Option::as_ref).map(tunnel::Looked::hostnames);
    let about_tunnel = match &tunnel {
        Some(Some(looked)) => tunnel::check(looked, &hostnames, bind),
        Some(None) => {
            Checked::skipped("tunnel", "--cloudflared /etc/cloudflared/config.yml says where its configuration is")
        }
        None => Checked::overdue("tunnel", "", "its configuration", limit.as_secs()),
    };
    let about_edge = match &edge_settings {
        Some(Some(looked)) => edge_settings::check(looked, names.as_deref().filter(|names| !names.is_empty())),
        Some(None) => Checked::skipped("edge settings", "--wrangler wrangler.toml says where they are"),
        None => Checked::overdue("edge settings", "", "wrangler.toml", limit.as_secs()),
    };
    [about_tunnel, about_edge]
}

/// The place that was named, or the first of the usual ones where there is something.
fn place(named: Option<PathBuf>, usual: Vec<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| usual.into_iter().find(|path| path.exists()))
}

/// The databases of a configuration, as far as they are known.
fn places(parts: &Parts) -> Vec<Place> {
    let is_set = |name: &str| {
        let is_said = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
        is_said(name) || is_said(&format!("{name}_FILE"))
    };
    let variable = |own: String| {
        let known = [own, "DATABASE_URL".to_owned()].into_iter().find(|name| is_set(name));
        known.unwrap_or_else(|| "DATA_DIR".to_owned())
    };
    let of_partner = |(code, location): (&String, &Location)| Place {
        name: code.clone(),
        tables: Tables::Partner,
        location: location.clone(),
        variable: variable(format!("DATABASE_URL_{}", code.to_uppercase())),
    };
    let shared = parts.shared.iter().map(|location| Place {
        name: "shared".to_owned(),
        tables: Tables::Shared,
        location: location.clone(),
        variable: variable("SHARED_DATABASE_URL".to_owned()),
    });
    parts.partners.iter().map(of_partner).chain(shared).collect()
}

fn file_of(location: &Location) -> Option<PathBuf> {
    match location {
        Location::Sqlite(path) => Some(path.clone()),
        Location::Postgres(_) | Location::D1 { .. } => None,
    }
}

async fn look_at_databases(places: Vec<Place>, waiting: &Waiting) -> Vec<(Place, Outcome)> {
    let looks = places.into_iter().map(async |place| {
        let name = format!("database {}", place.name);
        let outcome = waiting.task(&name, databases::look(&place, Platform::SYSTEM.now, waiting.limit)).await;
        let late = || format!("no answer within {} s", waiting.limit.as_secs());
        let outcome = outcome.unwrap_or_else(|| Outcome::Unseen(crate::store::look::Unseen::Away(late())));
        (place, outcome)
    });
    stream::iter(looks).buffered(DATABASES_AT_ONCE).collect().await
}

async fn ask<'u>(url: Option<&'u Url>, target: &str, waiting: &Waiting) -> Option<(&'u Url, Result<Answer, String>)> {
    let url = url?;
    let asked = web::ask(url, target, waiting.limit, || (Platform::SYSTEM.now)().unix_ms());
    let answer = waiting.task(url.as_str(), asked).await;
    Some((url, answer.unwrap_or_else(|| Err(format!("no answer within {} s", waiting.limit.as_secs())))))
}

/// The clocks of servers, each once.
fn clocks_of(looked: &[(Place, Outcome)]) -> Vec<Other> {
    let mut servers: Vec<&str> = Vec::new();
    let mut clocks = Vec::new();
    for (place, outcome) in looked {
        if let Outcome::Seen(Seen { server: Some(server), .. }, _) = outcome
            && !servers.contains(&server.name.as_str())
        {
            servers.push(&server.name);
            clocks.push(Other {
                whose: format!("the database {}", place.location.name()),
                ahead_ms: server.clock_ahead_ms,
            });
        }
    }
    clocks
}
