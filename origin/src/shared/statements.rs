//! The shared database's statements, the same for every kind of database. Each change is one atomic batch, as in
//! [`crate::store`]: what an earlier statement did a later one finds by the name of the change.

use super::audit::Change;
use super::credential::{Issue, Kind, Made};
use super::rates::Quote;
use crate::processing::Rates;
use crate::store::statement::{Column, Dialect, Statement, Step};
use chrono::NaiveDate;
use postback::partner::Partner;
use postback::time::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;

/// A credential as a change makes it.
struct Making {
    made: Made,
    change: Change,
}

/// What a change does to a credential that is there: it ends, or another one takes its place and it ends later.
struct Ending {
    kind: Kind,
    id: String,
    change: Change,
    replaced: Option<(Issue, Timestamp)>,
}

/// An entry for the audit log.
struct Noting {
    change: Change,
    action: String,
    subject: String,
    details: String,
}

/// A partner as its file has it.
struct Syncing {
    partner: Partner,
    change: Change,
}

/// When a credential was used.
struct Use {
    id: String,
    at: Timestamp,
}

/// A rate that is imported.
struct Importing {
    day: String,
    currency: String,
    rate: String,
    change: Change,
}

/// A question about rates: of the days from one to another, as far as they are not after a third, and until when later ones matter.
struct Days {
    first: String,
    last: String,
    as_of: String,
    awaited: String,
}

/// A rate that is set, and the entry for that.
struct Setting {
    importing: Importing,
    noting: Noting,
}

/// A day's rates that are deleted: of one currency, or of all.
struct Deleting {
    day: String,
    currency: Option<String>,
    noting: Noting,
}

/// A question about credentials or entries.
struct Question {
    text: String,
    number: i64,
    at: Timestamp,
}

/// The statements for one kind of database.
pub struct Statements {
    create: Step<Making>,
    end_later: Step<Ending>,
    replace: Step<Ending>,
    end_now: Step<Ending>,
    note_for_credential: Step<Noting>,
    note_for_partner: Step<Noting>,
    sync_tenants: Step<Syncing>,
    sync_partners: Step<Syncing>,
    note_use: Step<Use>,
    in_force: Step<Question>,
    all: Step<Question>,
    one: Step<Question>,
    last_entries: Step<Question>,
    import_rates: Step<Importing>,
    note_import: Step<Noting>,
    mark_rates: Step<Deleting>,
    note_deleted_rates: Step<Noting>,
    delete_rates: Step<Deleting>,
    note_set_rate: Step<Setting>,
    note_operation: Step<Noting>,
    rates: Step<Days>,
    last_import: Step<Question>,
    #[cfg(not(target_family = "wasm"))]
    partner_files: Step<Question>,
}

impl Statements {
    pub fn new(dialect: Dialect) -> Statements {
        Statements {
            create: create(dialect),
            replace: replace(dialect),
            end_later: end_later(dialect),
            end_now: end_now(dialect),
            note_for_credential: note(dialect, "credentials", "credential_id"),
            note_for_partner: note(dialect, "partners", "partner"),
            sync_tenants: sync_tenants(dialect),
            sync_partners: sync_partners(dialect),
            note_use: note_use(dialect),
            // A clock that is behind ours may still let in what has ended by ours, never the other way round.
            in_force: credentials(dialect, "credentials.revoked_at is null and credentials.expires_at > input.at"),
            all: credentials(dialect, "true"),
            one: credentials(dialect, "credentials.credential_id = input.text"),
            last_entries: last_entries(dialect),
            import_rates: import_rates(dialect),
            note_import: note_import(dialect),
            mark_rates: mark_rates(dialect),
            note_deleted_rates: note_deleted_rates(dialect),
            delete_rates: delete_rates(dialect),
            note_set_rate: note_set_rate(dialect),
            note_operation: note_operation(dialect),
            rates: rates(dialect),
            last_import: last_import(dialect),
            #[cfg(not(target_family = "wasm"))]
            partner_files: partner_files(dialect),
        }
    }

