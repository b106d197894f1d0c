//! How postbacks and clicks enter a partner's database: the steps of the one transaction that [`super::Store`] promises,
//! the same for every kind of database.

use super::statement::{Dialect, Row, Statement, Value};
use super::{Record, Recorded, RecordedClicks, StoreError};
use postback::click::Click;
use postback::field::Field;
use postback::id::Nonce;
use postback::postback::Postback;
use postback::status::{Status, Transition};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::sync::LazyLock;

/// The warning on a repeat of an event that later ones have superseded. It may be a late retry, or a conversion that
/// returned to an earlier state; the two look alike, so nothing is changed and reconciliation is told.
const SUPERSEDED: &str = "superseded_event";
/// The warning on a notice that was overtaken before it came: it is history, and the conversion stands as it stood.
const LATE_STATUS: &str = "late_status:status";

/// A transaction of one kind of database. Dropped without [`Transaction::commit`], it leaves no trace.
pub trait Transaction: Sized {
    /// How its statements are spelled.
    const DIALECT: Dialect;

    /// Runs a statement and counts the rows it wrote.
    async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError>;

    /// Runs a statement that answers one number.
    async fn number(&mut self, statement: Statement) -> Result<i32, StoreError>;

    /// Runs a statement that answers one text.
    async fn text(&mut self, statement: Statement) -> Result<String, StoreError>;

    /// Makes everything last.
    async fn commit(self) -> Result<(), StoreError>;

    /// Undoes everything, and says so when that fails.
    async fn roll_back(self) -> Result<(), StoreError>;
}

/// Records a postback: [`write`], and all of it is committed.
pub async fn record<T: Transaction>(mut transaction: T, record: &Record) -> Result<Recorded, StoreError> {
    let recorded = write(&mut transaction, record).await?;
    match recorded {
        Recorded::As(_) => transaction.commit().await?,
        Recorded::Replayed => transaction.roll_back().await?,
    }
    Ok(recorded)
}

/// Finds out what recording a postback would come to: [`write`], and all of it is undone.
pub async fn rehearse<T: Transaction>(mut transaction: T, record: &Record) -> Result<Recorded, StoreError> {
    let recorded = write(&mut transaction, record).await?;
    transaction.roll_back().await?;
    Ok(recorded)
}

/// Records a batch of clicks: the nonce is spent, every click that is not known enters, and all of it is committed.
pub async fn record_clicks<T: Transaction>(
    mut transaction: T,
    clicks: &[Click],
    nonce: &Nonce,
    now: Timestamp,
) -> Result<RecordedClicks, StoreError> {
    if !spend(&mut transaction, nonce, now).await? {
        transaction.roll_back().await?;
        return Ok(RecordedClicks::Replayed);
    }
    // In one order: two batches that hold the same clicks would otherwise wait for each other.
    let mut ordered: Vec<_> = clicks.iter().collect();
    ordered.sort_by(|a, b| a.click_id.cmp(&b.click_id));
    let rows = ordered.into_iter().map(|click| click_row(T::DIALECT, click, now));
    let stored = match Row::insert_each_once(rows, "click_id") {
        Some(statement) => transaction.execute(statement).await?,
        None => 0,
    };
    transaction.commit().await?;
    let sent = u64::try_from(clicks.len()).unwrap_or(u64::MAX);
    Ok(RecordedClicks::As { stored, known: sent.saturating_sub(stored) })
}

fn click_row(dialect: Dialect, click: &Click, now: Timestamp) -> Row<'static> {
    let utm = click.utm.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Row::of(dialect, "clicks")
        .with("click_id", click.click_id.as_str())
        .with("offer", click.offer.as_str())
        .with("clicked_at", click.clicked_at)
        .with("sub_id", click.sub_id.as_deref())
        .with("media_id", click.media_id.as_deref())
        .with("geo", click.geo.as_deref())
        .with("device", click.device.as_deref())
        .with("referrer", click.referrer.as_deref())
        .with("consent_version", click.consent_version.as_deref())
        .with("utm", Value::Json(utm.collect::<serde_json::Value>().to_string()))
        .with("received_at", now)
}

/// Spends a nonce. False where it was spent before.
async fn spend<T: Transaction>(transaction: &mut T, nonce: &Nonce, now: Timestamp) -> Result<bool, StoreError> {
    let row = Row::of(T::DIALECT, "nonces").with("nonce", nonce.as_str()).with("seen_at", now);
    Ok(transaction.execute(row.insert_once("nonce")).await? == 1)
}

