//! How postbacks and clicks enter a partner's database: the statements of the one transaction that [`super::Store`]
//! promises, the same for every kind of database.
//!
//! They are one atomic batch: no statement needs an answer of the one before, because a database that is far away (D1) has
//! no transaction that waits for us. What an earlier statement did a later one finds in the tables, by the name of the
//! receipt that did it. Each works on several postbacks at once, as long as these share no nonce, event or conversion
//! ([`waves`]).

use super::StoreError;
use super::record::{ClickBatch, Record, Recorded, RecordedClicks};
use super::statement::{Column, Dialect, Done, Statement, Step};
use postback::click::Click;
use postback::duplicate::{DuplicatePolicy, OnRepeat};
use postback::field::Field;
use postback::id::Nonce;
use postback::postback::Postback;
use postback::status::{Status, Transition};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::collections::{HashMap, HashSet};

/// The warning on a repeat of an event that later ones have superseded. It may be a late retry, or a conversion that
/// returned to an earlier state; the two look alike, so nothing is changed and reconciliation is told.
const SUPERSEDED: &str = "superseded_event";
/// The warning on a notice that was overtaken before it came: it is history, and the conversion stands as it stood.
const LATE_STATUS: &str = "late_status:status";
/// The warning on a further event of a known conversion where the partner's policy is that the first stands.
const IGNORED_REPEAT: &str = "ignored_repeat";

/// A postback on its way into the database.
#[derive(Clone, Debug)]
pub struct Entry {
    record: Record,
    /// What makes it one conversion with others (R48).
    conversion_key: String,
    content: String,
    fingerprint: String,
    warnings: String,
}

impl Entry {
    fn postback(&self) -> &Postback {
        &self.record.reading.postback
    }

    fn receipt_id(&self) -> &str {
        self.record.receipt_id.as_str()
    }
}

/// A signature's nonce, to be spent by a receipt.
struct Spending {
    nonce: Option<Nonce>,
    receipt_id: Nonce,
    now: Timestamp,
}

/// A click on its way into the database.
struct BatchedClick {
    click: Click,
    nonce: Nonce,
    receipt_id: Nonce,
    now: Timestamp,
}

/// The statements of one partner's database.
pub struct Ledger {
    policy: DuplicatePolicy,
    take_turns: Option<Step<Entry>>,
    spend_nonces: Step<Spending>,
    record: [Step<Entry>; 5],
    enter_clicks: Step<BatchedClick>,
}

impl Ledger {
    /// The statements for a kind of database and a partner's policy.
    pub fn new(dialect: Dialect, policy: DuplicatePolicy) -> Ledger {
        Ledger {
            policy,
            take_turns: take_turns(dialect),
            spend_nonces: spend_nonces(dialect),
            record: [
                enter_event(dialect),
                create_conversion(dialect, policy),
                revise_conversion(dialect, policy),
                note_revision(dialect, policy),
                write_down(dialect, policy),
            ],
            enter_clicks: enter_clicks(dialect),
        }
    }

    /// A record, made ready.
    pub fn entry(&self, record: Record) -> Entry {
        let postback = &record.reading.postback;
        let warnings = record.reading.warnings.iter().map(|warning| serde_json::Value::from(warning.to_string()));
        Entry {
            conversion_key: self.policy.conversion_key(postback),
            content: postback.to_json().to_string(),
            fingerprint: postback.fingerprint(),
            warnings: warnings.collect::<serde_json::Value>().to_string(),
            record,
        }
    }

    /// The statements that record the postbacks of one wave:
    ///
    /// (0) writers of one conversion take turns, where the database has several writers
    /// (1) the nonces are spent, except those that were; what came with one of these is a replay and goes no further
    /// (2) the events enter under their ids, except those that are known: duplicates, or conflicts
    /// (3) conversions begin, where they are new
    /// (4) the others are brought up to date, unless the notice was overtaken by a later decision
    /// (5) which event made which revision is noted
    /// (6) each request is written down with its verdict; this is answered
    pub fn statements(&self, wave: &[Entry]) -> Vec<Statement> {
        let spending = wave.iter().map(|Entry { record, .. }| Spending {
            nonce: record.receipt.nonce.clone(),
            receipt_id: record.receipt_id.clone(),
            now: record.now,
        });
        let spend_nonces = self.spend_nonces.over(&spending.collect::<Vec<_>>());
        let turns = self.take_turns.iter().map(|step| step.over(wave));
        turns.chain([spend_nonces]).chain(self.record.iter().map(|step| step.over(wave))).collect()
    }