    /// Makes a credential.
    pub fn create(&self, made: &Made, change: &Change) -> Vec<Statement> {
        let Made { issue, tenant, partner, scope, label } = made;
        let expires_at = issue.expires_at.to_string();
        let details = json!({
            "tenant": tenant, "partner": partner, "scope": scope.name(), "label": label, "expires_at": expires_at,
        });
        let note = noting(change, scope.kind(), "create", &issue.id, &details);
        let making = Making { made: made.clone(), change: change.clone() };
        vec![self.create.over(&[making]), self.note_for_credential.over(&[note])]
    }

    /// Makes a credential in the place of another, which then ends at an instant, or before where it did.
    pub fn rotate(&self, kind: Kind, old_id: &str, until: Timestamp, issue: &Issue, change: &Change) -> Vec<Statement> {
        let details = json!({
            "replaced_by": issue.id, "until": until.to_string(), "expires_at": issue.expires_at.to_string(),
        });
        let note = noting(change, kind, "rotate", old_id, &details);
        let replaced = Some((issue.clone(), until));
        let ending = [Ending { kind, id: old_id.to_owned(), change: change.clone(), replaced }];
        vec![self.end_later.over(&ending), self.replace.over(&ending), self.note_for_credential.over(&[note])]
    }

    /// Ends a credential now.
    pub fn revoke(&self, kind: Kind, id: &str, change: &Change) -> Vec<Statement> {
        let ending = Ending { kind, id: id.to_owned(), change: change.clone(), replaced: None };
        let note = noting(change, kind, "revoke", id, &json!({}));
        vec![self.end_now.over(&[ending]), self.note_for_credential.over(&[note])]
    }

    /// Takes over what partner files say.
    pub fn sync(&self, partners: &[Partner], change: &Change) -> Vec<Statement> {
        let rows: Vec<_> =
            partners.iter().map(|partner| Syncing { partner: partner.clone(), change: change.clone() }).collect();
        let notes: Vec<_> = partners
            .iter()
            .map(|partner| Noting {
                change: change.clone(),
                action: "partner.sync".to_owned(),
                subject: partner.code.clone(),
                details: json!({"version": env!("CARGO_PKG_VERSION"), "file": file(partner)}).to_string(),
            })
            .collect();
        vec![self.sync_tenants.over(&rows), self.sync_partners.over(&rows), self.note_for_partner.over(&notes)]
    }

    /// What each partner's file said that was taken over last.
    #[cfg(not(target_family = "wasm"))]
    pub fn partner_files(&self) -> Statement {
        self.partner_files.over(&[Question { text: String::new(), number: 0, at: Timestamp::EPOCH }])
    }

    /// Notes when credentials were used.
    pub fn note_use(&self, used: BTreeMap<String, Timestamp>) -> Statement {
        self.note_use.over(&used.into_iter().map(|(id, at)| Use { id, at }).collect::<Vec<_>>())
    }

    /// The credentials in force.
    pub fn in_force(&self, now: Timestamp) -> Statement {
        self.in_force.over(&[Question { text: String::new(), number: 0, at: now }])
    }

    /// Every credential.
    pub fn all_credentials(&self) -> Statement {
        self.all.over(&[Question { text: String::new(), number: 0, at: Timestamp::EPOCH }])
    }

    /// The credential of an id.
    pub fn one_credential(&self, id: &str) -> Statement {
        self.one.over(&[Question { text: id.to_owned(), number: 0, at: Timestamp::EPOCH }])
    }

