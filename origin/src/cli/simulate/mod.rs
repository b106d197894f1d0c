//! `simulate`: a sender of realistic traffic, to try an edge or an origin with (R54).

mod sender;
mod sending;
mod stories;

use super::print;
use super::web::{UrlArgument, base_url, client, is_this_machine};
use crate::config;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::credential;
use reqwest::{Client, Url};
use sender::Sender;
use sending::{Credentials, Pace, Sent, TIMEOUT, click, send};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stories::{Span, Stories};

/// Clicks of each offer, made beforehand.
const CLICKS: usize = 20;
/// Requests at most: how long each took is kept until the end.
const REQUESTS_MAX: u64 = 10_000_000;
const DAY_S: i64 = 86_400;

/// How to simulate. Not shown in `Debug`: it holds a token and keys.
#[derive(Args, Clone)]
pub struct Simulate {
    /// Scheme and host of an edge or an origin.
    #[arg(long, default_value = "http://127.0.0.1:8787", value_parser = UrlArgument(base_url))]
    url: Url,
    /// Codes of the partners that send; all where it is not said. May be given several times.
    #[arg(long = "partner", value_delimiter = ',', value_name = "CODE")]
    partners: Vec<String>,
    /// Requests a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Requests in flight at most.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// The first day on which events happen, in UTC; a week ago where it is not said.
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// The last such day; today where it is not said.
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    /// The same number sends the same again.
    #[arg(long)]
    seed: Option<u64>,
    /// The token of the partners' tenant.
    #[arg(long, env = "SIMULATE_TOKEN", default_value = "default-ts-token", hide_env_values = true)]
    token: String,
    /// Keys of partners that sign (bytec-v1), as in PARTNER_KEYS: partner=id:hex.
    #[arg(long, env = "SIMULATE_KEYS", default_value = "", hide_env_values = true)]
    keys: String,
    /// A file for what was sent and answered, one line of JSON for each request.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Send to another machine: what is simulated is stored there as if it had happened.
    #[arg(long)]
    yes: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// What came of all of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seed: u64,
    requests: u64,
    /// Not answered with 200, after all attempts.
    failed: u64,
    /// Attempts beside the first ones.
    retries: u64,
    duration_ms: u64,
    /// By partner, and what became of the request: a verdict, or the status.
    outcomes: BTreeMap<String, BTreeMap<String, u64>>,
    /// By what the request did.
    kinds: BTreeMap<&'static str, u64>,
    p50_us: u64,
    p95_us: u64,
    p99_us: u64,
    #[serde(skip)]
    durations_us: Vec<u64>,
}

/// Sends, and says what came of it. Answers whether all was answered with 200.
///
/// # Errors
/// What was asked for cannot be done.
pub async fn run(args: &Simulate, now_s: i64, random: u64) -> Result<bool, String> {
    check_target(&args.url, args.yes)?;
    if u64::from(args.rate).saturating_mul(args.seconds) > REQUESTS_MAX {
        return Err(format!("that would be more than {REQUESTS_MAX} requests; fewer --seconds, or a lower --rate"));
    }
    let senders = senders(&args.partners)?;
    let (keys, problems) =
        credential::partner_keys("--keys", &args.keys, |code| senders.iter().any(|sender| sender.code() == code));
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let credentials = Arc::new(Credentials { token: args.token.clone(), keys });
    let seed = args.seed.unwrap_or(random);
    let mut record = args.record.as_ref().map(create).transpose()?;
    let client = client(&args.url, TIMEOUT, "bytec-origin simulate").map_err(|error| error.to_string())?;
    let mut stories = Stories::new(senders, span(args, now_s)?, seed);
    click_all(&client, &args.url, &mut stories).await?;
    let pace = Pace {
        url: args.url.clone(),
        rate: args.rate,
        duration: Duration::from_secs(args.seconds),
        connections: args.connections,
    };
    let mut summary = Summary { seed, ..Summary::default() };
    let began = Instant::now();
    send(&client, stories, credentials, &pace, |sent| {
        if let Some(file) = &mut record {
            let line = serde_json::to_string(&sent).map_err(|error| error.to_string())?;
            writeln!(file, "{line}").map_err(|error| format!("--record: {error}"))?;
        }
        summary.add(&sent);
        Ok(())
    })
    .await?;
    if let Some(mut file) = record {
        file.flush().map_err(|error| format!("--record: {error}"))?;
    }
    summary.end(began.elapsed());
    print(&if args.json {
        serde_json::to_string_pretty(&summary).map_err(|error| error.to_string())?
    } else {
        summary.text()
    });
    Ok(summary.failed == 0)
}