    /// The statements that record a batch of clicks: the nonce is spent, and every click that is not known enters.
    pub fn click_statements(&self, batch: &ClickBatch) -> [Statement; 2] {
        let ClickBatch { clicks, nonce, receipt_id, now } = batch;
        let spending = Spending { nonce: Some(nonce.clone()), receipt_id: receipt_id.clone(), now: *now };
        let clicks = clicks.iter().map(|click| BatchedClick {
            click: click.clone(),
            nonce: nonce.clone(),
            receipt_id: receipt_id.clone(),
            now: *now,
        });
        [self.spend_nonces.over(&[spending]), self.enter_clicks.over(&clicks.collect::<Vec<_>>())]
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Parts entries into waves that one set of statements can record: in each, every nonce, event and conversion is there
/// once. What is about the same keeps its order.
pub fn waves(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    let mut waves = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut taken = HashSet::new();
        let (mut wave, mut later) = (Vec::new(), Vec::new());
        for entry in rest {
            let nonce = entry.record.receipt.nonce.as_ref().map(|nonce| ("nonce", nonce.to_string()));
            let event = ("event", entry.postback().event_id().to_string());
            let keys: Vec<_> = [event, ("conversion", entry.conversion_key.clone())].into_iter().chain(nonce).collect();
            let is_free = !keys.iter().any(|key| taken.contains(key));
            // Also of one that has to wait: nothing about the same may overtake it.
            taken.extend(keys);
            if is_free { wave.push(entry) } else { later.push(entry) }
        }
        waves.push(wave);
        rest = later;
    }
    waves
}

/// The receipts of entries, in their order.
pub fn receipts(entries: &[Entry]) -> Vec<Nonce> {
    entries.iter().map(|entry| entry.record.receipt_id.clone()).collect()
}

/// What became of the entries of these receipts, by what the statements of their waves answered.
///
/// # Errors
/// The database answered with a word that is no verdict.
pub fn recorded(receipts: &[Nonce], done: Vec<Done>) -> Result<Vec<Recorded>, StoreError> {
    let mut verdicts = HashMap::new();
    for (receipt_id, verdict) in done.into_iter().flat_map(|done| done.answers) {
        let verdict = Verdict::parse(&verdict);
        verdicts.insert(receipt_id, verdict.ok_or_else(|| StoreError::Bug("a verdict without a name".to_owned()))?);
    }
    // What was not written down is a replay.
    let of =
        |receipt: &Nonce| verdicts.get(receipt.as_str()).map_or(Recorded::Replayed, |verdict| Recorded::As(*verdict));
    Ok(receipts.iter().map(of).collect())
}

/// What became of a batch of clicks, by what its statements did.
pub fn recorded_clicks(batch: &ClickBatch, done: &[Done]) -> RecordedClicks {
    let changed = |index: usize| done.get(index).map_or(0, |done| done.changed);
    if changed(0) == 0 {
        return RecordedClicks::Replayed;
    }
    let stored = changed(1);
    let sent = u64::try_from(batch.clicks.len()).unwrap_or(u64::MAX);
    RecordedClicks::As { stored, known: sent.saturating_sub(stored) }
}

/// That a row's nonce is spent by the row's own receipt, or that it has none.
fn nonce_is_own(dialect: Dialect) -> String {
    format!(
        "(input.nonce is null or exists (select 1 from nonces
            where nonces.nonce = input.nonce and nonces.receipt_id = input.receipt_id{}))",
        dialect.by_key()
    )
}