    /// Takes over rates: those that are new, and those that are not as they were; so many in a statement. The last statement writes the
    /// entry, which says how many these were, and how many of the file differed too much from the days around them (`forced`).
    pub fn import_rates(&self, quotes: &[Quote], forced: usize, at_once: usize, change: &Change) -> Vec<Statement> {
        let rows: Vec<_> = quotes.iter().map(|quote| importing(quote, change)).collect();
        let days = || quotes.iter().map(|quote| quote.day);
        let [first, last] = [days().min(), days().max()].map(|day| day.map(|day| day.to_string()));
        let note = Noting {
            change: change.clone(),
            action: "rates.import".to_owned(),
            subject: last.clone().unwrap_or_default(),
            details: json!({"rates": quotes.len(), "first": first, "last": last, "forced": forced}).to_string(),
        };
        let imports = rows.chunks(at_once.max(1)).map(|rows| self.import_rates.over(rows));
        imports.chain([self.note_import.over(&[note])]).collect()
    }

    /// Deletes the rates of a day, of one currency or of all: they are marked by the name of the change, noted as they were, and
    /// deleted. Where there are none, nothing is noted.
    pub fn delete_rates(
        &self,
        day: NaiveDate,
        currency: Option<&str>,
        details: &serde_json::Value,
        change: &Change,
    ) -> Vec<Statement> {
        let noting = || Noting {
            change: change.clone(),
            action: "rates.delete".to_owned(),
            subject: day.to_string(),
            details: details.to_string(),
        };
        let rows = [Deleting { day: day.to_string(), currency: currency.map(str::to_owned), noting: noting() }];
        vec![self.mark_rates.over(&rows), self.note_deleted_rates.over(&[noting()]), self.delete_rates.over(&rows)]
    }

    /// Sets a rate. The first statement writes the entry, with the rate as it was; where that is the same, nothing is noted and nothing
    /// changes.
    pub fn set_rate(&self, quote: &Quote, details: &serde_json::Value, change: &Change) -> Vec<Statement> {
        let noting = Noting {
            change: change.clone(),
            action: "rates.set".to_owned(),
            subject: quote.day.to_string(),
            details: details.to_string(),
        };
        let setting = Setting { importing: importing(quote, change), noting };
        vec![self.note_set_rate.over(&[setting]), self.import_rates.over(&[importing(quote, change)])]
    }

    /// Notes what an operator did that left no other trace here.
    pub fn note_operation(
        &self,
        action: &str,
        subject: &str,
        details: &serde_json::Value,
        change: &Change,
    ) -> Statement {
        self.note_operation.over(&[Noting {
            change: change.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            details: details.to_string(),
        }])
    }

    /// The rates of the days from one to another, and the last days of which there are some. Days after `as_of` are left out of all.
    pub fn rates(&self, first: NaiveDate, last: NaiveDate, as_of: NaiveDate) -> Statement {
        let awaited = Rates::last_day_awaited(last);
        self.rates.over(&[Days {
            first: first.to_string(),
            last: last.to_string(),
            as_of: as_of.to_string(),
            awaited: awaited.to_string(),
        }])
    }

    /// When rates were last imported, in Unix seconds.
    pub fn last_import(&self) -> Statement {
        self.last_import.over(&[Question { text: String::new(), number: 0, at: Timestamp::EPOCH }])
    }

    /// The last entries of the audit log.
    pub fn last_entries(&self, limit: u32) -> Statement {
        self.last_entries.over(&[Question { text: String::new(), number: limit.into(), at: Timestamp::EPOCH }])
    }
}

impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}

fn noting(change: &Change, kind: Kind, done: &str, subject: &str, details: &serde_json::Value) -> Noting {
    Noting {
        change: change.clone(),
        action: format!("{}.{done}", kind.name()),
        subject: subject.to_owned(),
        details: details.to_string(),
    }
}

pub(super) fn file(partner: &Partner) -> serde_json::Value {
    // A partner is made of texts, numbers and lists of them.
    serde_json::to_value(partner).unwrap_or_default()
}

