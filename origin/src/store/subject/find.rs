//! Finding what is stored about an account.

use super::super::StoreError;
use super::super::statement::{Dialect, Done, Step, read_json};
use super::account::{BETWEEN_WORDS, BETWEEN_WORDS_ENCODED};
use super::rows::row;
use super::{ASKED, Account, Asked};
use postback::id::OWN_CONVERSION_PREFIX;
use postback::verdict::Verdict;
use serde_json::Value;
use std::collections::BTreeMap;

/// Rows that are looked at in one statement.
const PAGE_ROWS: usize = 2_000;

/// Rows that were found: by table and key, as JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    tables: BTreeMap<&'static str, BTreeMap<String, Value>>,
}

impl Found {
    /// The tables that have any, each with its rows by key.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, &BTreeMap<String, Value>)> {
        self.tables.iter().filter(|(_, rows)| !rows.is_empty()).map(|(table, rows)| (*table, rows))
    }

    /// How many rows were found in each table that has any.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.tables().map(|(table, rows)| (table, rows.len())).collect()
    }

    pub(super) fn keys(&self, table: &str) -> Vec<String> {
        self.tables.get(table).map(|rows| rows.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn add(&mut self, table: &'static str, done: Vec<Done>) -> Result<(), StoreError> {
        self.add_rows(table, done.into_iter().flat_map(|done| done.answers).collect())
    }

    pub(super) fn add_rows(&mut self, table: &'static str, rows: Vec<(String, String)>) -> Result<(), StoreError> {
        let known = self.tables.entry(table).or_default();
        for (key, answer) in rows {
            known.insert(key, read_json("a row", &answer)?);
        }
        Ok(())
    }
}

/// A page of a table that was looked at.
pub(super) struct Page {
    /// What was found on it.
    pub(super) rows: Vec<(String, String)>,
    /// The key of its last row; None: there are no more.
    pub(super) last: Option<String>,
    /// How many rows it has.
    pub(super) count: u64,
}

/// The row of an answer that tells of the page itself.
const MARK: &str = "";

pub(super) fn page(done: Vec<Done>) -> Result<Page, StoreError> {
    let (marks, rows): (Vec<_>, Vec<_>) =
        done.into_iter().flat_map(|done| done.answers).partition(|(key, _)| key == MARK);
    let (_, mark) = marks.first().ok_or_else(|| StoreError::Bug("a page without an end".to_owned()))?;
    let (count, last) = mark.split_once(' ').unwrap_or((mark, ""));
    let last = (!last.is_empty()).then(|| last.to_owned());
    Ok(Page { rows, last, count: count.parse().unwrap_or(0) })
}

/// What every statement about an account begins with: whose data is meant.
pub(super) const SUBJECT: &str = "subject as (select account_id, part, pseudonym, after_key, at from input limit 1)";

/// A column of it.
pub(super) fn of_subject(column: &str) -> String {
    format!("(select {column} from subject)")
}

/// The sets of rows that are about a person who is known by a column of the subject: `account_id` before, `pseudonym` after.
///
/// `own`: conversions that name the account. `clicked`: clicks that these name, or that are linked to it. `lone`: conversions of
/// such a click that name no account, where the click is no other account's. `named`: all these, and conversions that name no account and
/// have the id of one of them, such as the refund of a purchase, unless they go back of another account's. `alone`: what names no account
/// of these, and what goes back of one of them or names one of its events, whatever its own id. `told`: the events that made all
/// these, and others of their keys that made no conversion: the partner's policy ignored them. What came late has made none yet; until its
/// key is rebuilt, an event that was `seen` stands for all events of the key.
pub(super) fn sets(who: &str, seen: &str) -> String {
    let who = of_subject(who);
    let has_effect = "exists (select 1 from revisions
        where revisions.conversion_key = events.conversion_key and revisions.event_id = events.event_id)";
    let anothers_click_of_conversions = anothers_click("conversions", &who);
    // A sale that names no account is another's by its click or its id, unless it is the subject's by the same.
    let anothers_sale = format!(
        "(sale.account_id <> {who} or sale.account_id is null
            and not exists (select 1 from theirs where theirs.conversion_id = sale.conversion_id)
            and ({} or exists (select 1 from conversions as other
                where other.conversion_id = sale.conversion_id and other.account_id <> {who})))",
        anothers_click("sale", &who)
    );
    format!(
        "own as (select conversion_id, conversion_key, occurrence, click_id from conversions where account_id = {who}),
         clicked as (
            select click_id from own where click_id is not null
            union select click_id from links where kind = 'account' and linked_id = {who}),
         lone as (
            select conversion_id, conversion_key, occurrence from conversions
            where click_id in (select click_id from clicked) and account_id is null
                and not {anothers_click_of_conversions}),
         theirs as (
            select conversion_id, conversion_key, occurrence from own
            union select conversion_id, conversion_key, occurrence from lone),
         named as (
            select conversion_key, occurrence from theirs
            union select same.conversion_key, same.occurrence from theirs
                join conversions as same on same.conversion_id = theirs.conversion_id
            where same.account_id is null
                and not exists (select 1 from conversions as sale
                    where sale.conversion_key = same.refund_of and sale.occurrence = same.refund_of_occurrence
                        and {anothers_sale})
                and not exists (select 1 from events
                    join conversions as sale on sale.conversion_key = events.conversion_key
                    where events.event_id = same.original_event_id and {anothers_sale})),
         alone as (
            select known.conversion_key, known.occurrence from named
                join conversions as known on known.conversion_key = named.conversion_key
                    and known.occurrence = named.occurrence where known.account_id is null
            union select back.conversion_key, back.occurrence from named
                join conversions as back on back.refund_of = named.conversion_key
                    and back.refund_of_occurrence = named.occurrence where back.account_id is null
            union select back.conversion_key, back.occurrence from named
                join revisions on revisions.conversion_key = named.conversion_key and revisions.occurrence = named.occurrence
                join conversions as back on back.original_event_id = revisions.event_id where back.account_id is null),
         seen(event_id) as (
            {seen}
            union select events.event_id from events as late join rebuilds on rebuilds.conversion_key = late.conversion_key
                join events on events.conversion_key = late.conversion_key where late.event_id in ({seen})),
         told as (
            select revisions.event_id from revisions join own
                on own.conversion_key = revisions.conversion_key and own.occurrence = revisions.occurrence
            union select revisions.event_id from revisions join alone
                on alone.conversion_key = revisions.conversion_key and alone.occurrence = revisions.occurrence
            union select events.event_id from named join events on events.conversion_key = named.conversion_key
                where not {has_effect}
            union select events.event_id from alone join events on events.conversion_key = alone.conversion_key
                where not {has_effect}
            union select event_id from seen)"
    )
}

