//! The database that all partners share, held to the same on every kind.

use crate::{Place, at, fresh_place, nonce};
use bytec_origin::shared::{AsSql, Change, Issue, Kind, Made, Quote, Scope, Secret, Shared};
use bytec_origin::store::location::Location;
use chrono::NaiveDate;
use postback::partner::Partner;
use postback::time::Timestamp;

/// A shared database with its tables.
struct Fresh {
    shared: Shared,
    place: Place,
}

async fn fresh(kind: &str) -> Fresh {
    let place = fresh_place(kind);
    if let Place::D1(bridge) = &place {
        bridge.migrate("shared").await;
    }
    let shared = Shared::at(location(&place));
    shared.open().await.unwrap();
    Fresh { shared, place }
}

fn location(place: &Place) -> Location {
    match place {
        Place::Native(location, _) => location.clone(),
        Place::D1(bridge) => bridge.location(),
    }
}

impl Fresh {
    /// Another origin's way to the same database, which has read nothing yet.
    fn another(&self) -> Shared {
        Shared::at(location(&self.place))
    }

    async fn create(&self, scope: Scope, number: u8) -> Made {
        let made = made(scope, number);
        self.shared.create(&made, &change()).await.unwrap();
        made
    }

    /// Entries of the audit log, as `action subject`.
    async fn audited(&self) -> Vec<String> {
        let entries = self.shared.audit(100).await.unwrap();
        entries.iter().map(|entry| format!("{} {}", entry.action, entry.subject)).collect()
    }
}

fn now() -> Timestamp {
    at("2025-11-21T08:00:00Z")
}

/// So many milliseconds later.
fn later(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(now().unix_ms() + ms).unwrap()
}

fn change() -> Change {
    Change { id: nonce(), at: now(), actor: "cli:ops'".to_owned() }
}

fn issue(kind: Kind, number: u8) -> Issue {
    Issue {
        id: format!("{}-{number}", kind.name()),
        secret: Secret::new(kind, [[number; 16]; 2]),
        expires_at: later(1_000_000),
    }
}

fn made(scope: Scope, number: u8) -> Made {
    Made {
        issue: issue(scope.kind(), number),
        tenant: "bytec".to_owned(),
        partner: (scope != Scope::Ingest).then(|| "rector".to_owned()),
        scope,
        label: "it's \"ours\"".to_owned(),
    }
}

fn partners() -> Vec<Partner> {
    bytec_origin::config::registry().unwrap().all().to_vec()
}

const DAY_MS: i64 = 86_400_000;

mod sqlite {
    #[tokio::test(flavor = "multi_thread")]
    async fn shared() {
        super::every_sentence("sqlite").await;
    }
}

mod postgres {
    #[tokio::test(flavor = "multi_thread")]
    async fn shared() {
        super::every_sentence("postgres").await;
    }
}

mod d1 {
    #[tokio::test(flavor = "multi_thread")]
    async fn shared() {
        super::every_sentence("d1").await;
    }
}

async fn every_sentence(kind: &str) {
    a_credential_is_found_by_its_secret_alone_and_kept_as_a_digest(&fresh(kind).await).await;
    a_new_one_is_believed_at_once_and_a_revoked_one_soon_no_more(&fresh(kind).await).await;
    a_rotated_one_holds_beside_the_new_one_for_the_overlap(&fresh(kind).await).await;
    what_is_over_or_of_the_other_kind_is_not_changed(&fresh(kind).await).await;
    when_one_was_used_is_noted(&fresh(kind).await).await;
    a_partners_file_is_noted_when_it_differs(&fresh(kind).await).await;
    the_audit_log_keeps_what_it_has(kind).await;
}

async fn a_credential_is_found_by_its_secret_alone_and_kept_as_a_digest(db: &Fresh) {
    let token = db.create(Scope::Ingest, 1).await;
    let key = db.create(Scope::Read, 2).await;
    let found = db.shared.find(token.issue.secret.reveal(), now()).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.scope, found.partner), ("token-1", Scope::Ingest, None));
    assert_eq!((found.label.as_str(), found.created_s), ("it's \"ours\"", now().unix_s()));
    let found = db.shared.find(key.issue.secret.reveal(), now()).await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.scope, found.partner.as_deref()), ("key-2", Scope::Read, Some("rector")));
    for wrong in ["", "bct_", "token-1", token.issue.secret.reveal().trim_start_matches('b')] {
        assert!(db.shared.find(wrong, later(5_000)).await.unwrap().is_none(), "{wrong}");
    }
    let listed = db.shared.list().await.unwrap();
    let shown = format!("{listed:?} {:?}", db.shared.audit(10).await.unwrap());
    assert!(!shown.contains(token.issue.secret.reveal().trim_start_matches("bct_")), "{shown}");
    assert_eq!(db.audited().await, ["token.create token-1", "key.create key-2"]);
    let entry = &db.shared.audit(1).await.unwrap()[0];
    assert_eq!((entry.actor.as_str(), entry.at_s), ("cli:ops'", now().unix_s()));
    assert_eq!(entry.details["label"], "it's \"ours\"");
    // One name or one secret, once.
    assert!(db.shared.create(&token, &change()).await.is_err());
    assert_eq!(db.audited().await.len(), 2);
}

