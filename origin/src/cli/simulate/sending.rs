//! Sending what stories tell, at a rate, over many connections; and what came of it.

use super::sender::{Request, Sender};
use super::stories::{Kind, Shot, Stories};
use crate::app::Platform;
use crate::cli::progress::Progress;
use crate::cli::sign::headers_of;
use postback::id::Nonce;
use postback::key::KeySet;
use postback::message_signature::header::{EVENT_ID, VERDICT};
use postback::signature::{self, Presented, Profile};
use reqwest::{Client, Response, Url};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// How long an answer may take: as long as the most patient of networks waits.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// So many times a request is sent that was not answered, or with 429 or 503.
const ATTEMPTS_MAX: u32 = 5;
/// How long it is waited for at most what was asked to be waited.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Where to, and how fast.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Scheme and host.
    pub url: Url,
    /// Requests a second.
    pub rate: u32,
    /// For how long.
    pub duration: Duration,
    /// Connections at most.
    pub connections: u32,
}

/// What proves who sends. Not shown in `Debug`.
pub struct Credentials {
    /// Tenants' tokens.
    pub token: String,
    /// Partners' keys of signatures, by code.
    pub keys: BTreeMap<String, KeySet>,
}

/// What came of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// The partner's code.
    pub partner: String,
    /// What it did.
    pub kind: Kind,
    /// The conversion that it was about.
    pub conversion_id: String,
    /// Path and query, without what proves the sender.
    pub target: String,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The last answer's status; None where there was none.
    pub status: Option<u16>,
    /// What it says became of the event.
    pub verdict: Option<String>,
    /// The event's id.
    pub event_id: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
    /// How long the last answer took, in microseconds.
    pub duration_us: u64,
}

/// Sends until time is up or Ctrl-C, and waits for the answers. `sent` is told of each.
///
/// # Errors
/// `sent` said so.
pub async fn send(
    client: &Client,
    mut stories: Stories,
    credentials: Arc<Credentials>,
    pace: &Pace,
    mut sent: impl FnMut(Sent) -> Result<(), String>,
) -> Result<(), String> {
    let places = Arc::new(Semaphore::new(usize::try_from(pace.connections).unwrap_or(1)));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(Duration::from_secs(1).checked_div(pace.rate).unwrap_or_default());
    let ended = tokio::time::sleep(pace.duration);
    tokio::pin!(ended);
    let mut progress = Progress::new("answered".to_owned());
    let mut answered: u64 = 0;
    let mut note = |answer| {
        answered = answered.saturating_add(1);
        progress.at(answered);
        sent(answer)
    };
    loop {
        tokio::select! {
            () = &mut ended => break,
            _ = tokio::signal::ctrl_c() => break,
            Some(answer) = told.recv() => note(answer)?,
            _ = ticks.tick() => {
                // Where all places are taken, time may be up before one is free.
                let place = loop {
                    tokio::select! {
                        place = Arc::clone(&places).acquire_owned() => break place.ok(),
                        () = &mut ended => break None,
                        _ = tokio::signal::ctrl_c() => break None,
                        Some(answer) = told.recv() => note(answer)?,
                    }
                };
                let Some(place) = place else { break };
                let Some(shot) = stories.next_shot() else { break };
                let Some(sender) = stories.senders().get(shot.sender).cloned() else { break };
                let (client, credentials, url, tell) = (client.clone(), Arc::clone(&credentials), pace.url.clone(), tell.clone());
                tokio::spawn(async move {
                    // Whoever listens no longer has seen enough.
                    let _ = tell.send(deliver(&client, &url, &credentials, &sender, shot).await);
                    drop(place);
                });
            }
        }
    }
    drop(tell);
    loop {
        tokio::select! {
            // Once more: those that are under way are not waited for.
            _ = tokio::signal::ctrl_c() => break,
            answer = told.recv() => match answer {
                Some(answer) => note(answer)?,
                None => break,
            },
        }
    }
    Ok(())
}