fn create(dialect: Dialect) -> Step<Making> {
    const COLUMNS: &[Column<Making>] = &[
        Column::text("credential_id", |making| Some(making.made.issue.id.clone())),
        Column::text("tenant", |making| Some(making.made.tenant.clone())),
        Column::text("partner", |making| making.made.partner.clone()),
        Column::text("scope", |making| Some(making.made.scope.name().to_owned())),
        Column::text("label", |making| Some(making.made.label.clone())),
        Column::text("digest", |making| Some(making.made.issue.digest())),
        Column::time("created_at", |making| Some(making.change.at)),
        Column::time("expires_at", |making| Some(making.made.issue.expires_at)),
        Column::text("change_id", |making| Some(making.change.id.to_string())),
    ];
    let names = COLUMNS.iter().map(Column::name).collect::<Vec<_>>().join(", ");
    Step::new(dialect, COLUMNS, &format!("insert into credentials ({names}) select {names} from input where true"))
}

const ENDING: &[Column<Ending>] = &[
    Column::text("credential_id", |ending| Some(ending.id.clone())),
    Column::text("kind", |ending| Some(ending.kind.name().to_owned())),
    Column::time("at", |ending| Some(ending.change.at)),
    Column::text("change_id", |ending| Some(ending.change.id.to_string())),
    Column::text("new_id", |ending| ending.replaced.as_ref().map(|(issue, _)| issue.id.clone())),
    Column::text("digest", |ending| ending.replaced.as_ref().map(|(issue, _)| issue.digest())),
    Column::time("expires_at", |ending| ending.replaced.as_ref().map(|(issue, _)| issue.expires_at)),
    Column::time("until", |ending| ending.replaced.as_ref().map(|(_, until)| *until)),
];

/// That a credential is the one that is meant.
const IS_MEANT: &str = "known.credential_id = input.credential_id
    and (known.scope = 'ingest') = (input.kind = 'token') and known.revoked_at is null";

/// Ends a credential at an instant, where it is in force and none has taken its place. This comes first: whoever else changes it at
/// the same time waits, and then finds it changed.
fn end_later(dialect: Dialect) -> Step<Ending> {
    Step::new(
        dialect,
        ENDING,
        &format!(
            "update credentials as known set
                expires_at = case when input.until < known.expires_at then input.until else known.expires_at end,
                replaced_by = input.new_id, change_id = input.change_id
             from input where {IS_MEANT} and known.expires_at > input.at and known.replaced_by is null"
        ),
    )
}

/// Makes a credential as the one is that this change has ended.
fn replace(dialect: Dialect) -> Step<Ending> {
    Step::new(
        dialect,
        ENDING,
        "insert into credentials
            (credential_id, tenant, partner, scope, label, digest, created_at, expires_at, change_id)
         select input.new_id, known.tenant, known.partner, known.scope, known.label, input.digest, input.at,
            input.expires_at, input.change_id
         from input, credentials as known
         where known.credential_id = input.credential_id and known.change_id = input.change_id",
    )
}

fn end_now(dialect: Dialect) -> Step<Ending> {
    Step::new(
        dialect,
        ENDING,
        &format!(
            "update credentials as known set revoked_at = input.at, change_id = input.change_id
             from input where {IS_MEANT}"
        ),
    )
}

const NOTING: &[Column<Noting>] = &[
    Column::text("change_id", |noting| Some(noting.change.id.to_string())),
    Column::time("at", |noting| Some(noting.change.at)),
    Column::text("actor", |noting| Some(noting.change.actor.clone())),
    Column::text("action", |noting| Some(noting.action.clone())),
    Column::text("subject", |noting| Some(noting.subject.clone())),
    Column::json("details", |noting| noting.details.clone()),
];

