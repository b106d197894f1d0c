//! `tokens` and `keys`: credentials made, changed with overlap, ended (R54). A secret is shown once, when it is made.

use super::{DatabasesArgs, change, print, wrong};
use crate::app::Platform;
use crate::config::registry;
use crate::shared::{AsSql, Change, Credential, Issue, Kind, Made, Scope, Secret, Shared};
use clap::{Args, Subcommand, ValueEnum};
use postback::credential::{digest, digest_entry};
use postback::time::Timestamp;
use serde_json::json;
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;

/// What can be done with tokens.
#[derive(Subcommand)]
pub enum Tokens {
    /// Make a token, and show it once.
    Create {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        with: With,
    },
    /// Make a token in the place of another, which goes on to hold for a while.
    Rotate(Rotate),
    /// End a token at once: origins stop to believe it within ten seconds.
    Revoke(Revoke),
    /// List tokens, without their secrets.
    List(List),
    /// Say whose token it is that stands on standard input. Exits with 1 when it is none, or no longer in force.
    Check(List),
    /// Print the tokens in force as the edge's TENANT_TOKENS has them: digests, no secrets.
    Edge(DatabasesArgs),
}

/// What can be done with keys.
#[derive(Subcommand)]
pub enum Keys {
    /// Make a key, and show it once.
    Create {
        #[command(flatten)]
        of: Of,
        /// What it is good for.
        #[arg(long, value_enum)]
        scope: KeyScope,
        /// The one partner whose data it opens; all of the tenant's where it is not said.
        #[arg(long)]
        for_partner: Option<String>,
        #[command(flatten)]
        with: With,
    },
    /// Make a key in the place of another, which goes on to hold for a while.
    Rotate(Rotate),
    /// End a key at once: origins stop to believe it within ten seconds.
    Revoke(Revoke),
    /// List keys, without their secrets.
    List(List),
    /// Say whose key it is that stands on standard input. Exits with 1 when it is none, or no longer in force.
    Check(List),
}

/// Whose a credential is.
#[derive(Args)]
pub struct Of {
    /// The tenant, as partner files name it.
    #[arg(long)]
    tenant: String,
    /// What you will know it by: at most 100 characters.
    #[arg(long, default_value = "", value_parser = label)]
    label: String,
}

fn label(text: &str) -> Result<String, String> {
    if text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err("at most 100 characters, none of them a control character".to_owned());
    }
    Ok(text.to_owned())
}