async fn a_new_one_is_believed_at_once_and_a_revoked_one_soon_no_more(db: &Fresh) {
    let other = db.another();
    assert!(other.find("nobody's", now()).await.unwrap().is_none());
    let token = db.create(Scope::Ingest, 1).await;
    let secret = token.issue.secret.reveal();
    assert!(other.find(secret, later(1_000)).await.unwrap().is_some(), "asked again for what is not known");
    assert!(db.shared.revoke(Kind::Token, "token-1", &change()).await.unwrap());
    assert!(other.find(secret, later(10_999)).await.unwrap().is_some(), "what is known is believed for a while");
    assert!(other.find(secret, later(11_000)).await.unwrap().is_none());
    // Expiry needs no database.
    let token = db.create(Scope::Ingest, 2).await;
    let secret = token.issue.secret.reveal();
    assert!(other.find(secret, later(999_999)).await.unwrap().is_some());
    assert!(other.find(secret, later(1_000_000)).await.unwrap().is_none());
}

async fn a_rotated_one_holds_beside_the_new_one_for_the_overlap(db: &Fresh) {
    let old = db.create(Scope::Operate, 1).await;
    let new = issue(Kind::Key, 2);
    assert!(db.shared.rotate(Kind::Key, "key-1", later(60_000), &new, &change()).await.unwrap());
    for (ms, old_holds) in [(59_999, true), (60_000, false)] {
        let found = db.shared.find(old.issue.secret.reveal(), later(ms)).await.unwrap();
        assert_eq!(found.is_some(), old_holds, "{ms}");
        let found = db.shared.find(new.secret.reveal(), later(ms)).await.unwrap().unwrap();
        assert_eq!(
            (found.scope, found.partner.as_deref(), found.tenant.as_str()),
            (Scope::Operate, Some("rector"), "bytec")
        );
    }
    assert_eq!(db.shared.list().await.unwrap()[0].0.replaced_by.as_deref(), Some("key-2"));
    assert_eq!(db.audited().await, ["key.create key-1", "key.rotate key-1"]);
    // Of two that rotate one, the second does not.
    assert!(!db.shared.rotate(Kind::Key, "key-1", later(60_000), &issue(Kind::Key, 4), &change()).await.unwrap());
    assert_eq!((db.audited().await.len(), db.shared.list().await.unwrap().len()), (2, 2));
    // An overlap does not make the old one last longer than it would have.
    assert!(db.shared.rotate(Kind::Key, "key-2", later(DAY_MS * 400), &issue(Kind::Key, 3), &change()).await.unwrap());
    assert_eq!(db.shared.list().await.unwrap()[1].0.expires_s, later(1_000_000).unix_s());
}

async fn what_is_over_or_of_the_other_kind_is_not_changed(db: &Fresh) {
    db.create(Scope::Ingest, 1).await;
    let before = db.audited().await;
    assert!(!db.shared.revoke(Kind::Key, "token-1", &change()).await.unwrap());
    assert!(!db.shared.revoke(Kind::Token, "token-9", &change()).await.unwrap());
    assert!(!db.shared.rotate(Kind::Key, "token-1", later(1), &issue(Kind::Key, 2), &change()).await.unwrap());
    assert_eq!((db.audited().await, db.shared.list().await.unwrap().len()), (before, 1));
    assert!(db.shared.revoke(Kind::Token, "token-1", &change()).await.unwrap());
    let before = db.audited().await;
    assert!(!db.shared.revoke(Kind::Token, "token-1", &change()).await.unwrap());
    assert!(!db.shared.rotate(Kind::Token, "token-1", later(1), &issue(Kind::Token, 2), &change()).await.unwrap());
    assert_eq!((db.audited().await, db.shared.list().await.unwrap().len()), (before, 1));
}