/// That a row's click is another account's as well.
fn anothers_click(table: &str, who: &str) -> String {
    format!(
        "(exists (select 1 from links
            where links.click_id = {table}.click_id and links.kind = 'account' and links.linked_id <> {who})
          or exists (select 1 from conversions as other
            where other.click_id = {table}.click_id and other.account_id <> {who}))"
    )
}

/// How statements come to the rows that no index finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// They were looked for before, and their keys are among the rows.
    Given,
    /// They are looked for by the statements themselves: for a database that no command reaches.
    Here,
}

impl Sought {
    /// The ids of events whose account is a column of the subject.
    pub(super) fn events(self, who: &str) -> String {
        match self {
            Sought::Given => GIVEN.to_owned(),
            Sought::Here => format!("select event_id from events where content ->> 'account_id' = {}", of_subject(who)),
        }
    }
}

/// The events that tell of the account.
pub(super) const TOLD: &str = "select event_id from told";
/// What was seen before, among the rows.
pub(super) const GIVEN: &str = "select id from input where id is not null";

/// That a row names no other account in its content.
pub(super) fn names_no_other(table: &str) -> String {
    let who = of_subject("account_id");
    format!("coalesce({table}.content ->> 'account_id', {who}) = {who}")
}

/// That a row names the account in its content.
pub(super) fn names_it(table: &str) -> String {
    format!("{table}.content ->> 'account_id' = {}", of_subject("account_id"))
}

/// The ids in what requests were before they were read again, and became.
pub(super) const IDS_OF_REREADS: [&str; 4] = ["before_event_id", "before_conversion_id", "event_id", "conversion_id"];

/// That one of them is the account, or made of it where a request had no id of a conversion. One that has it in it may be another's.
pub(super) fn reread_is_account(table: &str) -> String {
    let ids = IDS_OF_REREADS.map(|id| format!("{table}.{id}")).join(", ");
    let account = of_subject("account_id");
    format!("({account} in ({ids}) or '{OWN_CONVERSION_PREFIX}' || {account} in ({ids}))")
}

/// How often runs of what stands between words are halved to one.
const HALVINGS: usize = 4;