/// Notes a change where something bears its name.
fn note(dialect: Dialect, table: &str, key: &str) -> Step<Noting> {
    Step::new(
        dialect,
        NOTING,
        &format!(
            "insert into audit_log (change_id, at, actor, action, subject, details)
             select change_id, at, actor, action, subject, details from input
             where exists (select 1 from {table} where {table}.{key} = input.subject
                           and {table}.change_id = input.change_id)"
        ),
    )
}

const SYNCING: &[Column<Syncing>] = &[
    Column::text("partner", |syncing| Some(syncing.partner.code.clone())),
    Column::text("tenant", |syncing| Some(syncing.partner.tenant.clone())),
    Column::text("name", |syncing| Some(syncing.partner.name.clone())),
    Column::text("endpoint", |syncing| Some(syncing.partner.endpoint.clone())),
    Column::text("database_name", |syncing| Some(syncing.partner.database.clone())),
    Column::flag("is_active", |syncing| Some(syncing.partner.is_active)),
    Column::flag("enable_logging", |syncing| Some(syncing.partner.enable_logging)),
    Column::number("max_daily_requests", |syncing| syncing.partner.max_daily_requests.into()),
    Column::number("data_retention_days", |syncing| syncing.partner.data_retention_days.into()),
    Column::json("file", |syncing| file(&syncing.partner).to_string()),
    Column::time("updated_at", |syncing| Some(syncing.change.at)),
    Column::text("change_id", |syncing| Some(syncing.change.id.to_string())),
];

fn sync_tenants(dialect: Dialect) -> Step<Syncing> {
    Step::new(
        dialect,
        SYNCING,
        "insert into tenants (tenant, created_at) select tenant, min(updated_at) from input where true group by tenant
         order by tenant on conflict (tenant) do nothing",
    )
}

fn sync_partners(dialect: Dialect) -> Step<Syncing> {
    let names: Vec<_> = SYNCING.iter().map(Column::name).collect();
    let assignments: Vec<_> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    Step::new(
        dialect,
        SYNCING,
        &format!(
            "insert into partners ({0}) select {0} from input where true order by partner
             on conflict (partner) do update set {1} where partners.file <> excluded.file",
            names.join(", "),
            assignments.join(", ")
        ),
    )
}

#[cfg(not(target_family = "wasm"))]
fn partner_files(dialect: Dialect) -> Step<Question> {
    let statement = "select partner as id, cast(file as text) as answer from input, partners order by partner";
    Step::new(dialect, QUESTION, statement).answering()
}

fn note_use(dialect: Dialect) -> Step<Use> {
    const COLUMNS: &[Column<Use>] =
        &[Column::text("credential_id", |used| Some(used.id.clone())), Column::time("used_at", |used| Some(used.at))];
    Step::new(
        dialect,
        COLUMNS,
        "update credentials as known set last_used_at = input.used_at from input
         where known.credential_id = input.credential_id
         and (known.last_used_at is null or known.last_used_at < input.used_at)",
    )
}

const QUESTION: &[Column<Question>] = &[
    Column::text("text", |question| Some(question.text.clone())),
    Column::number("number", |question| question.number),
    Column::time("at", |question| Some(question.at)),
];

/// Credentials for which a condition holds, the oldest first.
fn credentials(dialect: Dialect, condition: &str) -> Step<Question> {
    let at = |column: &str| dialect.unix_s(&format!("credentials.{column}"));
    let of = |column: &str| format!("credentials.{column}");
    let members = [
        ("tenant", of("tenant")),
        ("partner", of("partner")),
        ("scope", of("scope")),
        ("label", of("label")),
        ("digest", of("digest")),
        ("created_s", at("created_at")),
        ("expires_s", at("expires_at")),
        ("revoked_s", at("revoked_at")),
        ("last_used_s", at("last_used_at")),
        ("replaced_by", of("replaced_by")),
    ];
    let statement = format!(
        "select credentials.credential_id as id, {} as answer from input, credentials where {condition}
         order by credentials.created_at, credentials.credential_id",
        dialect.json_object(&members)
    );
    Step::new(dialect, QUESTION, &statement).answering()
}