/// That a row's event entered by the row's own receipt.
fn event_is_new(dialect: Dialect) -> String {
    format!(
        "exists (select 1 from events
            where events.event_id = input.event_id and events.receipt_id = input.receipt_id{})",
        dialect.by_key()
    )
}

/// That a conversion is the last one under a row's key: with a window, or where repeats are marked, there are several.
fn is_last(conversion: &str) -> String {
    format!(
        "{conversion}.conversion_key = input.conversion_key and {conversion}.occurrence =
            (select max(any_one.occurrence) from conversions as any_one where any_one.conversion_key = input.conversion_key)"
    )
}

/// PostgreSQL has many writers. Two that are about one conversion must not both decide by what they saw before, and groups
/// that share several conversions must not wait for each other: all take the locks in one order. SQLite and D1 have one
/// writer.
fn take_turns(dialect: Dialect) -> Option<Step<Entry>> {
    const COLUMNS: &[Column<Entry>] = &[Column::text("conversion_key", |entry| Some(entry.conversion_key.clone()))];
    match dialect {
        Dialect::Postgres => Some(Step::new(
            dialect,
            COLUMNS,
            "select pg_advisory_xact_lock(turn.key)
             from (select hashtextextended(input.conversion_key, 0) as key from input order by key) as turn",
        )),
        Dialect::Sqlite => None,
    }
}

fn spend_nonces(dialect: Dialect) -> Step<Spending> {
    const COLUMNS: &[Column<Spending>] = &[
        Column::text("nonce", |spending| spending.nonce.as_ref().map(Nonce::to_string)),
        Column::time("seen_at", |spending| Some(spending.now)),
        Column::text("receipt_id", |spending| Some(spending.receipt_id.to_string())),
    ];
    Step::new(
        dialect,
        COLUMNS,
        "insert into nonces (nonce, seen_at, receipt_id)
         select input.nonce, input.seen_at, input.receipt_id from input where input.nonce is not null order by input.nonce
         on conflict (nonce) do nothing",
    )
}

fn enter_event(dialect: Dialect) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        NONCE,
        EVENT_ID,
        Column::text("event", |entry| Some(entry.postback().event().name().to_owned())),
        CONVERSION_ID,
        FINGERPRINT,
        CONTENT,
        Column::json("words", words),
        RECEIVED_AT,
    ];
    const NAMES: [&str; 8] =
        ["event_id", "event", "conversion_id", "fingerprint", "content", "words", "received_at", "receipt_id"];
    // In one order: groups that share events must not wait for each other.
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into events ({}) select {} from input where {} order by input.event_id
             on conflict (event_id) do nothing",
            NAMES.join(", "),
            of("input", &NAMES),
            nonce_is_own(dialect),
        ),
    )
}

/// Begins a conversion where there is none under its key yet, or where the last one is another: out of the window, or
/// because repeats are conversions of their own.
fn create_conversion(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    let amounts = AMOUNTS.map(|name| dialect.amount(name));
    let amounts = amounts.each_ref().map(String::as_str);
    let names = [
        &["conversion_id", "event", "received_at", "created_at", "currency", "last_received_s"],
        &CARRIED[..],
        &amounts,
    ]
    .concat();
    let out_of_window = out_of_window(policy, "last");
    let is_repeat = format!("last.occurrence is not null and not {out_of_window}");
    let (is_new, is_duplicate) = match policy.repeat {
        OnRepeat::Revise | OnRepeat::Ignore => {
            (format!("(last.occurrence is null or {out_of_window})"), "false".to_owned())
        }
        OnRepeat::Flag => ("true".to_owned(), is_repeat),
    };
    Step::new(
        dialect,
        CONVERSION,
        &format!(
            "insert into conversions (conversion_key, occurrence, revision, is_duplicate, {})
             select input.conversion_key, coalesce(last.occurrence, 0) + 1, 1, {is_duplicate}, {}
             from input {} where {} and {is_new}",
            names.join(", "),
            of("input", &names),
            dialect.left_join_by_key("conversions", "last", &is_last("last")),
            event_is_new(dialect),
        ),
    )
}

