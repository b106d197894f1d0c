//! Looking: all that is there to be judged, gathered with a limit on each piece, so that one that hangs hides nothing else.

use super::Doctor;
use super::configuration::{self, Configuration};
use super::databases::{self, Outcome, Place};
use super::edge_settings;
use super::listener::{self, Port};
use super::storage::{self, Folder};
use super::tunnel;
use super::waiting::Waiting;
use super::web::{self, Answer};
use crate::app::Platform;
use crate::config::{Environment, Parts};
use crate::store::Tables;
use crate::store::location::Location;
use crate::store::look::Unseen;
use futures_util::future::{join, join3};
use futures_util::{StreamExt, stream};
use reqwest::Url;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Databases that are looked at at once: a server that is near its limit must not be pushed over it.
const DATABASES_AT_ONCE: usize = 8;

/// What was gathered. None is what did not come in time; where a file may be named or not, the inner None is that none is.
#[derive(Debug)]
pub struct Gathered {
    /// The configuration, as far as it can be read.
    pub configuration: Option<Result<Configuration, Vec<String>>>,
    /// Where the origin listens, as far as that is known.
    pub bind: Option<SocketAddr>,
    /// What is there.
    pub port: Option<Port>,
    /// The folders of SQLite files.
    pub folders: Option<BTreeMap<PathBuf, Folder>>,
    /// The databases that are known.
    pub databases: Vec<(Place, Outcome)>,
    /// cloudflared's configuration.
    pub tunnel: Option<Option<tunnel::Looked>>,
    /// The edge's settings.
    pub edge_settings: Option<Option<edge_settings::Looked>>,
    /// What the origin's public URL answers, where it was given.
    pub origin: Option<(Url, Result<Answer, String>)>,
    /// The same of the edge.
    pub edge: Option<(Url, Result<Answer, String>)>,
}

impl Gathered {
    /// What is known of the configuration.
    pub fn parts(&self) -> Option<&Parts> {
        self.configuration.as_ref()?.as_ref().ok().map(|configuration| &configuration.parts)
    }
}

/// Gathers.
pub async fn gather(command: &Doctor, limit: Duration) -> Gathered {
    let waiting = Waiting::new(limit);
    let (configuration, edge_settings, tunnel) = read_files(command, &waiting).await;
    let parts = configuration.as_ref().and_then(|read| read.as_ref().ok()).map(|configuration| &configuration.parts);
    let bind = parts.map(|parts| parts.bind).or_else(|| command.settings.bind.parse().ok());
    let places = parts.map(places).unwrap_or_default();
    let files: Vec<_> = places.iter().filter_map(|place| file_of(&place.location)).collect();
    let near = join3(
        waiting.task("the address", async { Some(listener::look(bind?, limit).await) }),
        waiting.thread("the folders", move || storage::look(files.iter().map(PathBuf::as_path))),
        look_at_databases(places, &waiting),
    );
    let far =
        join(ask(command.url.as_ref(), "health", &waiting), ask(command.edge.as_ref(), "health?deep=1", &waiting));
    let ((port, folders, databases), (origin, edge)) = join(near, far).await;
    Gathered { configuration, bind, port: port.flatten(), folders, databases, tunnel, edge_settings, origin, edge }
}

type Files =
    (Option<Result<Configuration, Vec<String>>>, Option<Option<edge_settings::Looked>>, Option<Option<tunnel::Looked>>);

async fn read_files(command: &Doctor, waiting: &Waiting) -> Files {
    let settings = command.settings.clone().settings();
    let env = command.env.clone().or_else(|| settings.environment.clone());
    let env = env.unwrap_or_else(|| Environment::Production.name().to_owned());
    let (wrangler, cloudflared) = (command.wrangler.clone(), command.cloudflared.clone());
    join3(
        waiting.thread("configuration", move || configuration::read(&settings, |name| std::env::var(name).ok())),
        waiting.thread("the edge's settings", move || {
            place(wrangler, vec![PathBuf::from("wrangler.toml")]).map(|path| edge_settings::look(&path, &env))
        }),
        waiting.thread("the tunnel's configuration", move || {
            place(cloudflared, tunnel::usual_places()).map(|path| tunnel::look(&path))
        }),
    )
    .await
}

/// The place that was named, or the first of the usual ones where there is something.
fn place(named: Option<PathBuf>, usual: Vec<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| usual.into_iter().find(|path| path.exists()))
}

/// The databases of a configuration, as far as they are known.
fn places(parts: &Parts) -> Vec<Place> {
    let is_said = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let is_set = |name: &str| is_said(name) || is_said(&format!("{name}_FILE"));
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
        let outcome = outcome.unwrap_or_else(|| Outcome::Unseen(Unseen::Away(late(waiting))));
        (place, outcome)
    });
    stream::iter(looks).buffered(DATABASES_AT_ONCE).collect().await
}

async fn ask(url: Option<&Url>, target: &str, waiting: &Waiting) -> Option<(Url, Result<Answer, String>)> {
    let url = url?;
    let asked = web::ask(url, target, waiting.limit, || (Platform::SYSTEM.now)().unix_ms());
    let answer = waiting.task(url.as_str(), asked).await;
    Some((url.clone(), answer.unwrap_or_else(|| Err(late(waiting)))))
}

fn late(waiting: &Waiting) -> String {
    format!("no answer within {} s", waiting.limit.as_secs())
}
