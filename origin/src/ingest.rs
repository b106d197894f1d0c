//! One postback at the origin: from a verified request to the verdict that was committed; and the rehearsal of one, where
//! the last step is to undo it all.

#![deny(clippy::disallowed_methods)]

use crate::api::error::Error;
use crate::app::App;
use crate::rejections;
use crate::store::{Receipt, Record, Recorded, Rejected, StoreError, Via};
use crate::verify::{Caller, FromEdge, Received};
use postback::canonical::CanonicalForm;
use postback::id::EventId;
use postback::message_signature::header;
use postback::params::{Params, redact_body, redact_rejected_target, redact_target, redact_unread_body};
use postback::partner::{AuthMode, Partner};
use postback::postback::Postback;
use postback::reading::{Reading, Warning, WarningCode};
use postback::rejection::Rejection;
use postback::signature::{Profile, SignedBy, canonical_json, canonical_query};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use postback::zone::Zone;
use serde::Deserialize;
use std::borrow::Cow;
use tracing::error;

/// What was stored, and under which id.
#[derive(Clone, Debug)]
pub struct Ingested {
    /// The event.
    pub event_id: EventId,
    /// What became of it; committed.
    pub verdict: Verdict,
}

/// What would have been stored, and under which id. Nothing of it was.
#[derive(Clone, Debug)]
pub struct Rehearsed {
    /// The event.
    pub event_id: EventId,
    /// What would have become of it.
    pub verdict: Verdict,
}

/// A request's receipt, and the postback that it was read into, if it could be.
pub struct Understood {
    receipt: Receipt,
    reading: Result<Reading, Rejection>,
}

/// The body that the edge makes of a POST.
#[derive(Deserialize)]
struct ForwardedBody {
    postback: CanonicalForm,
    original_content_type: Option<String>,
    original_body: Option<String>,
}

impl Understood {
    /// Reads what a believed caller sent. `request_id` is our name of the request, or the edge's.
    ///
    /// # Errors
    /// [`Error::Malformed`]: what the edge signed cannot be read here. That is never the sender's fault, and nothing is written down: the
    /// edge keeps it.
    pub fn of(
        partner: &Partner,
        received: &Received<'_>,
        caller: &Caller<'_>,
        request_id: &str,
        now: Timestamp,
    ) -> Result<Understood, Error> {
        match caller {
            Caller::Edge(edge) => forwarded(partner, received, edge, request_id),
            Caller::Direct { token_id, signed } => {
                Ok(sent_directly(partner, received, token_id.as_deref(), signed.as_ref(), request_id, now))
            }
        }
    }

    /// The request's name: the one that was given, or the one that follows from a partner's own signature.
    pub fn request_id(&self) -> &str {
        &self.receipt.request_id
    }
}

/// Stores what a believed caller sent:
///
/// (1) the request became a postback .... 400, and it is written down as it came
/// (2) it is within the partner's day ... 429
/// (3) the partner's store records it ... 503, 500
/// (4) a spent nonce is a replay ........ 409
pub async fn ingest(
    app: &App,
    partner: &Partner,
    caller: &Caller<'_>,
    understood: Understood,
    now: Timestamp,
) -> Result<Ingested, Error> {
    // (1)
    let Understood { receipt, reading } = understood;
    let reading = match reading {
        Ok(reading) => reading,
        Err(rejection) => return Err(reject(app, partner, receipt, rejection, now).await),
    };
    let event_id = reading.postback.event_id().clone();
    // (2)
    let store = app.databases.of(&partner.code).await?;
    app.quotas.count(partner, store, now).await?;
    // (3)
    let received_at = receipt.received_at;
    let recorded = store.record(Record { receipt_id: app.platform.receipt_id()?, reading, receipt, now }).await;
    if !matches!(recorded, Ok(Recorded::As(_))) {
        // It will come again, and an outage must not use up the day.
        app.quotas.give_back(partner, now);
    }
    match recorded? {
        Recorded::As(verdict) => {
            let via = match caller {
                Caller::Edge(_) => "edge",
                Caller::Direct { .. } => "direct",
            };
            app.metrics.stored(&partner.code, via, received_at, (app.platform.now)());
            Ok(Ingested { event_id, verdict })
        }
        // (4)
        Recorded::Replayed => Err(Error::Replay),
    }
}

/// How often a rejected request is tried to be written down, and for how long, in milliseconds.
const REJECTION_TRIES: usize = 8;
const REJECTION_TRIES_WITHIN_MS: i64 = 3_000;