/// That a request as it was received tells of the account: the words of a needle stand in it.
pub(super) fn tells(dialect: Dialect, table: &str) -> String {
    let text = format!(
        "'&' || {table}.target || '&' || coalesce({table}.body, '') || '&' || cast({table}.headers as text) || '&'"
    );
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (small, is_in) = match dialect {
        // Letters of ASCII alone, whatever the database's language is.
        Dialect::Postgres => (format!("lower(({text}) collate \"C\")"), "strpos(told.words, input.needle)"),
        Dialect::Sqlite => (format!("lower({text})"), "instr(told.words, input.needle)"),
    };
    let decoded =
        BETWEEN_WORDS_ENCODED.iter().fold(small, |text, encoded| format!("replace({text}, {}, '&')", quoted(encoded)));
    let parted = match dialect {
        Dialect::Postgres => {
            let marks = "&".repeat(BETWEEN_WORDS.len());
            format!("translate({decoded}, {}, '{marks}')", quoted(BETWEEN_WORDS))
        }
        Dialect::Sqlite => BETWEEN_WORDS
            .chars()
            .filter(|char| *char != '&')
            .fold(decoded, |text, char| format!("replace({text}, char({}), '&')", u32::from(char))),
    };
    let words = (0..HALVINGS).fold(parted, |text, _| format!("replace({text}, '&&', '&')"));
    // Once for a row, and not for each needle: over a limit no database moves an expression.
    format!(
        "exists (select 1 from (select {words} as words limit 1) as told, input
            where input.needle is not null and {is_in} > 0)"
    )
}

/// The requests of the events that a statement selects, by their keys. What an event entered by came when it did, and what returned a
/// conversion to an earlier state came when its repeat did; the others have an index (`postbacks_repeated`).
pub(super) fn requests_of(events: &str) -> String {
    format!(
        "select postbacks.postback_id from events join postbacks
            on postbacks.received_at = events.received_at and postbacks.event_id = events.event_id
            where events.event_id in ({events})
         union select postbacks.postback_id from repeats join postbacks
            on postbacks.received_at = repeats.received_at and postbacks.event_id = repeats.event_id
            where repeats.event_id in ({events})
         union select postback_id from postbacks where event_id in ({events}) and verdict in ('{}', '{}')",
        Verdict::Duplicate,
        Verdict::Conflict,
    )
}

/// That a request that reached a verdict names the account, tells of it, or is of an event that does, where nothing is known beforehand.
pub(super) fn postbacks_of_person(dialect: Dialect) -> String {
    let of_events = format!("postback_id in ({}) and {}", requests_of(TOLD), names_no_other("postbacks"));
    format!("({} or {} or {of_events})", names_it("postbacks"), tells(dialect, "postbacks"))
}

/// The rejected requests that are about the person by the ids that they name, by their keys: the account, or, where they name no account,
/// a click, a conversion or an event of the person's. The sets are those of a column of the subject, `who`.
pub(super) fn rejections_of(who: &str) -> String {
    let account = of_subject("account_id");
    let anothers_click = anothers_click("rejections", &of_subject(who));
    format!(
        "select rejection_id from rejections where account_id = {account}
         union select rejection_id from rejections
            where click_id in (select click_id from clicked) and account_id is null and not {anothers_click}
         union select rejection_id from rejections
            where conversion_id in (select conversion_id from theirs) and account_id is null
         union select rejection_id from rejections where event_id in ({TOLD}) and account_id is null"
    )
}

/// Rejected requests that have reached a verdict since, of requests that a condition finds, by their keys.
pub(super) fn rejections_of_requests(condition: &str) -> String {
    format!(
        "select rejections.rejection_id from rejections where rejections.request_id in (
            select postbacks.request_id from postbacks where {condition})"
    )
}

/// Events that name the account.
pub(super) fn events(dialect: Dialect) -> Step<Asked> {
    scan(dialect, "events", "event_id", "text", &names_it("page"))
}

/// Requests that reached a verdict and name the account, or tell of it.
pub(super) fn postbacks(dialect: Dialect) -> Step<Asked> {
    let condition = format!("({} or {})", names_it("page"), tells(dialect, "page"));
    scan(dialect, "postbacks", "postback_id", "bigint", &condition)
}

/// Requests that could not be read and tell of the account.
pub(super) fn rejections(dialect: Dialect) -> Step<Asked> {
    scan(dialect, "rejections", "rejection_id", "bigint", &tells(dialect, "page"))
}

/// What requests were before they were read again, where an id was the account.
pub(super) fn rereads(dialect: Dialect) -> Step<Asked> {
    scan(dialect, "reread_requests", "reread_request_id", "bigint", &reread_is_account("page"))
}

