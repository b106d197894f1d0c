//! An edge and an origin in one process, on a clock that stands still.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use bytec_origin::api::router;
use bytec_origin::app::{App, Platform};
use bytec_origin::config::{Config as OriginConfig, Settings};
use bytec_origin::store::Database;
use edge::config::Config as EdgeConfig;
use edge::delivery::outgoing::{Outgoing, Purpose, forwarded, signed};
use edge::delivery::parcel::{Parcel, Received};
use postback::acknowledgement;
use postback::id::{EventId, Nonce};
use postback::message_signature::{Covered, header, sign};
use postback::params::Params;
use postback::partner::Registry;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tower::ServiceExt;

pub const LIVE: &str = "click_id=test123&media_id=456&rewars=10.50&conversion_id=conv789&event=purchase\
    &event_time=2025-01-01%2012:00:00&offer_name=test_offer&datetime_conversion=2025-01-01%2012:00:00\
    &usd_sale_amount=100.00";

/// 2025-11-21T00:00:00Z.
pub const NOW_S: i64 = 1_763_683_200;

pub struct World {
    edge: EdgeConfig,
    pub app: Arc<App>,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub ack: Option<String>,
}

impl Answer {
    /// The error code of a text or JSON reply.
    pub fn code(&self) -> String {
        let words = self.body.strip_prefix("ERROR ").or(self.body.strip_prefix("{\"error\":\"")).unwrap_or("");
        words.split([' ', '"']).next().unwrap_or_default().to_owned()
    }

    /// What the acknowledgement proves to the edge that sent the request.
    pub fn proven(&self, world: &World, request: &Outgoing) -> Option<Verdict> {
        let (_, event_id) = request.headers.iter().find(|(name, _)| *name == "bytec-event-id")?;
        let (_, input) = request.headers.iter().find(|(name, _)| *name == "signature-input")?;
        let nonce = Nonce::parse(input.split_once("nonce=\"")?.1.split_once('"')?.0)?;
        acknowledgement::read(&world.edge.keys, self.ack.as_deref()?, &EventId::parse(event_id)?, &nonce, NOW_S)
    }
}

pub fn now() -> Timestamp {
    Timestamp::from_unix_ms(NOW_S * 1000).unwrap()
}

fn random() -> Option<[u8; 16]> {
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Some(bytes)
}

impl World {
    pub async fn new() -> World {
        World::with_variable("", "").await
    }

    /// A world in which one variable of the origin is set.
    pub async fn with_variable(name: &str, value: &str) -> World {
        let folder = TempDir::new().unwrap();
        let settings = Settings {
            environment: Some("development".to_owned()),
            bind: None,
            data_dir: Some(folder.path().display().to_string()),
            partners: Vec::new(),
        };
        let origin = OriginConfig::read(&settings, |asked| (asked == name).then(|| value.to_owned())).unwrap();
        let edge = EdgeConfig::read(|name| match name {
            "ENVIRONMENT" => Some("development".to_owned()),
            "ORIGIN_URL" => Some("http://origin.test".to_owned()),
            _ => None,
        });
        World { edge: edge.unwrap(), app: App::new(origin, Platform { now, random }).unwrap(), _folder: folder }
    }

    /// The same world, with an origin whose partners have another limit: a number of their files, by its name.
    pub fn with_limit(self, name: &str, limit: u32) -> World {
        let settings = Settings {
            environment: Some("development".to_owned()),
            data_dir: Some(self._folder.path().display().to_string()),
            ..Settings::default()
        };
        let mut origin = OriginConfig::read(&settings, |_| None).unwrap();
        let mut partners = serde_json::to_value(&origin.registry).unwrap();
        for partner in partners.get_mut("partners").unwrap().as_array_mut().unwrap() {
            partner.as_object_mut().unwrap().insert(name.to_owned(), limit.into());
        }
        origin.registry = Registry::from_json(&partners.to_string()).unwrap();
        World { app: App::new(origin, Platform { now, random }).unwrap(), ..self }
    }

    /// What the edge makes of a partner's request.
    pub fn forwarded(&self, method: &str, target: &str, body: &str) -> Outgoing {
        self.build(method, target, body, NOW_S)
    }

    /// The same, on an edge whose clock shows another time.
    pub fn forwarded_at(&self, now_s: i64, target: &str) -> Outgoing {
        self.build("GET", target, "", now_s)
    }

    fn build(&self, method: &str, target: &str, body: &str, now_s: i64) -> Outgoing {
        let (path, query) = target.split_once('?').unwrap();
        let partner = self.edge.registry.by_path(path).unwrap();
        let params = Params::from_request(query, None, body.as_bytes()).unwrap();
        let reading = partner.read(&params, now()).unwrap();
        let received = Received {
            request_id: &Nonce::from_bytes(random().unwrap()),
            at: now(),
            method,
            target,
            path_key: None,
            content_type: body.starts_with('{').then_some("application/json"),
            body: body.as_bytes(),
            client_ip: Some("192.0.2.1"),
            reply: partner.reply,
        };
        let parcel = Parcel::of(partner, reading.postback, &received);
        // What waited in the queue is the same as what did not.
        let parcel = Parcel { reply: partner.reply, ..Parcel::from_message(&parcel.to_message().unwrap()).unwrap() };
        let nonce = Nonce::from_bytes(random().unwrap());
        signed(&self.edge, "http://origin.test", &forwarded(partner, &parcel, Purpose::Store).unwrap(), now_s, &nonce)
            .unwrap()
    }

