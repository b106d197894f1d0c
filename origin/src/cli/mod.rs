//! The command line: one binary, its subcommands (R54).

mod audit;
mod backup;
mod credentials;
mod doctor;
mod edge;
mod explain;
mod input;
mod migrate;
mod parked;
mod partners;
mod progress;
mod rates;
mod reconcile;
mod recount;
mod report;
mod reprocess;
mod request;
mod reread;
mod serve;
mod sign;
mod simulate;
mod stores;
mod subject;
mod terminal;
mod trace;
mod web;

use crate::app::Platform;
use crate::config::{Config, Locations, Settings, read_locations, registry};
use crate::openapi::document;
use crate::shared::{Change, Shared};
use clap::{Args, Parser, Subcommand};
use request::RequestArgs;
use sign::SignArgs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// The origin of ByteC Postback: stores each conversion exactly once.
#[derive(Parser)]
#[command(name = "bytec-origin", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take postbacks until told to stop (SIGTERM or Ctrl-C).
    Serve(OriginArgs),
    /// Create every partner's database where it is missing and bring its tables up to date.
    Migrate(DatabasesArgs),
    /// Look at configuration, databases, tunnel, edge and clock, and say what is wrong and what to do. Changes nothing. Exits with 0
    /// when there is no problem, 1 when there are some.
    Doctor(Box<doctor::Doctor>),
    /// Partner files: those of this program, those of a folder, those that were taken over.
    Partners(partners::Partners),
    /// Print what can be asked of the origin, as an OpenAPI document: what `/openapi.json` answers.
    Openapi,
    /// Tenants' tokens, with which partners send postbacks.
    #[command(subcommand)]
    Tokens(credentials::Tokens),
    /// API keys, with which people and programs read and operate.
    #[command(subcommand)]
    Keys(credentials::Keys),
    /// Exchange rates, by which amounts are converted.
    #[command(subcommand)]
    Rates(rates::Rates),
    /// Show what conversions come to, by days of any time zone.
    Report(report::Report),
    /// Show everything that is stored about an id. Exits with 0 when it is found, 1 when it is found nowhere.
    Trace(trace::Trace),
    /// Compare a partner's own report of its conversions, a CSV file, with what is stored: what is missing, what is extra, what differs, by
    /// the day; and what of it can be repaired. Exits with 0 when no day is flagged, 1 when some is.
    Reconcile(Box<reconcile::Reconcile>),
    /// Judge again what was stored, by the partner files and rates of now: attribution, deposits, refunds, amounts.
    Reprocess(reprocess::Reprocess),
    /// Read stored requests again by the partner files of now: what was rejected and would be accepted is recorded, what says something else
    /// now says that. Without --yes it says what would change.
    Reread(reread::Reread),
    /// Recount conversions and totals from what they are made of, and say what differs. Exits with 0 when nothing differs, or nothing is
    /// left that does, and with 1 otherwise.
    Recount(recount::Recount),
    /// What is stored about a person, by the person's account with an advertiser: find it, erase it.
    #[command(subcommand)]
    Subject(subject::Subject),
    /// What the edge could not deliver and has parked: list it, show it, give it back to the queue.
    #[command(subcommand)]
    Parked(parked::Parked),
    /// Back up the databases into a folder, while postbacks go on coming.
    Backup(backup::Backup),
    /// Restore databases from such a folder, where there are none yet, and see that they come to what they came to.
    Restore(backup::Restore),
    /// Show who changed what, the last changes at the end.
    Audit {
        #[command(flatten)]
        databases: DatabasesArgs,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what would happen to a request, and why. Exits with 0 when it would be accepted, 1 when it would be refused.
    Explain {
        #[command(flatten)]
        request: RequestArgs,
        /// When it is taken to arrive; now where it is not said.
        #[arg(long)]
        received_at: Option<String>,
        /// A folder of partner files to go by, instead of those that this program was built with.
        #[arg(long)]
        partners: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send realistic traffic of partners, to try an edge or an origin with. Exits with 1 when something was not answered with 200.
    Simulate(simulate::Simulate),
    /// Show the string to sign and the bytec-v1 signature of a request. Exits with 1 when it cannot be signed.
    Sign {
        #[command(flatten)]
        request: RequestArgs,
        #[command(flatten)]
        sign: SignArgs,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Where an origin runs. Secrets come from the environment or from files: EDGE_KEYS, TENANT_TOKENS, PARTNER_KEYS, and those of
/// databases, or any of these with _FILE behind.
#[derive(Args, Clone, Debug)]
struct OriginArgs {
    /// development, staging or production; production where it is not said.
    #[arg(long, env = "ENVIRONMENT")]
    environment: Option<String>,
    /// Address and port to listen on.
    #[arg(long, env = "ORIGIN_BIND", default_value = "127.0.0.1:8000")]
    bind: String,
    #[command(flatten)]
    databases: DatabasesArgs,
}

impl OriginArgs {
    fn settings(self) -> Settings {
        Settings { environment: self.environment, bind: Some(self.bind), ..self.databases.settings() }
    }
}

/// Where the databases are, and whose are meant. Secrets come from the environment or from files: DATABASE_URL, DATABASE_URL_<PARTNER>,
/// SHARED_DATABASE_URL, or any of these with _FILE behind.
#[derive(Args, Clone, Debug)]
struct DatabasesArgs {
    /// Folder of the SQLite files, where DATABASE_URL does not say otherwise.
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    data_dir: String,
    /// Codes of the partners that are meant, such as involve_asia,rector; all where it is not said. May be given several times.
    #[arg(long = "partner", env = "PARTNERS", value_delimiter = ',', value_name = "CODE")]
    partners: Vec<String>,
}

impl DatabasesArgs {
    fn settings(self) -> Settings {
        Settings { data_dir: Some(self.data_dir), partners: self.partners, ..Settings::default() }
    }

    /// Where they are, or every problem told and the exit code for them.
    fn locations(self) -> Result<Locations, ExitCode> {
        or_told(read_locations(&self.settings(), |name| std::env::var(name).ok()))
    }
}

/// What was read, or every problem told and the exit code for them.
fn or_told<T>(read: Result<T, Vec<String>>) -> Result<T, ExitCode> {
    read.map_err(|problems| {
        for problem in &problems {
            eprintln!("configuration: {problem}");
        }
        ExitCode::from(2)
    })
}

/// Prints an answer, a line feed behind it. Whoever does not read to its end (`| head`) has seen enough.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
}

/// What can be asked of an origin that serves every partner.
fn openapi() -> Result<(), String> {
    let document = document(&registry()?).to_pretty_json().map_err(|error| format!("the document: {error}"))?;
    print(&document);
    Ok(())
}

/// The exit code of a question that is answered with yes or no, or that could not be asked.
fn answered(answer: Result<bool, String>) -> ExitCode {
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => wrong(&problem),
    }
}

/// The exit code of what could not be asked, which is told.
fn wrong(problem: &str) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}