/// That the last postback about a conversion is longer ago than the window, or longer to come: order is not promised.
fn out_of_window(policy: DuplicatePolicy, conversion: &str) -> String {
    match policy.window_s {
        Some(window_s) => format!("(abs(input.last_received_s - {conversion}.last_received_s) > {window_s})"),
        None => "false".to_owned(),
    }
}

/// Brings a conversion up to date by an event that did not begin it. What the notice says replaces, what it does not say
/// stays; a notice that was overtaken only adds what was not known.
fn revise_conversion(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    let last_received = "last_received_s = case when input.last_received_s > known.last_received_s
                                                then input.last_received_s else known.last_received_s end";
    let assignments = match policy.repeat {
        OnRepeat::Ignore | OnRepeat::Flag => last_received.to_owned(),
        OnRepeat::Revise => {
            let late = late();
            // A notice that names no event says nothing about which event is known.
            let keeps_event = format!("({late} or not input.names_event)");
            let carried = CARRIED.map(|name| {
                format!(
                    "{name} = case when {late} then coalesce(known.{name}, input.{name})
                              else coalesce(input.{name}, known.{name}) end"
                )
            });
            [
                "revision = known.revision + 1".to_owned(),
                format!("is_processed = case when {late} then known.is_processed else false end"),
                format!("event = case when {keeps_event} then known.event else input.event end"),
                carried.join(", "),
                money(dialect, &late, &keeps_event),
                last_received.to_owned(),
            ]
            .join(", ")
        }
    };
    Step::new(
        dialect,
        CONVERSION,
        &format!(
            "update conversions as known set {assignments} from input
             where {}{} and {} and known.event_id <> input.event_id",
            is_last("known"),
            dialect.among(CONVERSION, "known.conversion_key", "conversion_key"),
            event_is_new(dialect),
        ),
    )
}

/// The assignments of a conversion's amounts and their currency, where a notice does not create it.
///
/// A currency without an amount says nothing, and an amount of before is not carried over into another currency. A late
/// notice changes none of them; it brings amount and currency where none was known. Where the conversion stays a refund or
/// chargeback, an amount of a notice that names no event goes back, too (R49).
fn money(dialect: Dialect, late: &str, keeps_event: &str) -> String {
    let [sale_amount, payout, usd_sale_amount, usd_payout] = AMOUNTS.map(|name| dialect.amount(name));
    let sent = |name: &str| {
        format!(
            "(case when {keeps_event} and known.event in ('refund', 'chargeback')
                   then -abs(input.{name}) else input.{name} end)"
        )
    };
    let has_amount = format!("(input.{sale_amount} is not null or input.{payout} is not null)");
    let other_currency = format!("({has_amount} and input.currency <> known.currency)");
    let is_bare = format!("coalesce(known.{sale_amount}, known.{payout}) is null and known.currency is null");
    let local = |name: &str| {
        format!(
            "{name} = case when {late} and not ({is_bare}) then known.{name} when {other_currency} then {sent}
                      else coalesce({sent}, known.{name}) end",
            sent = sent(name)
        )
    };
    let dollars = |name: &str| {
        format!(
            "{name} = case when {late} then coalesce(known.{name}, {sent}) else coalesce({sent}, known.{name}) end",
            sent = sent(name)
        )
    };
    let currency = format!(
        "currency = case when {has_amount} and (not {late} or {is_bare}) then coalesce(input.currency, known.currency)
                         else known.currency end"
    );
    [local(&sale_amount), local(&payout), currency, dollars(&usd_sale_amount), dollars(&usd_payout)].join(", ")
}

/// Where a conversion stands already so that a notice came too late (R48), as a condition on both rows. In the statement
/// itself, because two notices at once must not both believe what they read before.
fn late() -> String {
    let pairs = Status::ALL.into_iter().flat_map(|known| Status::ALL.into_iter().map(move |notice| (known, notice)));
    let late = pairs.filter(|(known, notice)| Status::transition(Some(*known), Some(*notice)) == Transition::Late);
    let late: Vec<_> = late.map(|(known, notice)| format!("('{known}', '{notice}')")).collect();
    // Where either is not known, the comparison is null, and `coalesce` makes it the answer no.
    format!("coalesce((known.status, input.status) in (values {}), false)", late.join(", "))
}