    /// The same request of the edge under another path, signed for it.
    pub fn readdressed(&self, request: &Outgoing, from: &str, to: &str) -> Outgoing {
        let mut readdressed = request.clone();
        readdressed.url = request.url.replacen(from, to, 1);
        self.sign(&mut readdressed);
        readdressed
    }

    /// A batch of clicks as the edge sends it.
    pub fn batch(&self, partner: &str, batch_id: &str, body: &str) -> Outgoing {
        let path = format!("/clicks/{partner}");
        let headers = vec![
            (header::EVENT_ID, batch_id.to_owned()),
            (header::RECEIVED_AT, now().to_string()),
            (header::AUTH, "edge".to_owned()),
            (header::CLIENT_IP, "unknown".to_owned()),
            (header::ORIGINAL_TARGET, path.clone()),
            (header::REQUEST_ID, Nonce::from_bytes(random().unwrap()).to_string()),
            ("content-type", "application/json".to_owned()),
        ];
        let url = format!("http://origin.test{path}");
        let mut batch = Outgoing { url, method: "POST".to_owned(), headers, body: Some(body.to_owned()) };
        self.sign(&mut batch);
        batch
    }

    /// Signs a request as it is, with a fresh nonce.
    pub fn sign(&self, request: &mut Outgoing) {
        let signature = [header::CONTENT_DIGEST, header::SIGNATURE_INPUT, header::SIGNATURE];
        request.headers.retain(|(name, _)| !signature.contains(name));
        let of = |name: &str| request.headers.iter().find(|(known, _)| *known == name).unwrap().1.as_str();
        let target = request.url.strip_prefix("http://origin.test").unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let covered = Covered {
            method: &request.method,
            path,
            query,
            event_id: of(header::EVENT_ID),
            received_at: of(header::RECEIVED_AT),
            auth: of(header::AUTH),
            client_ip: of(header::CLIENT_IP),
            original_target: of(header::ORIGINAL_TARGET),
        };
        let body = request.body.as_deref().unwrap_or("");
        let nonce = Nonce::from_bytes(random().unwrap());
        let signed = sign(&self.edge.keys, &covered, body.as_bytes(), NOW_S, &nonce).unwrap();
        request.headers.extend(signature.into_iter().zip([
            signed.content_digest,
            signed.signature_input,
            signed.signature,
        ]));
    }

    /// Hands a forwarded request to the origin.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let path = outgoing.url.strip_prefix("http://origin.test").unwrap();
        let mut request = Request::builder().method(outgoing.method.as_str()).uri(path);
        for (name, value) in &outgoing.headers {
            request = request.header(*name, value);
        }
        self.answer(request.body(Body::from(outgoing.body.clone().unwrap_or_default())).unwrap()).await
    }

    /// A request of somebody else.
    pub async fn direct(&self, method: Method, path: &str, bearer: Option<&str>, body: &str) -> Answer {
        let bearer = bearer.map(|token| ("authorization", format!("Bearer {token}")));
        self.direct_with(method, path, bearer.as_slice(), body).await
    }

    /// The same with headers of its own.
    pub async fn direct_with(&self, method: Method, path: &str, headers: &[(&str, String)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.answer(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let ack = response.headers().get("bytec-ack").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        Answer { status, body: String::from_utf8(body.to_vec()).unwrap(), ack }
    }

    /// Texts out of InvolveAsia's database.
    pub async fn text(&self, sql: &'static str) -> Vec<String> {
        self.text_of("involve_asia", sql).await
    }

    /// How many rows InvolveAsia's tables have.
    pub async fn rows(&self) -> Vec<String> {
        self.text(
            "select count(*) || '' from events union all select count(*) || '' from conversions union all
             select count(*) || '' from revisions union all select count(*) || '' from postbacks union all
             select count(*) || '' from nonces union all select count(*) || '' from clicks",
        )
        .await
    }

    /// Texts out of a partner's database.
    pub async fn text_of(&self, partner: &str, sql: &'static str) -> Vec<String> {
        match self.app.databases.of(partner).await.unwrap().database() {
            Database::Sqlite(store) => sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap(),
            Database::Postgres(_) | Database::D1(_) => unreachable!("this world lives on SQLite"),
        }
    }

    pub async fn conversions(&self) -> Vec<String> {
        let sql =
            "select conversion_id || ' ' || usd_payout || ' ' || usd_sale_amount || ' ' || ts_event from conversions";
        self.text(sql).await
    }
}
