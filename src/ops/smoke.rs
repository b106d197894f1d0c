//! Whether a postback would go through: for each partner and each of its origins, a signed test postback goes all the way into
//! the partner's database and is undone there. Nothing is stored. Says which origin answered (R17).

use super::{Failed, Operated};
use crate::config::Config;
use crate::delivery::attempt::{Outcome, attempt};
use crate::delivery::inline::QUEUE;
use crate::delivery::outgoing::{Purpose, forwarded};
use crate::delivery::parcel::Parcel;
use crate::error::Error;
use crate::parked::filter::{Filter, State, Unclear};
use crate::parked::table::Table;
use crate::platform::exchange::Reply as Wanted;
use crate::platform::{Bindings, now};
use crate::reply;
use postback::canonical::CanonicalForm;
use postback::field::{Field, Kind};
use postback::id::{EventId, Nonce};
use postback::partner::Partner;
use postback::reply::Format;
use postback::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// How long an origin may take, in milliseconds.
const ATTEMPT_MS_MAX: u32 = 5_000;

/// What was found.
#[derive(Serialize)]
struct Smoke {
    /// Whether every partner can be served at its first origin.
    ok: bool,
    environment: &'static str,
    version: &'static str,
    /// Whether a queue is bound that takes what the origin cannot.
    queue: bool,
    /// Secrets that are wrong and were left out.
    left_out: Vec<String>,
    /// Parked postbacks that wait; null when the table does not answer.
    parked: Option<u64>,
    partners: Vec<OfPartner>,
}

#[derive(Serialize)]
struct OfPartner {
    partner: String,
    /// Variables without which nobody can prove to be this partner.
    missing_secrets: Vec<&'static str>,
    origins: Vec<OfOrigin>,
}

#[derive(Serialize)]
struct OfOrigin {
    url: String,
    acknowledged: bool,
    duration_ms: i64,
    /// What the origin says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Tries all partners, or the one that `partner=` names.
pub(super) async fn smoke(
    config: &Config,
    bindings: &Bindings,
    query: &str,
    request_id: &Nonce,
) -> Result<Operated, Failed> {
    let filter = Filter::parse(query).map_err(Error::Unclear)?;
    if filter != (Filter { partner: filter.partner.clone(), ..Filter::default() }) {
        return Err(
            Error::Unclear(Unclear { name: "query".to_owned(), hint: "partner is all that can be chosen" }).into()
        );
    }
    let active: Vec<_> = config.registry.all().iter().filter(|partner| partner.is_active).collect();
    let chosen: Vec<_> = match &filter.partner {
        Some(code) => active.into_iter().filter(|partner| partner.code == *code).collect(),
        None => active,
    };
    if chosen.is_empty() {
        return Err(Error::Unclear(Unclear { name: "partner".to_owned(), hint: "is no active partner's code" }).into());
    }
    let mut partners = Vec::new();
    for partner in chosen {
        let mut origins = Vec::new();
        for origin in config.origins.of(partner) {
            origins.push(rehearse(config, partner, origin, request_id).await);
        }
        let missing_secrets = config.secrets.missing_of(partner);
        partners.push(OfPartner { partner: partner.code.clone(), missing_secrets, origins });
    }
    let queue = bindings.has(QUEUE);
    let parked = parked(bindings).await.ok();
    let is_served =
        |of: &OfPartner| of.missing_secrets.is_empty() && of.origins.first().is_some_and(|o| o.acknowledged);
    let ok = queue && config.left_out.is_empty() && parked.is_some() && partners.iter().all(is_served);
    let environment = config.environment.name();
    let left_out = config.left_out.clone();
    let smoke = Smoke { ok, environment, version: env!("CARGO_PKG_VERSION"), queue, left_out, parked, partners };
    let reason = if ok { "all partners are served" } else { "not all is well" };
    Ok(Operated { reply: reply::json(200, request_id, &smoke), reason: reason.to_owned() })
}

async fn parked(bindings: &Bindings) -> Result<u64, String> {
    let table = Table::open(bindings).await?;
    let counts = table.count(&Filter { state: Some(State::Parked), ..Filter::default() }).await?;
    Ok(counts.iter().map(|count| count.count).fold(0, u64::saturating_add))
}

async fn rehearse(config: &Config, partner: &Partner, origin: &str, request_id: &Nonce) -> OfOrigin {
    let began = now();
    let url = origin.to_owned();
    let Some(parcel) = test_parcel(partner, request_id, began) else {
        let problem = Some("no test postback can be made".to_owned());
        return OfOrigin { url, acknowledged: false, duration_ms: 0, answer: None, problem };
    };
    let draft = match forwarded(partner, &parcel, Purpose::Rehearse) {
        Ok(draft) => draft,
        Err(problem) => {
            return OfOrigin { url, acknowledged: false, duration_ms: 0, answer: None, problem: Some(problem) };
        }
    };
    let outcome = attempt(config, origin, &draft, Wanted::Body, ATTEMPT_MS_MAX, began.unix_s()).await;
    let duration_ms = reply::since(began);
    match outcome {
        Outcome::Acknowledged(_, answer) => {
            let acknowledged = answer.status == 200;
            let problem = (!acknowledged).then(|| format!("status {}", answer.status));
            OfOrigin { url, acknowledged, duration_ms, answer: serde_json::from_str(&answer.body).ok(), problem }
        }
        Outcome::Failed(failure) => {
            OfOrigin { url, acknowledged: false, duration_ms, answer: None, problem: Some(failure.reason) }
        }
    }
}

/// A postback that the partner could have sent: what its file requires is there.
fn test_parcel(partner: &Partner, request_id: &Nonce, now: Timestamp) -> Option<Parcel> {
    let event_id = EventId::parse(&format!("smoke-{request_id}"))?;
    let id = event_id.as_str().to_owned();
    let mut fields = BTreeMap::from([
        (Field::EventId, id.clone()),
        (Field::ConversionId, id),
        (Field::Event, partner.default_event.clone().unwrap_or_else(|| "conversion".to_owned())),
        (Field::TsEvent, now.to_string()),
    ]);
    for field in &partner.required {
        fields.entry(*field).or_insert_with(|| sample(*field, now));
    }
    fields.extend(partner.constants.iter().map(|(field, text)| (*field, text.clone())));
    Some(Parcel {
        partner: partner.code.clone(),
        event_id,
        canonical: CanonicalForm::new(fields.into_iter().map(|(field, text)| (field.name().to_owned(), text))),
        request_id: request_id.clone(),
        received_at: now,
        method: "GET".to_owned(),
        target: "/ops/smoke".to_owned(),
        content_type: None,
        body: String::new(),
        client_ip: None,
        auth: partner.auth_names(),
        reply: Format::Json,
        replays: 0,
    })
}

fn sample(field: Field, now: Timestamp) -> String {
    match field.kind() {
        Kind::Time => now.to_string(),
        // No partner's amount_max is less.
        Kind::Amount => "0.01".to_owned(),
        Kind::Currency => "USD".to_owned(),
        Kind::Status => "pending".to_owned(),
        Kind::Flag => "false".to_owned(),
        Kind::Event => "conversion".to_owned(),
        Kind::Id | Kind::Text => "smoke".to_owned(),
    }
}