/// Notes which event made which revision: the first, and each further one, late ones too. An event that was ignored made
/// none.
fn note_revision(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[RECEIPT_ID, EVENT_ID, CONVERSION_KEY, RECEIVED_AT];
    let made_one = match policy.repeat {
        OnRepeat::Revise => "known.revision is not null",
        OnRepeat::Ignore | OnRepeat::Flag => "known.event_id = input.event_id",
    };
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into revisions (conversion_key, occurrence, revision, event_id, received_at)
             select known.conversion_key, known.occurrence, known.revision, input.event_id, input.received_at
             from input {} where {} and {made_one}",
            dialect.left_join_by_key("conversions", "known", &is_last("known")),
            event_is_new(dialect),
        ),
    )
}

/// Writes each request down, with a verdict that follows from what the statements before have done.
fn write_down(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        NONCE,
        EVENT_ID,
        CONVERSION_KEY,
        FINGERPRINT,
        CONTENT,
        RECEIVED_AT,
        Column::text("request_id", |entry| Some(entry.record.receipt.request_id.clone())),
        Column::text("auth_mode", |entry| Some(entry.record.receipt.auth_mode.clone())),
        Column::text("key_id", |entry| entry.record.receipt.key_id.clone()),
        Column::text("client_ip", |entry| entry.record.receipt.client_ip.clone()),
        Column::text("method", |entry| Some(entry.record.receipt.method.clone())),
        Column::text("target", |entry| Some(entry.record.receipt.target.clone())),
        Column::json("headers", |entry| entry.record.receipt.headers.to_string()),
        Column::text("content_type", |entry| entry.record.receipt.content_type.clone()),
        Column::text("body", |entry| entry.record.receipt.body.clone()),
        Column::json("ignored", |entry| serde_json::Value::from(entry.record.reading.ignored.clone()).to_string()),
        Column::json("warnings", |entry| entry.warnings.clone()),
    ];
    const NAMES: [&str; 14] = [
        "receipt_id",
        "event_id",
        "request_id",
        "received_at",
        "auth_mode",
        "key_id",
        "client_ip",
        "method",
        "target",
        "headers",
        "content_type",
        "body",
        "content",
        "ignored",
    ];
    let (repeat, notes) = match policy.repeat {
        OnRepeat::Revise => (
            Verdict::Revised,
            vec![
                ("seen.is_new and not seen.made_first and not seen.is_current".to_owned(), LATE_STATUS),
                ("not seen.is_new and seen.is_same and not seen.is_current".to_owned(), SUPERSEDED),
            ],
        ),
        OnRepeat::Ignore => {
            (Verdict::Duplicate, vec![("seen.is_new and not seen.made_first".to_owned(), IGNORED_REPEAT)])
        }
        OnRepeat::Flag => (Verdict::Created, Vec::new()),
    };
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", seen as (
                select input.*, events.receipt_id = input.receipt_id as is_new,
                    events.fingerprint = input.fingerprint as is_same,
                    exists (select 1 from revisions where revisions.conversion_key = input.conversion_key
                            and revisions.event_id = input.event_id and revisions.revision = 1{by_key}) as made_first,
                    exists (select 1 from conversions where conversions.conversion_key = input.conversion_key
                            and conversions.event_id = input.event_id{by_key}) as is_current
                from input {} where {} and events.event_id is not null)
             insert into postbacks ({}, verdict, warnings)
             select {}, case when seen.is_new then case when seen.made_first then '{}' else '{repeat}' end
                             when seen.is_same then '{}' else '{}' end, {}
             from seen where true returning receipt_id, verdict",
            dialect.left_join_by_key("events", "events", "events.event_id = input.event_id"),
            nonce_is_own(dialect),
            NAMES.join(", "),
            of("seen", &NAMES),
            Verdict::Created,
            Verdict::Duplicate,
            Verdict::Conflict,
            dialect.with_note("seen.warnings", &notes),
            by_key = dialect.by_key(),
        ),
    )
    .answering()
}