/// What is stored cannot be taken back, and money is counted by it.
fn check_target(url: &Url, is_meant: bool) -> Result<(), String> {
    if is_meant || is_this_machine(url) {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    Err(format!(
        "{host} is another machine, where what is simulated is stored as if it had happened; --yes if that is meant"
    ))
}

fn senders(codes: &[String]) -> Result<Vec<Sender>, String> {
    let registry = config::registry()?;
    let known: Vec<_> = registry.all().iter().map(|partner| partner.code.as_str()).collect();
    if let Some(unknown) = codes.iter().find(|code| !known.contains(&code.as_str())) {
        return Err(format!("there is no partner {unknown:?}; there are {}", known.join(", ")));
    }
    let chosen = registry
        .all()
        .iter()
        .filter(|partner| partner.is_active && (codes.is_empty() || codes.contains(&partner.code)));
    let senders = chosen.map(Sender::of).collect::<Result<Vec<_>, _>>()?;
    if senders.is_empty() { Err("no partner is active".to_owned()) } else { Ok(senders) }
}

fn create(path: &PathBuf) -> Result<BufWriter<File>, String> {
    File::create(path).map(BufWriter::new).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn span(args: &Simulate, now_s: i64) -> Result<Span, String> {
    let midnight = |date: Date| {
        let zoned = date.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        Ok::<_, String>(zoned.timestamp().as_second())
    };
    let from_s = args.from.map(midnight).transpose()?.unwrap_or_else(|| now_s.saturating_sub(7 * DAY_S));
    let to_s = args.to.map(midnight).transpose()?.map_or(now_s, |to_s| to_s.saturating_add(DAY_S - 1));
    if from_s > to_s { Err("--from is after --to".to_owned()) } else { Ok(Span { from_s, to_s }) }
}

/// Clicks on every link that there is: an edge has them, an origin none.
async fn click_all(client: &Client, url: &Url, stories: &mut Stories) -> Result<(), String> {
    let offers: Vec<_> = stories
        .senders()
        .iter()
        .enumerate()
        .flat_map(|(place, sender)| sender.offers().iter().map(move |offer| (place, offer.clone())))
        .collect();
    for (place, offer) in offers {
        for _ in 0..CLICKS {
            let asked = click(client, url, &offer).await;
            match asked.map_err(|problem| format!("{url} does not answer: {problem}"))? {
                Some(click_id) => stories.clicked(place, click_id),
                None => break,
            }
        }
    }
    Ok(())
}

impl Summary {
    fn add(&mut self, sent: &Sent) {
        self.requests = self.requests.saturating_add(1);
        self.failed = self.failed.saturating_add(u64::from(sent.status != Some(200)));
        self.retries = self.retries.saturating_add(u64::from(sent.attempts.saturating_sub(1)));
        let outcome = match (sent.status, &sent.verdict) {
            (Some(200), Some(verdict)) => verdict.clone(),
            (Some(status), _) => status.to_string(),
            (None, _) => "no answer".to_owned(),
        };
        let count = self.outcomes.entry(sent.partner.clone()).or_default().entry(outcome).or_default();
        *count = count.saturating_add(1);
        let count = self.kinds.entry(sent.kind.name()).or_default();
        *count = count.saturating_add(1);
        self.durations_us.push(sent.duration_us);
    }

    fn end(&mut self, took: Duration) {
        self.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.durations_us.sort_unstable();
        let of_hundred = |percent: usize| {
            let place = self.durations_us.len().saturating_mul(percent).div_euclid(100);
            let place = place.min(self.durations_us.len().saturating_sub(1));
            self.durations_us.get(place).copied().unwrap_or(0)
        };
        (self.p50_us, self.p95_us, self.p99_us) = (of_hundred(50), of_hundred(95), of_hundred(99));
    }

    fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} requests in {} s, {} sent again, {} failed",
            self.requests,
            self.duration_ms.div_euclid(1000),
            self.retries,
            self.failed
        )];
        let counts = |counts: Vec<(&str, u64)>| {
            counts.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        for (partner, outcomes) in &self.outcomes {
            let outcomes = outcomes.iter().map(|(outcome, count)| (outcome.as_str(), *count)).collect();
            lines.push(format!("{partner}: {}", counts(outcomes)));
        }
        lines.push(counts(self.kinds.iter().map(|(name, count)| (*name, *count)).collect()));
        let ms = |us: u64| format!("{}.{}", us.div_euclid(1000), us.rem_euclid(1000).div_euclid(100));
        lines.push(format!("p50 {} ms, p95 {} ms, p99 {} ms", ms(self.p50_us), ms(self.p95_us), ms(self.p99_us)));
        lines.push(format!("the same again: --seed {}", self.seed));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_asked_only_where_that_is_meant() {
        let check = |url: &str, is_meant| check_target(&url.parse().unwrap(), is_meant).is_ok();
        assert!(
            check("http://127.0.0.1:8787", false) && check("http://[::1]:1", false) && check("http://localhost", false)
        );
        assert!(!check("https://network.bytec.com", false) && check("https://network.bytec.com", true));
        assert!(!check("https://127.0.0.1.example", false));
    }
}