/// Writes a postback:
///
/// (1) the nonce is spent ............ or the request is a replay and nothing is written
/// (2) the event enters under its id . or it is known: a duplicate, or a conflict
/// (3) the conversion is revised, unless the notice was overtaken by a later decision
/// (4) the request is written down with its verdict
async fn write<T: Transaction>(transaction: &mut T, record: &Record) -> Result<Recorded, StoreError> {
    let postback = &record.reading.postback;
    // (1)
    if let Some(nonce) = &record.receipt.nonce
        && !spend(transaction, nonce, record.now).await?
    {
        return Ok(Recorded::Replayed);
    }
    // (2)
    let content = Value::Json(postback.to_json().to_string());
    let is_new = transaction.execute(enter_event(T::DIALECT, record, content.clone())).await? == 1;
    let mut notes: Vec<String> = record.reading.warnings.iter().map(|warning| warning.to_string()).collect();
    let verdict = if is_new {
        // (3)
        let verdict = revise(transaction, record).await?;
        if verdict == Verdict::Revised && transaction.number(is_current(postback)).await? == 0 {
            notes.push(LATE_STATUS.to_owned());
        }
        verdict
    } else if transaction.text(known_fingerprint(postback)).await? != postback.fingerprint() {
        Verdict::Conflict
    } else {
        if transaction.number(is_current(postback)).await? == 0 {
            notes.push(SUPERSEDED.to_owned());
        }
        Verdict::Duplicate
    };
    // (4)
    transaction.execute(receipt(T::DIALECT, record, verdict, content, notes)).await?;
    Ok(Recorded::As(verdict))
}

fn enter_event(dialect: Dialect, record: &Record, content: Value) -> Statement {
    let postback = &record.reading.postback;
    Row::of(dialect, "events")
        .with("event_id", postback.event_id().as_str())
        .with("event", postback.event().name())
        .with("conversion_id", postback.conversion_id())
        .with("fingerprint", postback.fingerprint().as_str())
        .with("content", content)
        .with("words", Value::Json(words(record)))
        .with("received_at", record.receipt.received_at)
        .insert_once("event_id")
}

/// The assignments of a conversion's amounts and their currency, where a notice does not create it.
///
/// A currency without an amount says nothing, and an amount of before is not carried over into another currency. A late
/// notice changes none of them; it brings amount and currency where none was known. Where the conversion stays a refund or
/// chargeback, an amount of a notice that names no event goes back, too (R49).
fn money(dialect: Dialect, late: &str, keeps_event: &str) -> String {
    let column = |name: &str| dialect.amount_column(name);
    let (sale_amount, payout) = (column("sale_amount"), column("payout"));
    let sent = |name: &str| {
        format!(
            "(case when ({late} or {keeps_event}) and known.event in ('refund', 'chargeback')
                   then -abs(excluded.{name}) else excluded.{name} end)"
        )
    };
    let has_amount = format!("(excluded.{sale_amount} is not null or excluded.{payout} is not null)");
    let other_currency = format!("({has_amount} and excluded.currency <> known.currency)");
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
        "currency = case when {has_amount} and (not {late} or {is_bare}) then coalesce(excluded.currency, known.currency)
                         else known.currency end"
    );
    let (usd_sale_amount, usd_payout) = (column("usd_sale_amount"), column("usd_payout"));
    [local(&sale_amount), local(&payout), currency, dollars(&usd_sale_amount), dollars(&usd_payout)].join(", ")
}

/// The sender's own words, by canonical field.
fn words(record: &Record) -> String {
    let words = record.reading.words.iter().map(|(field, word)| (field.name(), word.as_str()));
    words.collect::<serde_json::Value>().to_string()
}

fn known_fingerprint(postback: &Postback) -> Statement {
    Statement {
        sql: "select fingerprint from events where event_id = $1".to_owned(),
        values: vec![postback.event_id().as_str().into()],
    }
}

/// Whether the conversion still stands as this event left it: 1 or 0.
fn is_current(postback: &Postback) -> Statement {
    Statement {
        sql: "select cast(count(*) as integer) from conversions where conversion_id = $1 and event_id = $2".to_owned(),
        values: vec![postback.conversion_id().into(), postback.event_id().as_str().into()],
    }
}