fn enter_clicks(dialect: Dialect) -> Step<BatchedClick> {
    const COLUMNS: &[Column<BatchedClick>] = &[
        Column::text("click_id", |batched| Some(batched.click.click_id.to_string())),
        Column::text("offer", |batched| Some(batched.click.offer.clone())),
        Column::time("clicked_at", |batched| Some(batched.click.clicked_at)),
        Column::text("sub_id", |batched| batched.click.sub_id.clone()),
        Column::text("media_id", |batched| batched.click.media_id.clone()),
        Column::text("geo", |batched| batched.click.geo.clone()),
        Column::text("device", |batched| batched.click.device.clone()),
        Column::text("referrer", |batched| batched.click.referrer.clone()),
        Column::text("consent_version", |batched| batched.click.consent_version.clone()),
        Column::json("utm", utm),
        Column::time("received_at", |batched| Some(batched.now)),
        Column::text("nonce", |batched| Some(batched.nonce.to_string())),
        Column::text("receipt_id", |batched| Some(batched.receipt_id.to_string())),
    ];
    const NAMES: [&str; 11] = [
        "click_id",
        "offer",
        "clicked_at",
        "sub_id",
        "media_id",
        "geo",
        "device",
        "referrer",
        "consent_version",
        "utm",
        "received_at",
    ];
    // In one order: two batches that hold the same clicks would otherwise wait for each other.
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into clicks ({}) select {} from input where {} order by input.click_id
             on conflict (click_id) do nothing",
            NAMES.join(", "),
            of("input", &NAMES),
            nonce_is_own(dialect),
        ),
    )
}

