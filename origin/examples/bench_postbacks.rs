//! What `npm run bench -- origin` asks an origin with: signed postbacks as the edge forwards them, over connections that
//! stay open. In a closed loop each connection asks again when it has its answer, which finds out how much the origin can
//! take. With `--rate` requests fall due on a fixed schedule, and how long one took counts from when it was due: an origin
//! that stalls makes those behind wait, too, and a connection that waits with it would not notice.
//!
//! One thread asks and one keeps the schedule, so that what is measured keeps the rest of the machine. It signs with the
//! development key: no use for anything else.

use clap::Parser;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use postback::id::Nonce;
use postback::key::{DEVELOPMENT_KEYS, KeySet};
use postback::message_signature::{Covered, header, sign};
use postback::params::Params;
use postback::partner::file::read_folder;
use postback::time::Timestamp;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// An origin that has not answered by then will not.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Stands in the postback for what every request has anew.
const PLACEHOLDER: &str = "CONVERSION";

type Failure = Box<dyn Error + Send + Sync>;

/// Asks an origin to store postbacks and prints one line of JSON about it.
#[derive(Parser)]
struct Args {
    /// The origin, such as http://127.0.0.1:8000.
    origin: Uri,
    /// How many connections ask.
    #[arg(long, default_value = "64")]
    connections: u32,
    /// Requests a second, on a schedule; without it as many as are answered.
    #[arg(long)]
    rate: Option<NonZeroU64>,
    /// How long to measure.
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// How long to ask before that.
    #[arg(long, default_value = "1")]
    warm_up: u64,
    /// The same event in every request.
    #[arg(long)]
    duplicates: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let authority = args.origin.authority().ok_or("the origin's URL names no host")?.to_string();
    let mut streams = Vec::new();
    for _ in 0..args.connections {
        let stream = TcpStream::connect(&authority).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let load = Arc::new(Load {
        postbacks: Postbacks::new(authority, args.duplicates)?,
        began: Instant::now(),
        warm_up: Duration::from_secs(args.warm_up),
        end: Duration::from_secs(args.warm_up.saturating_add(args.seconds)),
        schedule: args.rate.map(|rate| Schedule { rate, due: Semaphore::new(0), taken: AtomicU64::new(0) }),
    });
    let keeper = Arc::clone(&load);
    let keeper = std::thread::spawn(move || keeper.keep_schedule(args.connections));
    let mut asking = JoinSet::new();
    for stream in streams {
        asking.spawn(ask(Arc::clone(&load), stream));
    }
    let mut answers = Vec::new();
    while let Some(asked) = asking.join_next().await {
        answers.extend(asked??);
    }
    keeper.join().map_err(|_| "the schedule was not kept")?;
    writeln!(std::io::stdout(), "{}", load.report(&answers))?;
    Ok(())
}

/// What is asked, and when. Times count from when it began.
struct Load {
    postbacks: Postbacks,
    began: Instant,
    warm_up: Duration,
    end: Duration,
    schedule: Option<Schedule>,
}

/// When requests are due, whatever became of those before.
struct Schedule {
    rate: NonZeroU64,
    /// One permit for each request that is due and not yet taken.
    due: Semaphore,
    taken: AtomicU64,
}

/// What came of one request.
struct Answer {
    /// When it was due, or asked where there is no schedule.
    due: Duration,
    ended: Duration,
    status: u16,
    /// Whether the origin promises to have stored it.
    is_stored: bool,
}

impl Schedule {
    fn due_at(&self, index: u64) -> Duration {
        Duration::from_micros(index.saturating_mul(1_000_000) / self.rate)
    }
}

impl Load {
    /// Lets requests be taken when they are due, and the connections end after the last.
    fn keep_schedule(&self, connections: u32) {
        let Some(schedule) = &self.schedule else { return };
        // tokio sleeps in whole milliseconds, which would be part of what is measured.
        for due in (0..).map(|index| schedule.due_at(index)).take_while(|due| *due < self.end) {
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
            schedule.due.add_permits(1);
        }
        schedule.due.add_permits(usize::try_from(connections).unwrap_or(usize::MAX));
    }

    /// Waits until another request is due and answers since when it is; None when that was all.
    async fn next(&self) -> Option<Duration> {
        let due = match &self.schedule {
            Some(schedule) => {
                schedule.due.acquire().await.ok()?.forget();
                schedule.due_at(schedule.taken.fetch_add(1, Ordering::Relaxed))
            }
            None => self.began.elapsed(),
        };
        (due < self.end).then_some(due)
    }