/// Sends one request until it is answered.
async fn deliver(client: &Client, url: &Url, credentials: &Credentials, sender: &Sender, shot: Shot) -> Sent {
    let mut attempts: u32 = 0;
    let (answer, duration) = loop {
        attempts = attempts.saturating_add(1);
        let began = Instant::now();
        let answer = post(client, url, credentials, sender, &shot.request).await;
        let wait = match &answer {
            Ok(answer) if matches!(answer.status().as_u16(), 429 | 503) => retry_after(answer),
            Ok(_) => break (answer.ok(), began.elapsed()),
            Err(_) => Duration::from_secs(1),
        };
        if attempts >= ATTEMPTS_MAX {
            break (answer.ok(), began.elapsed());
        }
        tokio::time::sleep(wait).await;
    };
    let text = |name: &str| Some(answer.as_ref()?.headers().get(name)?.to_str().ok()?.to_owned());
    let Request { path, query, body } = shot.request;
    Sent {
        partner: sender.code().to_owned(),
        kind: shot.kind,
        conversion_id: shot.conversion_id,
        target: if query.is_empty() { path } else { format!("{path}?{query}") },
        body,
        status: answer.as_ref().map(|answer| answer.status().as_u16()),
        verdict: text(VERDICT),
        event_id: text(EVENT_ID),
        attempts,
        duration_us: u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
    }
}

fn retry_after(answer: &Response) -> Duration {
    let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    asked.map_or(Duration::from_secs(1), Duration::from_secs).min(RETRY_AFTER_MAX)
}

/// One attempt. A partner that has a key signs, each attempt anew; the others show their tenant's token.
async fn post(
    client: &Client,
    url: &Url,
    credentials: &Credentials,
    sender: &Sender,
    request: &Request,
) -> Result<Response, String> {
    let Request { path, query, body } = request;
    let mut full = url.clone();
    full.set_path(path);
    let is_post = body.is_some();
    let token = &credentials.token;
    let query = match is_post {
        true => query.clone(),
        false => format!("{query}&ts_token={token}"),
    };
    full.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
    let method = if is_post { reqwest::Method::POST } else { reqwest::Method::GET };
    let mut asked = client.request(method, full);
    if is_post {
        asked = asked.header("authorization", format!("Bearer {token}")).header("content-type", "application/json");
    }
    if let Some(keys) = credentials.keys.get(sender.code()) {
        for (name, value) in signed(keys, path, &query, body.as_deref())? {
            asked = asked.header(name, value);
        }
    }
    if let Some(body) = body {
        asked = asked.body(body.clone());
    }
    asked.send().await.map_err(|error| error.without_url().to_string())
}

fn signed(keys: &KeySet, path: &str, query: &str, body: Option<&str>) -> Result<Vec<(&'static str, String)>, String> {
    let now_s = (Platform::SYSTEM.now)().unix_s();
    let key = keys.newest(now_s).ok_or("no key is in force")?;
    let random = (Platform::SYSTEM.random)().ok_or("the system has no random bytes to give")?;
    let presented = Presented {
        key_id: key.id().to_owned(),
        timestamp: now_s.to_string(),
        nonce: Nonce::from_bytes(random).to_string(),
        signature: String::new(),
        profile: Profile::Raw,
    };
    let method = if body.is_some() { "POST" } else { "GET" };
    let covered = signature::Request { method, path, query, body: body.unwrap_or("").as_bytes() };
    let signature = signature::sign(key, &presented, &covered).map_err(|rejection| rejection.to_string())?;
    Ok(headers_of(&presented, &signature))
}

/// Has somebody click on an offer; the click's id. None where the server has no such link.
///
/// # Errors
/// It does not answer.
pub async fn click(client: &Client, url: &Url, offer: &str) -> Result<Option<String>, String> {
    let mut asked = url.clone();
    asked.set_path(&format!("/click/{offer}"));
    asked.set_query(Some("sub_id=simulated&utm_source=simulate"));
    let answer = client.get(asked).send().await.map_err(|error| error.without_url().to_string())?;
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or("");
    let landing: Option<Url> = location.parse().ok();
    Ok(landing.and_then(|landing| {
        landing.query_pairs().find(|(name, _)| name == "click_id").map(|(_, value)| value.into_owned())
    }))
}
