//! The databases: whether each can be reached and used, and whether they are as many as they should be.

use super::code::Code;
use super::finding::{Checked, Finding};
use crate::shared;
use crate::store::Tables;
use crate::store::location::Location;
use crate::store::look::{Look, Schema, Seen, Server, Unseen};
use crate::store::worklist::Backlog;
use postback::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The oldest PostgreSQL that has all that the statements use.
const POSTGRES_MIN: i32 = 140_000;

/// A database that is to be looked at.
#[derive(Clone, Debug)]
pub struct Place {
    /// The partner's code, or what is said of the one that all share.
    pub name: String,
    /// What should be in it.
    pub tables: Tables,
    /// Where it is.
    pub location: Location,
    /// The variable that says so.
    pub variable: String,
}

/// What came of looking.
#[derive(Debug)]
pub enum Outcome {
    /// It cannot be looked at.
    Unseen(Unseen),
    /// What it is, and what is in it, where this program can read it.
    Seen(Seen, Content),
}

/// What is in a database.
#[derive(Debug)]
pub enum Content {
    /// What is to be done for a partner.
    Partner(Backlog),
    /// What partners share.
    Shared(Box<shared::Seen>),
    /// This program cannot read it, or it does not say.
    Unread(Option<String>),
}

/// Looks at a database.
pub async fn look(place: &Place, now: fn() -> Timestamp, limit: Duration) -> Outcome {
    let looked = async {
        let mut look = Look::open(&place.location, place.tables).await?;
        let broken = |error: crate::store::StoreError| Unseen::Broken(error.to_string());
        let seen = look.see(now).await.map_err(broken)?;
        let content = match (seen.schema.is_readable(), place.tables) {
            (false, _) => Content::Unread(None),
            (true, Tables::Partner) => look.backlog(now()).await.map(Content::Partner).unwrap_or_else(unread),
            (true, Tables::Shared) => {
                let shared = shared::Seen::of(&mut look, now()).await;
                shared.map(|seen| Content::Shared(Box::new(seen))).unwrap_or_else(unread)
            }
        };
        look.close().await;
        Ok((seen, content))
    };
    match tokio::time::timeout(limit, looked).await {
        Ok(Ok((seen, content))) => Outcome::Seen(seen, content),
        Ok(Err(unseen)) => Outcome::Unseen(unseen),
        Err(_) => Outcome::Unseen(Unseen::Away(format!("no answer within {} s", limit.as_secs()))),
    }
}

fn unread(error: crate::store::StoreError) -> Content {
    Content::Unread(Some(error.to_string()))
}

/// What is wrong with each, and with all together.
pub fn check(looked: &[(Place, Outcome)]) -> Vec<Checked> {
    let mut known: BTreeMap<&str, &Place> = BTreeMap::new();
    let mut checked = Vec::new();
    for (place, outcome) in looked {
        let mut findings = judge(place, outcome);
        if let Outcome::Seen(seen, _) = outcome {
            match known.get(seen.identity.as_str()) {
                Some(other) => findings.push(of_two(other, place)),
                None => drop(known.insert(&seen.identity, place)),
            }
        }
        findings.extend(too_few_connections(place, outcome, looked));
        checked.push(Checked::new("database", &place.name, looked_at(place, outcome), findings));
    }
    checked
}

fn looked_at(place: &Place, outcome: &Outcome) -> String {
    let mut text = format!("{:?}", place.location);
    if let Outcome::Seen(Seen { server: Some(server), .. }, _) = outcome {
        text.push_str(&format!(", version {}", server.version_num / 10_000));
    }
    text
}

fn of_two(one: &Place, other: &Place) -> Finding {
    Finding::new(
        Code::DatabaseOfTwo,
        format!("{} and {} are in one database, and each partner needs its own", one.name, other.name),
        format!(
            "make {} another: a file or database of the name {} that is no link or alias, or another {}",
            other.name,
            other.location.name(),
            own_variable(other)
        ),
    )
}

/// The variable that moves this one database alone.
fn own_variable(place: &Place) -> String {
    match place.tables {
        Tables::Shared => "SHARED_DATABASE_URL".to_owned(),
        Tables::Partner => format!("DATABASE_URL_{}", place.name.to_uppercase()),
    }
}

fn judge(place: &Place, outcome: &Outcome) -> Vec<Finding> {
    match outcome {
        Outcome::Unseen(unseen) => vec![judge_unseen(place, unseen)],
        Outcome::Seen(Seen { schema, server, .. }, content) => {
            let mut findings = judge_schema(place, schema);
            findings.extend(server.iter().flat_map(|server| judge_server(place, server)));
            if let Content::Unread(Some(why)) = content {
                findings.push(Finding::new(
                    Code::DatabaseBroken,
                    format!("it cannot be read: {why}"),
                    "the tables are not as migrations make them: restore a backup, or grant what is missing to the user",
                ));
            }
            findings
        }
    }
}