/// Writes down a request that could not be read, and says what to answer. Within the partner's day: a sender that has gone wild
/// must not fill the database with these, either. Where it cannot be written the answer is the same, because no retry would change
/// what is wrong with it.
async fn reject(app: &App, partner: &Partner, receipt: Receipt, rejection: Rejection, now: Timestamp) -> Error {
    let request_id = receipt.request_id.clone();
    match write_down(app, partner, receipt, &rejection, now).await {
        Ok(()) => rejection.into(),
        Err(over @ Error::DailyLimit(_)) => over,
        Err(error) => {
            error!(
                request_id,
                partner = partner.code,
                reason = error.reason(),
                "a rejected request was not written down"
            );
            rejection.into()
        }
    }
}

async fn write_down(
    app: &App,
    partner: &Partner,
    receipt: Receipt,
    rejection: &Rejection,
    now: Timestamp,
) -> Result<(), Error> {
    let store = app.databases.of(&partner.code).await?;
    app.quotas.count(partner, store, now).await?;
    let (content_type, body) = (receipt.content_type.as_deref(), receipt.body.as_deref());
    let ids = rejections::ids(partner, &receipt.target, content_type, body, receipt.received_at);
    let rejected = Rejected {
        receipt_id: app.platform.receipt_id()?,
        receipt,
        via: Via::Direct,
        is_authenticated: true,
        code: rejection.code().as_str().to_owned(),
        field: rejection.field().map(str::to_owned),
        status: Error::from(rejection.clone()).status(),
        rules: partner.rules_version.clone(),
        ids,
    };
    let began_ms = (app.platform.now)().unix_ms();
    let mut written = store.reject(rejected.clone()).await;
    // Its sender does not come again, as that of an accepted one does: so whoever holds the database for a moment is waited for.
    for _ in 1..REJECTION_TRIES {
        let tried_ms = (app.platform.now)().unix_ms().saturating_sub(began_ms);
        if !matches!(written, Err(StoreError::Unavailable(_))) || tried_ms >= REJECTION_TRIES_WITHIN_MS {
            break;
        }
        written = store.reject(rejected.clone()).await;
    }
    if written.is_err() {
        app.quotas.give_back(partner, now);
    }
    Ok(written?)
}

/// Reads what the edge forwarded and stores it as [`ingest`] does, with the same errors, and then undoes it.
pub async fn rehearse(
    app: &App,
    partner: &Partner,
    received: &Received<'_>,
    edge: &FromEdge<'_>,
    request_id: &str,
    now: Timestamp,
) -> Result<Rehearsed, Error> {
    let Understood { receipt, reading } = forwarded(partner, received, edge, request_id)?;
    let reading = reading?;
    let event_id = reading.postback.event_id().clone();
    let store = app.databases.of(&partner.code).await?;
    match store.rehearse(Record { receipt_id: app.platform.receipt_id()?, reading, receipt, now }).await? {
        Recorded::As(verdict) => Ok(Rehearsed { event_id, verdict }),
        Recorded::Replayed => Err(Error::Replay),
    }
}

/// A request of the edge: canonical names and values, the original beside them.
fn forwarded(
    partner: &Partner,
    received: &Received<'_>,
    edge: &FromEdge<'_>,
    request_id: &str,
) -> Result<Understood, Error> {
    let received_at = Timestamp::parse(edge.claims.received_at, &Zone::utc())
        .ok_or_else(|| malformed("a receipt time that is none"))?;
    let event_id = EventId::parse(edge.claims.event_id).ok_or_else(|| malformed("an event id that is none"))?;
    let (canonical, content_type, body) = match received.head.method {
        "POST" => {
            // What serde_json says of it may quote it.
            let ForwardedBody { postback, original_content_type, original_body } =
                serde_json::from_slice(received.body)
                    .map_err(|_| malformed("a body that is not in the edge's form"))?;
            (postback, original_content_type, original_body)
        }
        _ => (CanonicalForm::from_query(received.head.query), None, None),
    };
    let postback = canonical.into_postback(event_id).map_err(malformed)?;
    let receipt = Receipt {
        request_id: request_id.to_owned(),
        received_at,
        auth_mode: edge.claims.auth.to_owned(),
        key_id: Some(edge.verified.key_id.clone()),
        client_ip: edge.claims.client_ip.map(str::to_owned),
        method: received.head.method.to_owned(),
        target: edge.claims.original_target.to_owned(),
        headers: kept_headers(received),
        content_type,
        body,
        nonce: Some(edge.verified.nonce.clone()),
    };
    let reading = Ok(with_original(partner, postback, &receipt));
    Ok(Understood { receipt, reading })
}

fn malformed(reason: impl ToString) -> Error {
    Error::Malformed(reason.to_string())
}