/// The columns of a table, as in `input.a, input.b`.
fn of(table: &str, names: &[&str]) -> String {
    names.iter().map(|name| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}

const RECEIPT_ID: Column<Entry> = Column::text("receipt_id", |entry| Some(entry.receipt_id().to_owned()));
const NONCE: Column<Entry> = Column::text("nonce", |entry| entry.record.receipt.nonce.as_ref().map(Nonce::to_string));
const EVENT_ID: Column<Entry> = Column::text("event_id", |entry| Some(entry.postback().event_id().to_string()));
const CONVERSION_ID: Column<Entry> =
    Column::text("conversion_id", |entry| Some(entry.postback().conversion_id().into_owned()));
const CONVERSION_KEY: Column<Entry> = Column::text("conversion_key", |entry| Some(entry.conversion_key.clone()));
const FINGERPRINT: Column<Entry> = Column::text("fingerprint", |entry| Some(entry.fingerprint.clone()));
const CONTENT: Column<Entry> = Column::json("content", |entry| entry.content.clone());
const RECEIVED_AT: Column<Entry> = Column::time("received_at", |entry| Some(entry.record.receipt.received_at));

/// What a postback says of its conversion.
const CONVERSION: &[Column<Entry>] = &[
    RECEIPT_ID,
    EVENT_ID,
    CONVERSION_KEY,
    CONVERSION_ID,
    RECEIVED_AT,
    Column::text("event", |entry| Some(entry.postback().event().name().to_owned())),
    Column::flag("names_event", |entry| Some(entry.record.reading.names_event)),
    Column::text("click_id", |entry| entry.postback().text(Field::ClickId)),
    Column::text("order_id", |entry| entry.postback().text(Field::OrderId)),
    Column::text("media_id", |entry| entry.postback().text(Field::MediaId)),
    Column::text("sub_id", |entry| entry.postback().text(Field::SubId)),
    Column::text("offer_id", |entry| entry.postback().text(Field::OfferId)),
    Column::text("offer_name", |entry| entry.postback().text(Field::OfferName)),
    Column::text("account_id", |entry| entry.postback().text(Field::AccountId)),
    Column::text("status", |entry| entry.postback().text(Field::Status)),
    Column::time("ts_event", |entry| entry.postback().time(Field::TsEvent)),
    Column::time("conversion_datetime", |entry| entry.postback().time(Field::ConversionDatetime)),
    Column::amount("sale_amount", |entry| entry.postback().amount(Field::SaleAmount)),
    Column::amount("payout", |entry| entry.postback().amount(Field::Payout)),
    Column::text("currency", |entry| entry.postback().text(Field::Currency)),
    Column::amount("usd_sale_amount", |entry| entry.postback().amount(Field::UsdSaleAmount)),
    Column::amount("usd_payout", |entry| entry.postback().amount(Field::UsdPayout)),
    Column::flag("is_ftd", |entry| entry.postback().flag(Field::IsFtd)),
    Column::time("created_at", |entry| Some(entry.record.now)),
    Column::time("updated_at", |entry| Some(entry.record.now)),
    Column::number("last_received_s", |entry| entry.record.receipt.received_at.unix_s()),
];

/// Columns of a conversion that a further notice replaces where it has a value.
const CARRIED: [&str; 13] = [
    "event_id",
    "click_id",
    "order_id",
    "media_id",
    "sub_id",
    "offer_id",
    "offer_name",
    "account_id",
    "status",
    "ts_event",
    "conversion_datetime",
    "is_ftd",
    "updated_at",
];

/// A conversion's amounts.
const AMOUNTS: [&str; 4] = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"];

/// The sender's own words, by canonical field.
fn words(entry: &Entry) -> String {
    let words = entry.record.reading.words.iter().map(|(field, word)| (field.name(), word.as_str()));
    words.collect::<serde_json::Value>().to_string()
}

/// The parameters `utm_*`.
fn utm(batched: &BatchedClick) -> String {
    let utm = batched.click.utm.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    utm.collect::<serde_json::Value>().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::params::Params;
    use postback::reading::Dialect as Names;
    use postback::zone::Zone;

    fn entry(number: u8, query: &str, nonce: u8) -> Entry {
        let registry = crate::config::registry().unwrap();
        let now = Timestamp::parse("2025-11-21T08:00:00Z", &Zone::utc()).unwrap();
        let params = Params::from_query(query).unwrap();
        let reading = registry.by_code("involve_asia").unwrap().read(&params, Names::Partner, now).unwrap();
        let receipt = super::super::Receipt {
            request_id: number.to_string(),
            received_at: now,
            auth_mode: "open".to_owned(),
            key_id: None,
            client_ip: None,
            method: "GET".to_owned(),
            target: "/".to_owned(),
            headers: serde_json::json!({}),
            content_type: None,
            body: None,
            nonce: (nonce > 0).then(|| Nonce::from_bytes([nonce; 16])),
        };
        let ledger = Ledger::new(Dialect::Sqlite, DuplicatePolicy::default());
        ledger.entry(Record { receipt_id: Nonce::from_bytes([number; 16]), reading, receipt, now })
    }

    #[test]
    fn a_wave_has_each_nonce_event_and_conversion_once_and_keeps_their_order() {
        let waves = waves(vec![
            entry(1, "conversion_id=a&rewars=1", 1),
            entry(2, "conversion_id=b&rewars=1", 2),
            entry(3, "conversion_id=a&rewars=2", 3),
            entry(4, "conversion_id=c&rewars=1", 2),
            entry(5, "conversion_id=a&rewars=3", 0),
            entry(6, "conversion_id=d&rewars=1&event_id=same", 0),
            // Waits for the one before, whose event it is, and so may not be overtaken by what shares its conversion.
            entry(7, "conversion_id=e&rewars=1&event_id=same", 0),
            entry(8, "conversion_id=e&rewars=2", 0),
        ]);
        let numbers =
            |wave: &Vec<Entry>| wave.iter().map(|entry| entry.record.receipt.request_id.clone()).collect::<String>();
        assert_eq!(waves.iter().map(numbers).collect::<Vec<_>>(), ["126", "347", "58"]);
    }
}