fn judge_unseen(place: &Place, unseen: &Unseen) -> Finding {
    let (name, variable) = (place.location.name(), &place.variable);
    match unseen {
        Unseen::Missing { may_be_made: true } => Finding::new(
            Code::DatabaseUnmade,
            "it is not there yet; the origin makes it when it opens it",
            "make it beforehand: bytec-origin migrate. If it should be there, look whether the place is the right one: "
                .to_owned() + variable,
        ),
        Unseen::Missing { may_be_made: false } => Finding::new(
            Code::DatabaseMissing,
            format!("there is no database {name}, and the user may not make one"),
            format!("as an administrator: createdb --owner <user> {name}; then bytec-origin migrate"),
        ),
        Unseen::Refused(why) => Finding::new(
            Code::DatabaseRefuses,
            why,
            format!(
                "put the right user and password into {variable} (postgres://user:password@host/postgres), or mend pg_hba.conf of the server"
            ),
        ),
        Unseen::Away(why) => Finding::new(
            Code::DatabaseAway,
            why,
            format!(
                "see that the server runs and can be reached (pg_isready -h <host> -p <port>), and that {variable} names the right host and port"
            ),
        ),
        Unseen::Broken(why) => Finding::new(
            Code::DatabaseBroken,
            why,
            format!(
                "see whether {variable} names the right place; if it does, restore a backup: docs/operations.md#sqlite, docs/operations.md#postgresql"
            ),
        ),
    }
}