/// What every command that changes something can be told.
#[derive(Args)]
pub struct With {
    /// Days until it ends.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub struct How {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Change nothing: print the SQL that would, for a D1 database (wrangler d1 execute). The secret goes to standard error.
    #[arg(long, conflicts_with = "json")]
    sql: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

#[derive(Args)]
pub struct Rotate {
    /// The id of the old one.
    id: String,
    /// Hours for which the old one holds beside the new one.
    #[arg(long, default_value_t = 168, value_parser = clap::value_parser!(u16).range(0..=8760))]
    overlap_hours: u16,
    #[command(flatten)]
    with: With,
}

#[derive(Args)]
pub struct Revoke {
    /// Its id.
    id: String,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
pub struct List {
    /// Those too that are no longer in force.
    #[arg(long)]
    all: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    databases: DatabasesArgs,
}

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyScope {
    /// Reading what was stored.
    Read,
    /// Reading, and operating.
    Operate,
}

impl KeyScope {
    fn scope(self) -> Scope {
        match self {
            KeyScope::Read => Scope::Read,
            KeyScope::Operate => Scope::Operate,
        }
    }
}

/// Why a command ends without having done what it was asked for.
enum Failed {
    /// The answer is no.
    No(String),
    /// It was asked for in a wrong way, and has been told.
    Usage(ExitCode),
}

impl From<String> for Failed {
    fn from(problem: String) -> Self {
        Failed::No(problem)
    }
}

impl From<ExitCode> for Failed {
    fn from(code: ExitCode) -> Self {
        Failed::Usage(code)
    }
}

/// Runs a command about tokens.
pub async fn tokens(command: Tokens) -> ExitCode {
    ended(match command {
        Tokens::Create { of, with } => create(of, Scope::Ingest, None, with).await,
        Tokens::Rotate(rotate) => self::rotate(Kind::Token, rotate).await,
        Tokens::Revoke(revoke) => self::revoke(Kind::Token, revoke).await,
        Tokens::List(list) => self::list(Kind::Token, list).await,
        Tokens::Check(list) => check(Kind::Token, list).await,
        Tokens::Edge(databases) => edge(databases).await,
    })
}

/// Runs a command about keys.
pub async fn keys(command: Keys) -> ExitCode {
    ended(match command {
        Keys::Create { of, scope, for_partner, with } => create(of, scope.scope(), for_partner, with).await,
        Keys::Rotate(rotate) => self::rotate(Kind::Key, rotate).await,
        Keys::Revoke(revoke) => self::revoke(Kind::Key, revoke).await,
        Keys::List(list) => self::list(Kind::Key, list).await,
        Keys::Check(list) => check(Kind::Key, list).await,
    })
}

fn ended(outcome: Result<(), Failed>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Usage(code)) => code,
        Err(Failed::No(problem)) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn create(of: Of, scope: Scope, partner: Option<String>, with: With) -> Result<(), Failed> {
    let registry = registry()?;
    is_not_narrowed(&with.how.databases, scope)?;
    let Of { tenant, label } = of;
    if !registry.all().iter().any(|partner| partner.tenant == tenant) {
        let mut known: Vec<_> = registry.all().iter().map(|partner| partner.tenant.as_str()).collect();
        known.dedup();
        return Err(
            format!("--tenant: no partner file has the tenant {tenant:?}; there are {}", known.join(", ")).into()
        );
    }
    if let Some(code) = &partner
        && registry.by_code(code).is_none_or(|partner| partner.tenant != tenant)
    {
        return Err(format!("--for-partner: {tenant} has no partner {code:?}").into());
    }
    let change = change()?;
    let issue = issue(scope.kind(), with.days, &change)?;
    let more = json!({"tenant": tenant, "partner": partner, "scope": scope.name(), "label": label});
    let made = Made { issue, tenant, partner, scope, label };
    if with.how.sql {
        show_as_sql(&made.issue, &AsSql::for_d1().create(&made, &change));
        return Ok(());
    }
    let shared = shared(with.how.databases.clone())?;
    let outcome = shared.create(&made, &change).await;
    shared.close().await;
    outcome.map_err(|error| error.to_string())?;
    show(&made.issue, with.how.json, more);
    Ok(())
}

/// What every command can be told of partners says whose databases it works on, and would narrow no credential: whoever says it here means
/// something else.
fn is_not_narrowed(databases: &DatabasesArgs, scope: Scope) -> Result<(), Failed> {
    let from_environment = std::env::var("PARTNERS").unwrap_or_default();
    let is_said = !databases.partners.is_empty() && databases.partners.join(",") != from_environment;
    if !is_said {
        return Ok(());
    }
    Err(Failed::Usage(wrong(match scope.kind() {
        Kind::Key => "--partner narrows no key: for a key to one partner's data say --for-partner CODE",
        Kind::Token => "--partner narrows no token: a token is good for all partners of its tenant",
    })))
}

async fn rotate(kind: Kind, asked: Rotate) -> Result<(), Failed> {
    let Rotate { id, overlap_hours, with } = asked;
    let change = change()?;
    let issue = issue(kind, with.days, &change)?;
    let until = later(change.at, i64::from(overlap_hours).saturating_mul(HOUR_MS));
    if with.how.sql {
        show_as_sql(&issue, &AsSql::for_d1().rotate(kind, &id, until, &issue, &change));
        return Ok(());
    }
    let shared = shared(with.how.databases.clone())?;
    let outcome = async {
        let old = find(&shared, kind, &id).await?;
        match shared.rotate(kind, &id, until, &issue, &change).await {
            Ok(true) => Ok(until.unix_s().min(old.expires_s)),
            Ok(false) => Err(match old.replaced_by {
                Some(new_id) => format!("{new_id} was made in the place of {id}; rotate that one"),
                None => format!("{id} is no longer in force; make a new {} instead", kind.name()),
            }),
            Err(error) => Err(error.to_string()),
        }
    };
    let outcome = outcome.await;
    shared.close().await;
    show(&issue, with.how.json, json!({"replaces": id, "old_holds_until": at(outcome?)}));
    Ok(())
}

async fn revoke(kind: Kind, asked: Revoke) -> Result<(), Failed> {
    let Revoke { id, how } = asked;
    let change = change()?;
    if how.sql {
        print(&AsSql::for_d1().revoke(kind, &id, &change));
        return Ok(());
    }
    let shared = shared(how.databases)?;
    let outcome = async {
        find(&shared, kind, &id).await?;
        match shared.revoke(kind, &id, &change).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{id} was revoked before")),
            Err(error) => Err(error.to_string()),
        }
    };
    let outcome = outcome.await;
    shared.close().await;
    outcome?;
    let told = if how.json {
        json!({"id": id, "revoked_at": change.at.to_string()}).to_string()
    } else {
        format!("{id} is revoked")
    };
    print(&told);
    Ok(())
}

async fn list(kind: Kind, asked: List) -> Result<(), Failed> {
    let List { all, json, databases } = asked;
    let now_s = (Platform::SYSTEM.now)().unix_s();
    let credentials = all_of(databases).await?.into_iter().map(|(credential, _)| credential);
    let listed: Vec<_> = credentials
        .filter(|credential| credential.scope.kind() == kind && (all || credential.is_in_force(now_s)))
        .collect();
    if json {
        print(&serde_json::to_string_pretty(&listed).map_err(|error| error.to_string())?);
        return Ok(());
    }
    for credential in &listed {
        print(&line(credential, now_s));
    }
    if listed.is_empty() {
        eprintln!("there is none{}", if all { "" } else { " in force; --all lists the others" });
    }
    Ok(())
}

/// One credential, for people.
fn line(credential: &Credential, now_s: i64) -> String {
    let state = match credential.revoked_s {
        Some(_) => "revoked",
        None if credential.is_in_force(now_s) => "in force",
        None => "expired",
    };
    format!(
        "{}  {:<8} {:<8} {:<14} {:<14} until {}  last used {}  {}",
        credential.id,
        state,
        credential.scope.name(),
        credential.tenant,
        credential.partner.as_deref().unwrap_or("all partners"),
        at(credential.expires_s),
        credential.last_used_s.map_or_else(|| "never".to_owned(), at),
        credential.label,
    )
}

/// Longest secret that is looked up, in bytes.
const SECRET_BYTES_MAX: u64 = 4_096;

async fn check(kind: Kind, asked: List) -> Result<(), Failed> {
    let mut secret = String::new();
    if std::io::stdin().is_terminal() {
        eprintln!("paste the {}, then Ctrl-D", kind.name());
    }
    let read = std::io::stdin().take(SECRET_BYTES_MAX).read_to_string(&mut secret);
    read.map_err(|error| format!("standard input cannot be read: {error}"))?;
    let digest = digest(secret.trim());
    let now_s = (Platform::SYSTEM.now)().unix_s();
    let known = all_of(asked.databases).await?.into_iter().find(|(_, known)| *known == digest);
    let Some((credential, _)) = known.filter(|(credential, _)| credential.scope.kind() == kind) else {
        return Err(format!("this is no {} that was made here", kind.name()).into());
    };
    if asked.json {
        print(&serde_json::to_string_pretty(&credential).map_err(|error| error.to_string())?);
    } else {
        print(&line(&credential, now_s));
    }
    if credential.is_in_force(now_s) {
        Ok(())
    } else {
        Err(format!("it is no longer in force: {}", credential.id).into())
    }
}

async fn edge(databases: DatabasesArgs) -> Result<(), Failed> {
    let now_s = (Platform::SYSTEM.now)().unix_s();
    let in_force = all_of(databases).await?.into_iter().filter(|(credential, _)| {
        credential.scope == Scope::Ingest && credential.partner.is_none() && credential.is_in_force(now_s)
    });
    let entries = in_force.map(|(credential, digest)| {
        let until = Timestamp::from_unix_ms(credential.expires_s.saturating_mul(1_000));
        digest_entry(&credential.tenant, &digest, until)
    });
    print(&entries.collect::<Vec<_>>().join(","));
    Ok(())
}

async fn all_of(databases: DatabasesArgs) -> Result<Vec<(Credential, [u8; 32])>, Failed> {
    let shared = shared(databases)?;
    let listed = shared.list().await;
    shared.close().await;
    Ok(listed.map_err(|error| error.to_string())?)
}

/// The credential of an id, of the kind that the command is about.
async fn find(shared: &Shared, kind: Kind, id: &str) -> Result<Credential, String> {
    let listed = shared.list().await.map_err(|error| error.to_string())?;
    let known = listed.into_iter().map(|(credential, _)| credential).find(|credential| credential.id == id);
    let known = known.ok_or_else(|| format!("there is no {} {id}", kind.name()))?;
    let other = known.scope.kind();
    if other == kind { Ok(known) } else { Err(format!("{id} is a {0}: bytec-origin {0}s", other.name())) }
}

fn shared(databases: DatabasesArgs) -> Result<Shared, ExitCode> {
    let locations = databases.locations()?;
    Ok(Shared::at(locations.shared))
}

fn issue(kind: Kind, days: u16, change: &Change) -> Result<Issue, String> {
    let random = || (Platform::SYSTEM.random)().ok_or("the system has no random bytes to give");
    let [a, b, c, d, e, f, ..] = random()?;
    // Whole seconds, as it is shown everywhere.
    let made_at = Timestamp::from_unix_ms(change.at.unix_s().saturating_mul(1_000)).unwrap_or(change.at);
    Ok(Issue {
        id: format!("{}-{}", kind.name(), hex::encode([a, b, c, d, e, f])),
        secret: Secret::new(kind, [random()?, random()?]),
        expires_at: later(made_at, i64::from(days).saturating_mul(DAY_MS)),
    })
}

/// Unix seconds, for people.
fn at(unix_s: i64) -> String {
    Timestamp::from_unix_ms(unix_s.saturating_mul(1_000)).map_or_else(|| "-".to_owned(), |at| at.to_string())
}

fn later(from: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(from.unix_ms().saturating_add(ms)).unwrap_or(from)
}

/// Shows what was made: the one time that its secret is seen.
fn show(issue: &Issue, json: bool, more: serde_json::Value) {
    let Issue { id, secret, expires_at } = issue;
    if json {
        let mut told = json!({"id": id, "secret": secret.reveal(), "expires_at": expires_at.to_string()});
        if let (Some(told), serde_json::Value::Object(more)) = (told.as_object_mut(), more) {
            told.extend(more);
        }
        print(&told.to_string());
        return;
    }
    print(&format!("{id}, until {expires_at}. Its secret is shown this once:\n\n{}\n", secret.reveal()));
    if let Some(until) = more.get("old_holds_until").and_then(|until| until.as_str()) {
        print(&format!("The old one holds until {until}."));
    }
}

/// Shows the SQL on standard output, to go into a file, and the secret beside it.
fn show_as_sql(issue: &Issue, sql: &str) {
    print(sql);
    eprintln!("{}\n{}", issue.id, issue.secret.reveal());
}