fn last_entries(dialect: Dialect) -> Step<Question> {
    let details = match dialect {
        Dialect::Postgres => "last.details",
        Dialect::Sqlite => "json(last.details)",
    };
    let members = [
        ("audit_id", "last.audit_id".to_owned()),
        ("at_s", dialect.unix_s("last.at")),
        ("actor", "last.actor".to_owned()),
        ("action", "last.action".to_owned()),
        ("subject", "last.subject".to_owned()),
        ("details", details.to_owned()),
    ];
    let statement = format!(
        "select cast(last.audit_id as text) as id, {} as answer
         from (select * from audit_log order by audit_id desc limit (select number from input)) as last
         order by last.audit_id",
        dialect.json_object(&members)
    );
    Step::new(dialect, QUESTION, &statement).answering()
}

fn importing(quote: &Quote, change: &Change) -> Importing {
    Importing {
        day: quote.day.to_string(),
        currency: quote.currency.clone(),
        rate: quote.rate.to_string(),
        change: change.clone(),
    }
}

fn import_rates(dialect: Dialect) -> Step<Importing> {
    const COLUMNS: &[Column<Importing>] = &[
        Column::text("rate_date", |importing| Some(importing.day.clone())),
        Column::text("currency", |importing| Some(importing.currency.clone())),
        Column::text("rate", |importing| Some(importing.rate.clone())),
        Column::time("imported_at", |importing| Some(importing.change.at)),
        Column::text("change_id", |importing| Some(importing.change.id.to_string())),
    ];
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into rates (rate_date, currency, rate, imported_at, change_id)
             select {}, currency, {}, imported_at, change_id from input where true order by rate_date, currency
             on conflict (rate_date, currency) do update set rate = excluded.rate, imported_at = excluded.imported_at,
                change_id = excluded.change_id
             where rates.rate <> excluded.rate",
            dialect.date("rate_date"),
            dialect.decimal("rate"),
        ),
    )
}

/// Notes an import that changed anything, and how much.
fn note_import(dialect: Dialect) -> Step<Noting> {
    let changed = "(select count(*) from rates where rates.change_id = input.change_id)";
    let details = match dialect {
        Dialect::Postgres => format!("input.details || jsonb_build_object('changed', {changed})"),
        Dialect::Sqlite => format!("json_insert(input.details, '$.changed', {changed})"),
    };
    Step::new(
        dialect,
        NOTING,
        &format!(
            "insert into audit_log (change_id, at, actor, action, subject, details)
             select change_id, at, actor, action, subject, {details} from input where {changed} > 0"
        ),
    )
}

const DELETING: &[Column<Deleting>] = &[
    Column::text("rate_date", |deleting| Some(deleting.day.clone())),
    Column::text("currency", |deleting| deleting.currency.clone()),
    Column::text("change_id", |deleting| Some(deleting.noting.change.id.to_string())),
];

/// Marks the rates that are to be deleted: whoever changes them at the same time waits, and then finds them gone.
fn mark_rates(dialect: Dialect) -> Step<Deleting> {
    Step::new(
        dialect,
        DELETING,
        &format!(
            "update rates as known set change_id = input.change_id from input
             where known.rate_date = {} and (input.currency is null or known.currency = input.currency)",
            dialect.date("input.rate_date")
        ),
    )
}

/// Notes the rates that this change has marked, as they were.
fn note_deleted_rates(dialect: Dialect) -> Step<Noting> {
    let before = match dialect {
        Dialect::Postgres => {
            "input.details || jsonb_build_object('before',
            (select jsonb_object_agg(currency, rate::text) from rates where rates.change_id = input.change_id))"
        }
        Dialect::Sqlite => {
            "json_insert(input.details, '$.before',
            json((select json_group_object(currency, rate) from rates where rates.change_id = input.change_id)))"
        }
    };
    Step::new(
        dialect,
        NOTING,
        &format!(
            "insert into audit_log (change_id, at, actor, action, subject, details)
             select change_id, at, actor, action, subject, {before} from input
             where exists (select 1 from rates where rates.change_id = input.change_id)"
        ),
    )
}