fn judge_schema(place: &Place, schema: &Schema) -> Vec<Finding> {
    let list = |numbers: &[i64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let Schema { missing, unknown, differing } = schema;
    let mut findings = Vec::new();
    if !differing.is_empty() {
        findings.push(Finding::new(
            Code::SchemaDiffers,
            format!("migrations {} are not as this program has them, or did not end", list(differing)),
            format!(
                "run the program that made the database, or restore a backup of {}; then bytec-origin migrate",
                place.location.name()
            ),
        ));
    }
    if !missing.is_empty() {
        findings.push(Finding::new(
            Code::SchemaOlder,
            format!("its tables are older than this program: migrations {} are missing", list(missing)),
            "bytec-origin migrate, before this version is started: inside a request there is one second for it",
        ));
    }
    if !unknown.is_empty() {
        findings.push(Finding::new(
            Code::SchemaNewer,
            format!("its tables are newer than this program: it does not know migrations {}", list(unknown)),
            "install the newer program here, too: sudo install -m 0755 target/origin/bytec-origin /usr/local/bin/",
        ));
    }
    findings
}

fn judge_server(place: &Place, server: &Server) -> Vec<Finding> {
    let (name, user) = (place.location.name(), &server.user);
    let mut findings = Vec::new();
    if server.version_num < POSTGRES_MIN {
        findings.push(Finding::new(
            Code::PostgresTooOld,
            format!("the server has version {}", server.version_num / 10_000),
            format!("move to PostgreSQL 14 or later, and name it in {}", place.variable),
        ));
    }
    if server.is_read_only {
        findings.push(Finding::new(
            Code::DatabaseReadOnly,
            "nothing can be written: it is a standby, or set to be read only",
            format!(
                "name the primary in {}; or: alter database {name} reset default_transaction_read_only",
                place.variable
            ),
        ));
    }
    if !server.unsafe_settings.is_empty() {
        let settings = server.unsafe_settings.join(" and ");
        findings.push(Finding::new(
            Code::DatabaseUnsafe,
            format!("{settings} off: what a 200 has promised could be lost with the power"),
            format!(
                "switch on {settings}: alter system reset {}; select pg_reload_conf()",
                server.unsafe_settings.join("; alter system reset ")
            ),
        ));
    }
    if !server.is_owner {
        findings.push(Finding::new(
            Code::DatabaseNotOwned,
            format!("{user} does not own it, so it cannot be migrated"),
            format!("as an administrator: alter database {name} owner to {user}; and the same for its tables: reassign owned by <owner> to {user}"),
        ));
    }
    if !server.months_missing.is_empty() {
        findings.push(Finding::new(
            Code::MonthsMissing,
            format!("there are no partitions {}: what comes then goes into postbacks_default", server.months_missing.join(", ")),
            "bytec-origin migrate makes them, and so does a running origin every hour: journalctl -u bytec-origin | grep 'no room was made'",
        ));
    }
    findings
}

/// Said once for each server, at the first of its databases.
fn too_few_connections(place: &Place, outcome: &Outcome, looked: &[(Place, Outcome)]) -> Option<Finding> {
    let server_of = |outcome: &Outcome| match outcome {
        Outcome::Seen(Seen { server, .. }, _) => server.clone(),
        Outcome::Unseen(_) => None,
    };
    let server = server_of(outcome)?;
    let same = || looked.iter().filter(|(_, other)| server_of(other).is_some_and(|other| other.name == server.name));
    let is_first = same().next().is_some_and(|(first, _)| first.name == place.name);
    let needed = i64::try_from(same().count()).unwrap_or(i64::MAX).saturating_mul(i64::from(Server::POOL));
    if !is_first || server.connections_max >= needed {
        return None;
    }
    Some(Finding::new(
        Code::ConnectionsTooFew,
        format!(
            "{} may have {} connections; an origin takes up to {needed} for what it has there",
            server.user, server.connections_max
        ),
        format!(
            "raise it above that, times origins: alter system set max_connections = {}, and restart the server; a limit of the role or database: alter role {} connection limit -1",
            needed.saturating_mul(2).max(100),
            server.user
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place {
        let location = Location::within("postgres://u:geheim@db.example/postgres", &format!("{name}_db")).unwrap();
        Place { name: name.to_owned(), tables: Tables::Partner, location, variable: "DATABASE_URL".to_owned() }
    }

    fn server() -> Server {
        Server {
            name: "1".to_owned(),
            version_num: 160_004,
            connections_max: 97,
            is_owner: true,
            user: "u".to_owned(),
            ..Server::default()
        }
    }

    fn seen(identity: &str, server: Server) -> Outcome {
        let seen = Seen { schema: Schema::default(), identity: identity.to_owned(), server: Some(Box::new(server)) };
        Outcome::Seen(seen, Content::Partner(Backlog::default()))
    }

    fn codes(looked: &[(Place, Outcome)]) -> Vec<&'static str> {
        let checked = check(looked);
        assert!(!format!("{checked:?}").contains("geheim"));
        let findings = checked.iter().flat_map(|checked| &checked.findings);
        findings.inspect(|finding| assert!(finding.hint.len() > 20)).map(|finding| finding.code.name()).collect()
    }

    #[test]
    fn why_a_database_cannot_be_had_is_told_apart() {
        let why = || "why".to_owned();
        for (unseen, expected) in [
            (Unseen::Missing { may_be_made: true }, "database_unmade"),
            (Unseen::Missing { may_be_made: false }, "database_missing"),
            (Unseen::Refused(why()), "database_refuses"),
            (Unseen::Away(why()), "database_away"),
            (Unseen::Broken(why()), "database_broken"),
        ] {
            assert_eq!(codes(&[(place("rector"), Outcome::Unseen(unseen))]), [expected]);
        }
    }

    #[test]
    fn a_good_server_has_nothing_to_be_found_and_a_bad_one_all() {
        assert_eq!(codes(&[(place("rector"), seen("1", server()))]), [""; 0]);
        let bad = Server {
            version_num: 130_001,
            is_read_only: true,
            unsafe_settings: vec!["fsync".to_owned()],
            is_owner: false,
            months_missing: vec!["postbacks_2026_12".to_owned()],
            connections_max: 11,
            ..server()
        };
        let all = [
            "postgres_too_old",
            "database_read_only",
            "database_unsafe",
            "database_not_owned",
            "months_missing",
            "connections_too_few",
        ];
        assert_eq!(codes(&[(place("rector"), seen("1", bad))]), all);
    }

    #[test]
    fn two_in_one_database_and_pools_too_large_are_found_across_databases() {
        let looked = |ids: [&str; 2], connections_max| {
            let server = || Server { connections_max, ..server() };
            [(place("rector"), seen(ids[0], server())), (place("s2s"), seen(ids[1], server()))]
        };
        assert_eq!(codes(&looked(["1:1", "1:2"], 24)), [""; 0]);
        assert_eq!(codes(&looked(["1:1", "1:1"], 24)), ["database_of_two"]);
        assert_eq!(codes(&looked(["1:1", "1:2"], 23)), ["connections_too_few"]);
    }

    #[test]
    fn how_tables_stand_to_the_program_is_told() {
        let of = |schema| {
            codes(&[(
                place("rector"),
                Outcome::Seen(Seen { schema, identity: String::new(), server: None }, Content::Unread(None)),
            )])
        };
        assert_eq!(of(Schema { missing: vec![9], ..Schema::default() }), ["schema_older"]);
        assert_eq!(of(Schema { unknown: vec![99], ..Schema::default() }), ["schema_newer"]);
        assert_eq!(of(Schema { differing: vec![1], ..Schema::default() }), ["schema_differs"]);
    }
}