async fn when_one_was_used_is_noted(db: &Fresh) {
    let token = db.create(Scope::Ingest, 1).await;
    let other = db.another();
    assert!(other.find(token.issue.secret.reveal(), later(2_000)).await.unwrap().is_some());
    other.note_use(later(3_000)).await;
    assert_eq!(db.shared.list().await.unwrap()[0].0.last_used_s, Some(later(2_000).unix_s()));
}

async fn a_partners_file_is_noted_when_it_differs(db: &Fresh) {
    let mut partners = partners();
    let count = partners.len();
    db.shared.sync(&partners, &change()).await.unwrap();
    assert_eq!(db.audited().await.len(), count);
    db.shared.sync(&partners, &change()).await.unwrap();
    assert_eq!(db.audited().await.len(), count, "nothing differs");
    partners[0].max_daily_requests += 1;
    db.shared.sync(&partners, &change()).await.unwrap();
    assert_eq!(db.audited().await[count..], [format!("partner.sync {}", partners[0].code)]);
    let entry = &db.shared.audit(1).await.unwrap()[0];
    assert_eq!(entry.details["file"]["max_daily_requests"], partners[0].max_daily_requests);
}

async fn the_audit_log_keeps_what_it_has(kind: &str) {
    let db = fresh(kind).await;
    db.create(Scope::Ingest, 1).await;
    let replace = "insert or replace into audit_log select audit_id, 'x', at, 'forged', 'x', 'x', '{}' from audit_log";
    for sql in ["delete from audit_log", "update audit_log set actor = 'nobody'", "truncate audit_log", replace] {
        if sql.starts_with(if kind == "postgres" { "insert" } else { "truncate" }) {
            continue;
        }
        {
            let problem = refused(&db.place, sql).await;
            assert!(problem.contains("append-only"), "{sql}: {problem}");
        }
    }
    assert_eq!(db.audited().await, ["token.create token-1"]);
}