/// Deletes the rates that this change has marked.
fn delete_rates(dialect: Dialect) -> Step<Deleting> {
    Step::new(dialect, DELETING, "delete from rates where change_id = (select change_id from input)")
}

/// Notes that a rate is set, and what it was, where it was another or none.
fn note_set_rate(dialect: Dialect) -> Step<Setting> {
    const COLUMNS: &[Column<Setting>] = &[
        Column::text("change_id", |setting| Some(setting.noting.change.id.to_string())),
        Column::time("at", |setting| Some(setting.noting.change.at)),
        Column::text("actor", |setting| Some(setting.noting.change.actor.clone())),
        Column::text("action", |setting| Some(setting.noting.action.clone())),
        Column::text("subject", |setting| Some(setting.noting.subject.clone())),
        Column::json("details", |setting| setting.noting.details.clone()),
        Column::text("currency", |setting| Some(setting.importing.currency.clone())),
        Column::text("rate", |setting| Some(setting.importing.rate.clone())),
    ];
    let details = match dialect {
        Dialect::Postgres => {
            "input.details || jsonb_build_object('currency', input.currency, 'before', known.rate::text, 'after', input.rate)"
        }
        Dialect::Sqlite => {
            "json_insert(input.details, '$.currency', input.currency, '$.before', known.rate, '$.after', input.rate)"
        }
    };
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into audit_log (change_id, at, actor, action, subject, details)
             select input.change_id, input.at, input.actor, input.action, input.subject, {details}
             from input left join rates as known
                on known.rate_date = {day} and known.currency = input.currency
             where known.rate is null or known.rate <> {rate}",
            day = dialect.date("input.subject"),
            rate = dialect.decimal("input.rate"),
        ),
    )
}

fn note_operation(dialect: Dialect) -> Step<Noting> {
    Step::new(
        dialect,
        NOTING,
        "insert into audit_log (change_id, at, actor, action, subject, details)
         select change_id, at, actor, action, subject, details from input",
    )
}

/// Each rate as its day and currency, and the rate; the last day of each currency, of those that can make these final; and the last day of
/// all.
fn rates(dialect: Dialect) -> Step<Days> {
    const COLUMNS: &[Column<Days>] = &[
        Column::text("first_day", |days| Some(days.first.clone())),
        Column::text("last_day", |days| Some(days.last.clone())),
        Column::text("as_of", |days| Some(days.as_of.clone())),
        Column::text("awaited_day", |days| Some(days.awaited.clone())),
    ];
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "select cast(rate_date as text) || ' ' || currency as id, cast(rate as text) as answer from rates, input
             where rate_date between {first} and {last} and rate_date <= {as_of}
             union all
             select cast(last_date as text), currency
             from (select max(rate_date) as last_date, currency from rates, input
                   where rate_date between {first} and {awaited} and rate_date <= {as_of} group by currency) as last_of_each
             union all
             select cast(last_date as text), ''
             from (select max(rate_date) as last_date from rates, input where rate_date <= {as_of}) as last
             where last_date is not null",
            first = dialect.date("input.first_day"),
            last = dialect.date("input.last_day"),
            as_of = dialect.date("input.as_of"),
            awaited = dialect.date("input.awaited_day"),
        ),
    )
    .answering()
}

fn last_import(dialect: Dialect) -> Step<Question> {
    Step::new(
        dialect,
        QUESTION,
        &format!(
            "select 'imported' as id, cast({} as text) as answer
             from (select max(imported_at) as imported_at from rates) as last where imported_at is not null",
            dialect.unix_s("imported_at")
        ),
    )
    .answering()
}