    /// What is printed. With a schedule what counts is what was due, however late it was answered; without one, what was
    /// answered in the time.
    fn report(&self, answers: &[Answer]) -> serde_json::Value {
        let time = match self.schedule {
            Some(_) => |answer: &Answer| answer.due,
            None => |answer: &Answer| answer.ended,
        };
        let counted: Vec<_> =
            answers.iter().filter(|answer| (self.warm_up..self.end).contains(&time(answer))).collect();
        let last = counted.iter().map(|answer| answer.ended).max().unwrap_or(self.end).max(self.end);
        let mut statuses: BTreeMap<u16, u64> = BTreeMap::new();
        for answer in &counted {
            let count = statuses.entry(answer.status).or_default();
            *count = count.saturating_add(1);
        }
        let mut took_us: Vec<_> = counted.iter().map(|answer| us(answer.ended.saturating_sub(answer.due))).collect();
        took_us.sort_unstable();
        let percentile = |hundredths: usize| {
            let rank = took_us.len().saturating_mul(hundredths).div_ceil(100);
            took_us.get(rank.saturating_sub(1)).copied().unwrap_or(0)
        };
        serde_json::json!({
            "requests": counted.len(),
            "stored": counted.iter().filter(|answer| answer.is_stored).count(),
            "statuses": statuses,
            "duration_us": us(last.saturating_sub(self.warm_up)),
            "p50_us": percentile(50),
            "p95_us": percentile(95),
            "p99_us": percentile(99),
            "max_us": percentile(100),
        })
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Asks over one connection until the time is over.
async fn ask(load: Arc<Load>, stream: TcpStream) -> Result<Vec<Answer>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What ends the connection is told to the request that needs it.
    tokio::spawn(connection);
    let mut answers = Vec::new();
    while let Some(due) = load.next().await {
        let request = load.postbacks.next()?;
        let exchange = async {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            let (status, is_acknowledged) = (response.status(), response.headers().contains_key(header::ACK));
            response.into_body().collect().await?;
            Ok::<_, hyper::Error>((status.as_u16(), status == 200 && is_acknowledged))
        };
        let (status, is_stored) = tokio::time::timeout(REPLY_TIMEOUT, exchange).await??;
        answers.push(Answer { due, ended: load.began.elapsed(), status, is_stored });
    }
    Ok(answers)
}

/// Makes requests as the edge makes them of Involve Asia's live template.
struct Postbacks {
    keys: KeySet,
    authority: String,
    path: String,
    /// The canonical query.
    query: String,
    original_target: String,
    /// How conversion ids begin that no run before has used.
    run: String,
    /// The one event, where there is only one.
    event_id: Option<String>,
    made: AtomicU64,
}

impl Postbacks {
    fn new(authority: String, duplicates: bool) -> Result<Postbacks, Failure> {
        let now = now()?;
        let time = now.to_chrono().format("%Y-%m-%d%%20%H:%M:%S");
        let endpoint = "involve/event";
        let original_query = format!(
            "click_id=test123&media_id=456&rewars=10.50&conversion_id={PLACEHOLDER}&event=purchase&event_time={time}\
             &offer_name=test_offer&datetime_conversion={time}&usd_sale_amount=100.00"
        );
        // Read as the edge reads it, and once: what a reading costs is the edge's.
        let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../partners");
        let registry = read_folder(&partners).map_err(|_| "the shipped partner files cannot be read")?;
        let partner = registry.by_code("involve_asia").ok_or("no partner involve_asia")?;
        let params = Params::from_request(&original_query, None, b"").map_err(|rejection| rejection.to_string())?;
        let reading = partner.read(&params, now).map_err(|rejection| rejection.to_string())?;
        Ok(Postbacks {
            keys: KeySet::parse(DEVELOPMENT_KEYS).map_err(|problem| problem.to_string())?,
            authority,
            path: format!("/postback/{endpoint}"),
            query: reading.postback.to_query(),
            original_target: format!("/{endpoint}?{original_query}"),
            run: format!("{}", now.unix_ms()),
            event_id: duplicates.then(event_id).transpose()?,
            made: AtomicU64::new(0),
        })
    }

    /// The next request: another conversion, event and nonce; of a duplicate another nonce alone.
    fn next(&self) -> Result<Request<Empty<Bytes>>, Failure> {
        let (number, event_id) = match &self.event_id {
            Some(event_id) => (0, event_id.clone()),
            None => (self.made.fetch_add(1, Ordering::Relaxed), event_id()?),
        };
        // Ids that grow, as networks count them.
        let conversion_id = format!("{}-{number}", self.run);
        let query = self.query.replace(PLACEHOLDER, &conversion_id);
        let original_target = self.original_target.replace(PLACEHOLDER, &conversion_id);
        let now = now()?;
        let received_at = now.to_string();
        let covered = Covered {
            method: "GET",
            path: &self.path,
            query: &query,
            event_id: &event_id,
            received_at: &received_at,
            auth: "open",
            client_ip: "192.0.2.1",
            original_target: &original_target,
        };
        let nonce = Nonce::from_bytes(random()?);
        let signed = sign(&self.keys, &covered, b"", now.unix_s(), &nonce).ok_or("no key is in force")?;
        let request = Request::get(format!("{}?{query}", self.path))
            .header(HOST, &self.authority)
            .header(header::EVENT_ID, covered.event_id)
            .header(header::RECEIVED_AT, covered.received_at)
            .header(header::AUTH, covered.auth)
            .header(header::CLIENT_IP, covered.client_ip)
            .header(header::ORIGINAL_TARGET, covered.original_target)
            .header(header::CONTENT_DIGEST, signed.content_digest)
            .header(header::SIGNATURE_INPUT, signed.signature_input)
            .header(header::SIGNATURE, signed.signature)
            .header(header::REQUEST_ID, Nonce::from_bytes(random()?).as_str())
            .header(ACCEPT, "text/plain")
            .header(header::PREFER, header::RETURN_MINIMAL);
        Ok(request.body(Empty::new())?)
    }
}

fn now() -> Result<Timestamp, Failure> {
    Timestamp::from_unix_ms(chrono::Utc::now().timestamp_millis()).ok_or_else(|| "the clock shows no time".into())
}

/// An id of the form that the edge derives.
fn event_id() -> Result<String, Failure> {
    Ok(format!("evt_{:032x}", u128::from_be_bytes(random()?)))
}

fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