/// The exit code of what was done, or failed, which is told.
fn ended(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// A change that is made now, by whoever runs the command.
fn change() -> Result<Change, String> {
    let named = |name: &str| std::env::var(name).ok().filter(|person| !person.is_empty());
    let person = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(named);
    let id = Platform::SYSTEM.nonce().ok_or("the system has no random bytes to give")?;
    let actor = format!("cli:{}", person.as_deref().unwrap_or("unknown"));
    Ok(Change { id, at: (Platform::SYSTEM.now)(), actor })
}

/// Runs the command that the arguments name. 0: done; 1: failed; 2: wrong configuration or usage.
pub async fn run() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(settings) => {
            match or_told(Config::read(&settings.settings(), |name| std::env::var(name).ok())) {
                Ok(config) => serve::serve(config).await,
                Err(code) => return code,
            }
        }
        Command::Migrate(databases) => match databases.locations() {
            Ok(locations) => match change() {
                Ok(change) => migrate::migrate(&locations, &change).await,
                Err(problem) => Err(problem),
            },
            Err(code) => return code,
        },
        Command::Tokens(tokens) => return credentials::tokens(tokens).await,
        Command::Keys(keys) => return credentials::keys(keys).await,
        Command::Rates(rates) => return rates::rates(rates).await,
        Command::Report(command) => return report::report(command).await,
        Command::Trace(command) => return trace::trace(command).await,
        Command::Reconcile(command) => return reconcile::run(*command).await,
        Command::Reprocess(command) => return reprocess::reprocess(command).await,
        Command::Reread(command) => return reread::reread(command).await,
        Command::Recount(command) => return recount::recount(command).await,
        Command::Backup(command) => return backup::backup(command).await,
        Command::Restore(command) => return backup::restore(command).await,
        Command::Parked(command) => return parked::parked(command).await,
        Command::Subject(command) => return subject::subject(command).await,
        Command::Audit { databases, limit, json } => match databases.locations() {
            Ok(locations) => audit::audit(&Shared::at(locations.shared), limit, json).await,
            Err(code) => return code,
        },
        Command::Doctor(command) => return doctor::doctor(*command).await,
        Command::Partners(command) => return partners::partners(command).await,
        Command::Openapi => openapi(),
        Command::Explain { request, received_at, partners, json } => {
            let now = (Platform::SYSTEM.now)();
            return answered(
                explain::partners(partners.as_deref())
                    .and_then(|registry| explain::run(&registry, &request.read()?, received_at.as_deref(), now, json)),
            );
        }
        Command::Simulate(args) => {
            let random = (Platform::SYSTEM.random)().map_or(0, |bytes| u128::from_be_bytes(bytes) >> 96);
            let now_s = (Platform::SYSTEM.now)().unix_s();
            return answered(simulate::run(&args, now_s, u64::try_from(random).unwrap_or(0)).await);
        }
        Command::Sign { request, sign, json } => {
            let (now, random) = ((Platform::SYSTEM.now)(), (Platform::SYSTEM.random)());
            let random = random.ok_or("the system has no random bytes to give".to_owned());
            return answered(random.and_then(|random| sign::run(&request.read()?, &sign, now.unix_s(), random, json)));
        }
    };
    ended(outcome)
}