/// What the database says to a statement that it must refuse.
async fn refused(place: &Place, sql: &str) -> String {
    use sqlx::{AssertSqlSafe, ConnectOptions};
    let text = sql;
    let sql = AssertSqlSafe(sql.to_owned());
    match place {
        Place::D1(bridge) => bridge.refused(text).await,
        Place::Native(Location::Sqlite(path), _) => {
            let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap_err().to_string()
        }
        Place::Native(Location::Postgres(options), _) => {
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap_err().to_string()
        }
        Place::Native(Location::D1 { .. }, _) => unreachable!("not native"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_no_refusal() {
    let nowhere = Location::within("postgres://nobody@127.0.0.1:1/postgres", "bytec_db").unwrap();
    let shared = Shared::at(nowhere);
    assert!(shared.find("token", now()).await.is_err());
    assert!(shared.find("token", later(10)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_holds_while_the_database_is_away() {
    let db = fresh("postgres").await;
    let token = db.create(Scope::Ingest, 1).await;
    assert!(db.shared.find(token.issue.secret.reveal(), now()).await.unwrap().is_some());
    db.shared.close().await;
    for ms in [20_000, 30_000, 999_999] {
        assert!(db.shared.find(token.issue.secret.reveal(), later(ms)).await.unwrap().is_some());
        // It may have been made since.
        assert!(db.shared.find("another", later(ms)).await.is_err());
    }
    assert!(db.shared.find(token.issue.secret.reveal(), later(1_000_000)).await.is_err());
}

/// Whatever comes first, what is noted is what holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_and_a_revocation_at_once_leave_nothing_that_is_not_noted() {
    for kind in ["sqlite", "postgres", "d1"] {
        let db = fresh(kind).await;
        for number in 1..20 {
            let (old, new) = (db.create(Scope::Ingest, number).await, issue(Kind::Token, number + 100));
            let (rotating, revoking) = (change(), change());
            let (rotated, revoked) = futures_util::future::join(
                db.shared.rotate(Kind::Token, &old.issue.id, later(60_000), &new, &rotating),
                db.shared.revoke(Kind::Token, &old.issue.id, &revoking),
            )
            .await;
            assert!(revoked.unwrap());
            let holds = db.another().find(new.secret.reveal(), later(1)).await.unwrap().is_some();
            let noted = db.audited().await.contains(&format!("token.rotate {}", old.issue.id));
            assert_eq!((rotated.unwrap(), noted), (holds, holds), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_come_at_once_with_a_new_token_none_is_refused() {
    let db = std::sync::Arc::new(fresh("postgres").await);
    assert!(db.shared.find("nobody's", now()).await.unwrap().is_none());
    let token = db.create(Scope::Ingest, 1).await;
    let tasks = (0..64_i64).map(|number| {
        let (db, token) = (std::sync::Arc::clone(&db), token.clone());
        tokio::spawn(async move { db.shared.find(token.issue.secret.reveal(), later(1_000 + number % 3)).await })
    });
    for found in futures_util::future::join_all(tasks).await {
        assert!(found.unwrap().unwrap().is_some());
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn quote(date: &str, currency: &str, rate: &str) -> Quote {
    Quote { day: day(date), currency: currency.to_owned(), rate: rate.parse().unwrap() }
}

impl Fresh {
    /// The rates of a day, as `USD 1.1`.
    async fn rates_of(&self, date: &str) -> Vec<String> {
        let rates = self.shared.rates(day(date), day(date), day(date)).await.unwrap();
        let of_day = rates.last_day().map(|(_, rates)| rates.clone()).unwrap_or_default();
        of_day.iter().map(|(currency, rate)| format!("{currency} {rate}")).collect()
    }

    /// The entries about rates, as `action subject details`.
    async fn rates_noted(&self) -> Vec<String> {
        let entries = self.shared.audit(100).await.unwrap();
        let about_rates = entries.iter().filter(|entry| entry.action.starts_with("rates."));
        about_rates.map(|entry| format!("{} {} {}", entry.action, entry.subject, entry.details)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_are_set_and_deleted_and_noted_as_they_were() {
    for kind in ["sqlite", "postgres", "d1"] {
        let db = fresh(kind).await;
        let details = serde_json::json!({"conversions": {"rector": 2}});
        let quotes =
            [quote("2025-11-19", "USD", "1.1"), quote("2025-11-20", "USD", "11"), quote("2025-11-20", "MYR", "4.9")];
        assert_eq!(db.shared.import_rates(&quotes, 1, &change()).await.unwrap(), 3);
        let right = quote("2025-11-20", "USD", "1.12");
        assert!(db.shared.set_rate(&right, &details, &change()).await.unwrap());
        assert!(!db.shared.set_rate(&right, &details, &change()).await.unwrap(), "{kind}: it is that already");
        assert!(db.shared.set_rate(&quote("2025-11-18", "SEK", "11"), &details, &change()).await.unwrap());
        assert_eq!(db.rates_of("2025-11-20").await, ["MYR 4.9", "USD 1.12"], "{kind}");
        assert!(db.shared.delete_rates(day("2025-11-20"), Some("MYR"), &details, &change()).await.unwrap());
        assert_eq!(db.rates_of("2025-11-20").await, ["USD 1.12"], "{kind}");
        assert!(!db.shared.delete_rates(day("2025-11-20"), Some("MYR"), &details, &change()).await.unwrap());
        db.shared.set_rate(&quote("2025-11-20", "JPY", "180"), &details, &change()).await.unwrap();
        assert!(db.shared.delete_rates(day("2025-11-20"), None, &details, &change()).await.unwrap());
        assert!(!db.shared.delete_rates(day("2025-11-20"), None, &details, &change()).await.unwrap());
        assert_eq!(
            [db.rates_of("2025-11-19").await, db.rates_of("2025-11-20").await],
            [vec!["USD 1.1"], vec![]],
            "{kind}"
        );
        let of = r#""conversions":{"rector":2}"#;
        assert_eq!(
            db.rates_noted().await,
            [
                r#"rates.import 2025-11-20 {"changed":3,"first":"2025-11-19","forced":1,"last":"2025-11-20","rates":3}"#.to_owned(),
                format!(r#"rates.set 2025-11-20 {{"after":"1.12","before":"11",{of},"currency":"USD"}}"#),
                format!(r#"rates.set 2025-11-18 {{"after":"11","before":null,{of},"currency":"SEK"}}"#),
                format!(r#"rates.delete 2025-11-20 {{"before":{{"MYR":"4.9"}},{of}}}"#),
                format!(r#"rates.set 2025-11-20 {{"after":"180","before":null,{of},"currency":"JPY"}}"#),
                format!(r#"rates.delete 2025-11-20 {{"before":{{"JPY":"180","USD":"1.12"}},{of}}}"#),
            ],
            "{kind}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_in_the_future_makes_no_rate_final() {
    for kind in ["sqlite", "postgres", "d1"] {
        let db = fresh(kind).await;
        let quotes =
            [quote("2025-11-20", "USD", "1.1"), quote("2030-01-01", "USD", "1.1"), quote("2025-11-22", "USD", "1.3")];
        db.shared.import_rates(&quotes, 0, &change()).await.unwrap();
        let rate = async |as_of: &str| {
            let rates = db.shared.rates(day("2025-11-14"), day("2025-11-21"), day(as_of)).await.unwrap();
            rates.between("EUR", "USD", day("2025-11-21")).map(|rate| (rate.date.to_string(), rate.is_final)).unwrap()
        };
        assert_eq!(rate("2025-11-21").await, ("2025-11-20".to_owned(), false), "{kind}");
        assert_eq!(rate("2025-11-22").await, ("2025-11-20".to_owned(), true), "{kind}");
        // Nor is a rate of such a day used itself.
        let rates = db.shared.rates(day("2029-12-30"), day("2030-01-02"), day("2029-12-31")).await.unwrap();
        assert_eq!(rates.between("EUR", "USD", day("2030-01-01")), None, "{kind}");
        // The last of the days that have come decides; without it they are open again.
        db.shared.delete_rates(day("2025-11-22"), None, &serde_json::json!({}), &change()).await.unwrap();
        assert_eq!(rate("2025-11-22").await, ("2025-11-20".to_owned(), false), "{kind}");
        // A day in the future is found, and goes.
        assert_eq!(db.rates_of("2030-01-01").await, ["USD 1.1"], "{kind}");
        assert!(db.shared.delete_rates(day("2030-01-01"), None, &serde_json::json!({}), &change()).await.unwrap());
        assert_eq!(db.rates_of("2030-01-01").await, [""; 0], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_rates_are_read_as_far_as_they_are_compared_with() {
    for kind in ["sqlite", "postgres", "d1"] {
        let db = fresh(kind).await;
        let days = ["2015-12-22", "2015-12-23", "2019-06-01", "2025-11-14", "2025-11-15", "2025-11-16"];
        let quotes: Vec<_> = days.iter().map(|date| quote(date, "USD", "1.1")).collect();
        db.shared.import_rates(&quotes, 0, &change()).await.unwrap();
        let near = async |first: &str, last: &str, as_of: &str| {
            let near = db.shared.rates_near(day(first), day(last), day(as_of)).await.unwrap();
            near.get("USD").map(|days| days.keys().map(ToString::to_string).collect::<Vec<_>>()).unwrap_or_default()
        };
        // Ten days around, over more days than are read at once.
        assert_eq!(
            near("2016-01-02", "2025-11-05", "2025-11-30").await,
            ["2015-12-23", "2019-06-01", "2025-11-14", "2025-11-15"],
            "{kind}"
        );
        assert_eq!(
            near("2025-11-10", "2025-11-10", "2025-11-14").await,
            ["2025-11-14"],
            "{kind}: no day in the future"
        );
    }
}

/// For D1, commands print SQL, which does what they would have done.
#[tokio::test(flavor = "multi_thread")]
async fn printed_sql_does_what_the_command_would() {
    let db = fresh("d1").await;
    let Place::D1(bridge) = &db.place else { unreachable!("asked for D1") };
    let run = async |sql: String| {
        for statement in sql.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            drop(bridge.column(statement).await);
        }
    };
    let token = made(Scope::Ingest, 1);
    let new = issue(Kind::Token, 2);
    run(AsSql::for_d1().create(&token, &change())).await;
    assert!(db.shared.find(token.issue.secret.reveal(), now()).await.unwrap().is_some());
    run(AsSql::for_d1().rotate(Kind::Token, "token-1", later(60_000), &new, &change())).await;
    run(AsSql::for_d1().revoke(Kind::Token, "token-2", &change())).await;
    assert!(db.shared.find(token.issue.secret.reveal(), later(20_000)).await.unwrap().is_some());
    assert!(db.shared.find(new.secret.reveal(), later(20_000)).await.unwrap().is_none());
    assert_eq!(db.audited().await, ["token.create token-1", "token.rotate token-1", "token.revoke token-2"]);
    run(AsSql::for_d1().import_rates(
        &[quote("2025-11-20", "USD", "1.1"), quote("2025-11-20", "MYR", "4.9")],
        0,
        &change(),
    ))
    .await;
    run(AsSql::for_d1().set_rate(&quote("2025-11-20", "USD", "1.2"), &change())).await;
    assert_eq!(db.rates_of("2025-11-20").await, ["MYR 4.9", "USD 1.2"]);
    run(AsSql::for_d1().delete_rates(day("2025-11-20"), Some("USD"), &change())).await;
    assert_eq!(db.rates_of("2025-11-20").await, ["MYR 4.9"]);
    let noted = db.rates_noted().await;
    assert_eq!(noted[1], r#"rates.set 2025-11-20 {"after":"1.2","before":"1.1","by":"sql","currency":"USD"}"#);
    assert_eq!(noted[2], r#"rates.delete 2025-11-20 {"before":{"USD":"1.2"},"by":"sql"}"#);
}