/// A postback that the edge read, with what its original shows beside.
fn with_original(partner: &Partner, postback: Postback, receipt: &Receipt) -> Reading {
    // The original is read for what canonical form cannot show: names that mean nothing here, words that were odd.
    let original_query = receipt.target.split_once('?').map_or("", |(_, query)| query);
    let original_body = receipt.body.as_deref().unwrap_or("").as_bytes();
    let original = Params::from_request(original_query, receipt.content_type.as_deref(), original_body);
    let reading = original.and_then(|params| read_partners(partner, params, receipt.received_at)).ok();
    // A signed request is read in its canonical spelling, in which nothing is taken apart.
    let reading = reading.filter(|reading| reading.postback.says_the_same(&postback)).or_else(|| {
        let query = canonical_query(original_query).ok()?;
        let body = canonical_json(original_body).ok();
        let (content_type, body) = match &body {
            Some(body) => (Some("application/json"), body.as_slice()),
            None => (receipt.content_type.as_deref(), original_body),
        };
        let reading =
            read_partners(partner, Params::from_request(&query, content_type, body).ok()?, receipt.received_at);
        reading.ok().filter(|reading| reading.postback.says_the_same(&postback))
    });
    match reading {
        Some(original) => Reading { postback, ..original },
        None => {
            // The canonical form does not tell a default from what was sent.
            let names_event = partner.default_event.as_deref() != Some(postback.event().name());
            let warnings = vec![Warning { code: WarningCode::UnreadableOriginal, field: None }];
            Reading { warnings, ..Reading::of_canonical(postback, names_event) }
        }
    }
}

/// A request of the partner's own, in the partner's names and words.
fn sent_directly(
    partner: &Partner,
    received: &Received<'_>,
    token_id: Option<&str>,
    signed: Option<&SignedBy>,
    request_id: &str,
    now: Timestamp,
) -> Understood {
    let content_type = received.head.header("content-type");
    let reading = read_sent(partner, received, signed, now);
    let is_rejected = reading.is_err();
    let redact = |body: &str| if is_rejected { redact_unread_body(body) } else { redact_body(body) };
    let body = (!received.body.is_empty()).then(|| redact(&String::from_utf8_lossy(received.body)));
    let target = match received.head.query {
        "" => received.head.path.to_owned(),
        query if is_rejected => redact_rejected_target(&format!("{}?{query}", received.head.path), true),
        query => redact_target(&format!("{}?{query}", received.head.path)),
    };
    let auth_mode = match signed {
        Some(_) => format!("{}+{}", AuthMode::Token.name(), AuthMode::Signature.name()),
        None => AuthMode::Token.name().to_owned(),
    };
    let named =
        signed.zip(reading.as_ref().ok()).map(|(signed, reading)| signed.request_id(&partner.code, &reading.postback));
    let receipt = Receipt {
        request_id: named.map_or_else(|| request_id.to_owned(), |named| named.to_string()),
        received_at: now,
        auth_mode,
        // The key says more than the token that comes with it.
        key_id: signed.map(|signed| signed.key_id.as_str()).or(token_id).map(str::to_owned),
        client_ip: received.head.peer.map(|peer| peer.to_string()),
        method: received.head.method.to_owned(),
        target,
        headers: kept_headers(received),
        content_type: content_type.map(str::to_owned),
        body,
        nonce: None,
    };
    Understood { receipt, reading }
}

/// Reads a request of the partner's own.
fn read_sent(
    partner: &Partner,
    received: &Received<'_>,
    signed: Option<&SignedBy>,
    now: Timestamp,
) -> Result<Reading, Rejection> {
    // What is read is what was signed: one signature over a body's meaning must not stand for several readings of it.
    let (content_type_read, body_read) = match signed.map(|signed| signed.profile) {
        Some(Profile::Jcs) => (Some("application/json"), Cow::Owned(canonical_json(received.body)?)),
        Some(Profile::Raw) | None => (received.head.header("content-type"), Cow::Borrowed(received.body)),
    };
    let query_read = match signed {
        Some(_) => Cow::Owned(canonical_query(received.head.query)?),
        None => Cow::Borrowed(received.head.query),
    };
    let params = Params::from_request(&query_read, content_type_read, &body_read)?;
    read_partners(partner, params, now)
}

/// Headers that are written down: who sent and who signed. A list of what is kept, because a list of what is secret is
/// never complete.
const KEPT_HEADERS: [&str; 10] = [
    "user-agent",
    "accept",
    "x-key-id",
    "x-timestamp",
    "x-nonce",
    "x-signature",
    "x-signature-profile",
    header::CONTENT_DIGEST,
    header::SIGNATURE_INPUT,
    header::SIGNATURE,
];

fn kept_headers(received: &Received<'_>) -> serde_json::Value {
    KEPT_HEADERS
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), serde_json::Value::from(received.head.header(name)?))))
        .collect()
}

/// Reads what a partner sent, in its own names and words; secrets are no data.
pub(crate) fn read_partners(
    partner: &Partner,
    mut params: Params,
    received_at: Timestamp,
) -> Result<Reading, Rejection> {
    params.drop_credentials();
    partner.read(&params, received_at)
}