/// Rejected requests that name the account or something of the person's.
pub(super) fn rejections_by_ids(dialect: Dialect) -> Step<Asked> {
    let statement = format!(
        ", {SUBJECT}, {} select cast(rejection_id as text) as id, {} as answer from rejections where rejection_id in ({})",
        sets("account_id", GIVEN),
        row(dialect, "rejections", "rejections"),
        rejections_of("account_id"),
    );
    Step::new(dialect, ASKED, &statement).answering()
}

/// Rejected requests that have reached a verdict since, by the requests that were found.
pub(super) fn rejections_of_postbacks(dialect: Dialect) -> Step<Asked> {
    let given = "postbacks.postback_id in (select cast(id as bigint) from input where id is not null)";
    let statement = format!(
        "select cast(rejection_id as text) as id, {} as answer from rejections where rejection_id in ({})",
        row(dialect, "rejections", "rejections"),
        rejections_of_requests(given),
    );
    Step::new(dialect, ASKED, &statement).answering()
}

/// Looks at the next rows of a table in the order of its key, which is of some type. The last answer tells how many there were and
/// where they end.
fn scan(dialect: Dialect, table: &str, key: &str, kind: &str, condition: &str) -> Step<Asked> {
    let statement = format!(
        ", {SUBJECT}, page as (
            select * from {table} where {key} > (select cast(after_key as {kind}) from subject)
            order by {key} limit {PAGE_ROWS})
         select cast({key} as text) as id, {} as answer from page where {condition}
         union all
         select '{MARK}' as id, cast(count(*) as text) || ' ' || coalesce(cast(max({key}) as text), '') as answer from page",
        row(dialect, table, "page"),
    );
    Step::new(dialect, ASKED, &statement).answering()
}

/// What an index finds, by table, once the events that name the account are known.
pub(super) fn by_key(dialect: Dialect, sought: Sought) -> [(&'static str, Step<Asked>); 5] {
    let sets = sets("account_id", &sought.events("account_id"));
    let select = |table: &str, key: &str, condition: &str| {
        let statement = format!(
            ", {SUBJECT}, {sets} select {key} as id, {} as answer from {table} where {condition}",
            row(dialect, table, table)
        );
        Step::new(dialect, ASKED, &statement).answering()
    };
    let key = "conversion_key || ' ' || cast(occurrence as text)";
    let conversions = "(conversion_key, occurrence) in (
        select conversion_key, occurrence from own union select conversion_key, occurrence from alone)";
    let links = format!(
        "click_id in (select click_id from clicked) and (kind = 'install' or linked_id = {})",
        of_subject("account_id")
    );
    let told = format!("event_id in ({TOLD}) and {}", names_no_other("events"));
    [
        ("events", select("events", "event_id", &told)),
        ("conversions", select("conversions", key, conversions)),
        ("links", select("links", "click_id || ' ' || kind || ' ' || linked_id", &links)),
        ("clicks", select("clicks", "click_id", "click_id in (select click_id from clicked)")),
        ("work_items", select("work_items", "event_id", &format!("event_id in ({TOLD})"))),
    ]
}

/// The statements that find all of it in a D1 database that no command reaches, as SQL.
pub fn finding_sql(account: &Account) -> String {
    let dialect = Dialect::Sqlite;
    let sets = sets("account_id", &Sought::Here.events("account_id"));
    let requests = |table: &str, key: &str, condition: &str| {
        let row = row(dialect, table, table);
        let statement =
            format!(", {SUBJECT}, {sets} select {key} as id, {row} as answer from {table} where {condition}");
        Step::new(dialect, ASKED, &statement)
    };
    let postbacks = postbacks_of_person(dialect);
    let by_ids = format!("rejection_id in ({})", rejections_of("account_id"));
    let recovered = format!("rejection_id in ({})", rejections_of_requests(&postbacks));
    let rejections = format!("({} or {by_ids} or {recovered})", tells(dialect, "rejections"));
    let found = by_key(dialect, Sought::Here).into_iter().map(|(_, step)| step).chain([
        requests("postbacks", "postback_id", &postbacks),
        requests("rejections", "rejection_id", &rejections),
        requests("reread_requests", "reread_request_id", &reread_is_account("reread_requests")),
    ]);
    let rows: Vec<_> = account.with_needles().collect();
    found.map(|step| format!("{};\n", step.over(&rows).as_sqlite())).collect()
}

/// Requests of the events that were found.
pub(super) fn postbacks_of_events(dialect: Dialect) -> Step<Asked> {
    let statement = format!(
        ", {SUBJECT} select cast(postback_id as text) as id, {} as answer from postbacks
         where postback_id in ({}) and {}",
        row(dialect, "postbacks", "postbacks"),
        requests_of(GIVEN),
        names_no_other("postbacks"),
    );
    Step::new(dialect, ASKED, &statement).answering()
}