/// Creates the conversion or brings it up to date, and notes which event did.
async fn revise<T: Transaction>(transaction: &mut T, record: &Record) -> Result<Verdict, StoreError> {
    let postback = &record.reading.postback;
    let received_at = record.receipt.received_at;
    let text = |field: Field| Value::Text(postback.text(field));
    let late = LATE.as_str();
    let amounts = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"].map(|name| T::DIALECT.amount_column(name));
    let mut once = vec!["revision", "event", "received_at", "created_at", "currency"];
    once.extend(amounts.iter().map(String::as_str));
    // A notice that names no event says nothing about which event is known.
    let keeps_event = if record.reading.names_event { "false" } else { "true" };
    let conversion = Row::of(T::DIALECT, "conversions")
        .with("conversion_id", postback.conversion_id())
        .with("revision", Value::Number(1))
        .with("event_id", postback.event_id().as_str())
        .with("event", postback.event().name())
        .with("click_id", text(Field::ClickId))
        .with("order_id", text(Field::OrderId))
        .with("media_id", text(Field::MediaId))
        .with("sub_id", text(Field::SubId))
        .with("offer_id", text(Field::OfferId))
        .with("offer_name", text(Field::OfferName))
        .with("account_id", text(Field::AccountId))
        .with("status", text(Field::Status))
        .with("ts_event", Value::Time(postback.time(Field::TsEvent)))
        .with("conversion_datetime", Value::Time(postback.time(Field::ConversionDatetime)))
        .with_amount("sale_amount", postback.amount(Field::SaleAmount))
        .with_amount("payout", postback.amount(Field::Payout))
        .with("currency", text(Field::Currency))
        .with_amount("usd_sale_amount", postback.amount(Field::UsdSaleAmount))
        .with_amount("usd_payout", postback.amount(Field::UsdPayout))
        .with("is_ftd", Value::Flag(postback.flag(Field::IsFtd)))
        .with("received_at", received_at)
        .with("created_at", record.now)
        .with("updated_at", record.now)
        .insert_or_update(
            "conversion_id",
            &once,
            late,
            &format!(
                "revision = known.revision + 1,
                 is_processed = case when {late} then known.is_processed else false end,
                 event = case when {late} or {keeps_event} then known.event else excluded.event end,
                 {}",
                money(T::DIALECT, late, keeps_event)
            ),
            "revision",
        );
    let revision = transaction.number(conversion).await?;
    let history = Row::of(T::DIALECT, "revisions")
        .with("conversion_id", postback.conversion_id())
        .with("revision", Value::Number(revision))
        .with("event_id", postback.event_id().as_str())
        .with("received_at", received_at);
    transaction.execute(history.insert()).await?;
    Ok(if revision == 1 { Verdict::Created } else { Verdict::Revised })
}

/// Where a conversion stands already so that a notice came too late (R48), as a condition on both rows. In the statement
/// itself, because two notices at once must not both believe what they read before.
static LATE: LazyLock<String> = LazyLock::new(|| {
    let pairs = Status::ALL.into_iter().flat_map(|known| Status::ALL.into_iter().map(move |notice| (known, notice)));
    let late = pairs.filter(|(known, notice)| Status::transition(Some(*known), Some(*notice)) == Transition::Late);
    let late: Vec<_> = late.map(|(known, notice)| format!("('{known}', '{notice}')")).collect();
    // Where either is not known, the comparison is null, and `coalesce` makes it the answer no.
    format!("coalesce((known.status, excluded.status) in (values {}), false)", late.join(", "))
});

fn receipt(dialect: Dialect, record: &Record, verdict: Verdict, content: Value, warnings: Vec<String>) -> Statement {
    let Record { reading, receipt, now: _ } = record;
    let list = |texts: Vec<String>| Value::Json(serde_json::Value::from(texts).to_string());
    Row::of(dialect, "postbacks")
        .with("event_id", reading.postback.event_id().as_str())
        .with("verdict", verdict.name())
        .with("request_id", receipt.request_id.as_str())
        .with("received_at", receipt.received_at)
        .with("auth_mode", receipt.auth_mode.as_str())
        .with("key_id", receipt.key_id.as_deref())
        .with("client_ip", receipt.client_ip.as_deref())
        .with("method", receipt.method.as_str())
        .with("target", receipt.target.as_str())
        .with("headers", Value::Json(receipt.headers.to_string()))
        .with("content_type", receipt.content_type.as_deref())
        .with("body", receipt.body.as_deref())
        .with("content", content)
        .with("ignored", list(reading.ignored.clone()))
        .with("warnings", list(warnings))
        .insert()
}
