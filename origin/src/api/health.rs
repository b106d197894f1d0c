//! `/health`, `/ready`, `/info` (R43).

use crate::app::App;
use crate::store::StoreError;
use crate::store::worklist::Backlog;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use postback::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;

/// For how many seconds events may wait to be processed before that is told: on D1 a minute passes anyway.
const LAG_S_MAX: u64 = 120;
/// For how long what was seen is told again, in milliseconds.
const LOOK_TOLD_MS: i64 = 1_000;
/// How long a look may take, in milliseconds, before it counts as one that nobody will end, and for how long what was seen before it is
/// told meanwhile: longer than opening, asking and counting may take together.
const LOOK_MS_MAX: i64 = 15_000;

/// The body of `/health` and `/ready`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    /// `ok` or `unavailable`, by partner code.
    databases: BTreeMap<String, &'static str>,
    /// The same of the database that all partners share.
    shared_database: &'static str,
    /// `ok`, `behind` or `failing`, by partner code: how it stands with the events that are to be processed. Of partners whose
    /// database answers.
    processing: BTreeMap<String, &'static str>,
    /// How many conversions that count have an amount that waits for an exchange rate, by partner code: sums miss it until then. Of
    /// partners whose database answers.
    waiting_for_rates: BTreeMap<String, i64>,
}

/// The body of `/info`.
#[derive(Serialize, ToSchema)]
pub struct Info {
    service: &'static str,
    version: &'static str,
    uptime_s: i64,
    partners: Vec<PartnerInfo>,
}

#[derive(Serialize, ToSchema)]
struct PartnerInfo {
    code: String,
    name: String,
    endpoint: String,
    storage: &'static str,
}

/// What was last seen of the databases. Whoever asks need not say who they are (R43), and every look takes connections that postbacks
/// need; so one asker looks, and all others are told what the last one saw.
#[derive(Debug, Default)]
pub struct Looks(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The last look, and when it began.
    last: Option<(Timestamp, Health)>,
    /// When the last look began that has not ended, and whether its asker has gone.
    looking: Option<(Timestamp, bool)>,
}

/// What there is for an asker.
enum Asked<'a> {
    Told(Health),
    Looks(Look<'a>),
}

/// A look under way. One that is given up, because its asker has gone, leaves the next to somebody else, a second later.
struct Look<'a> {
    looks: &'a Looks,
    began: Timestamp,
}

impl Looks {
    /// What was seen within the last second, or, where somebody is looking now, at a look shortly before; else what `look` sees.
    async fn health(&self, now: Timestamp, look: impl Future<Output = Health>) -> Health {
        match self.ask(now) {
            Asked::Told(health) => health,
            Asked::Looks(begun) => begun.end(look.await),
        }
    }

    fn ask(&self, now: Timestamp) -> Asked<'_> {
        let mut seen = self.seen();
        let is_within = |began: Timestamp, ms: i64| (0..ms).contains(&now.unix_ms().saturating_sub(began.unix_ms()));
        // Whoever asks and hangs up again has the databases looked at no more often than others.
        let somebody_looks = seen
            .looking
            .is_some_and(|(began, has_gone)| is_within(began, if has_gone { LOOK_TOLD_MS } else { LOOK_MS_MAX }));
        let told_ms = if somebody_looks { LOOK_MS_MAX } else { LOOK_TOLD_MS };
        match &seen.last {
            Some((began, health)) if is_within(*began, told_ms) => Asked::Told(health.clone()),
            // Several may look at once where nothing is known that could be told, as at the very start.
            Some(_) | None => {
                seen.looking = Some((now, false));
                Asked::Looks(Look { looks: self, began: now })
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look<'_> {
    fn end(self, health: Health) -> Health {
        let mut seen = self.looks.seen();
        if seen.last.as_ref().is_none_or(|(began, _)| began.unix_ms() <= self.began.unix_ms()) {
            seen.last = Some((self.began, health.clone()));
        }
        seen.looking = seen.looking.filter(|(began, _)| *began != self.began);
        drop(seen);
        health
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        // Of one that has ended there is nothing left to mark.
        if let Some((began, has_gone)) = &mut self.looks.seen().looking
            && *began == self.began
        {
            *has_gone = true;
        }
    }
}

/// 200 as long as the process lives: a broken database is named, and does not make the origin unhealthy.
pub async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    Json(known(&app).await)
}

/// 200 while at least one partner can be served; 503 when none can.
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let health = known(&app).await;
    let any = health.databases.values().any(|state| *state == "ok");
    (if any { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// What runs here.
pub async fn info(State(app): State<Arc<App>>) -> Json<Info> {
    let kinds: BTreeMap<_, _> = app.databases.locations().map(|(code, location)| (code, location.kind())).collect();
    let partners = app.config.registry.all().iter().map(|partner| PartnerInfo {
        code: partner.code.clone(),
        name: partner.name.clone(),
        endpoint: partner.endpoint.clone(),
        storage: kinds.get(partner.code.as_str()).copied().unwrap_or("none"),
    });
    Json(Info {
        service: "bytec-origin",
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: (app.platform.now)().unix_s().saturating_sub(app.started_at.unix_s()),
        partners: partners.collect(),
    })
}

async fn known(app: &App) -> Health {
    app.looks.health((app.platform.now)(), look(app)).await
}

async fn look(app: &App) -> Health {
    // At once, so that several that hang cost no more time than one.
    let (pings, shared) = futures_util::future::join(app.databases.ping_all(), app.shared.ping()).await;
    let state = |outcome: &Result<(), StoreError>| if outcome.is_ok() { "ok" } else { "unavailable" };
    let databases: BTreeMap<_, _> = pings.iter().map(|(code, ping)| ((*code).to_owned(), state(ping))).collect();
    let shared_database = state(&shared);
    // One after the other, so that a look takes one connection of each database.
    let standings = app.databases.opened().map(async |(code, store)| {
        let backlog = store.backlog((app.platform.now)()).await;
        (code.to_owned(), backlog, store.waiting_for_rates().await)
    });
    let (mut processing, mut waiting_for_rates) = (BTreeMap::new(), BTreeMap::new());
    for (code, backlog, waiting) in futures_util::future::join_all(standings).await {
        waiting_for_rates.extend(waiting.ok().map(|waiting| (code.clone(), waiting)));
        processing.extend(backlog.ok().map(|backlog| (code, standing(backlog))));
    }
    let degraded = shared.is_err() || pings.values().any(Result::is_err);
    Health {
        status: if degraded { "degraded" } else { "healthy" },
        service: "bytec-origin",
        version: env!("CARGO_PKG_VERSION"),
        databases,
        shared_database,
        processing,
        waiting_for_rates,
    }
}

/// What a backlog says in a word: some was given up, some has been due for long, or neither.
fn standing(backlog: Backlog) -> &'static str {
    if backlog.dead > 0 {
        "failing"
    } else if backlog.lag_s > LAG_S_MAX {
        "behind"
    } else {
        "ok"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn health(status: &'static str) -> Health {
        let (databases, processing, waiting_for_rates) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Health { status, service: "", version: "", databases, shared_database: "ok", processing, waiting_for_rates }
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms).unwrap()
    }

    /// A look that has begun and does not end.
    fn begun(looks: &Looks, ms: i64) -> impl Future<Output = Health> {
        let mut look = Box::pin(looks.health(at(ms), pending()));
        assert!(look.as_mut().now_or_never().is_none());
        look
    }

    #[tokio::test]
    async fn a_look_is_told_for_a_second() {
        let (looks, count) = (Looks::default(), AtomicU32::new(0));
        let look = async |status| {
            count.fetch_add(1, Ordering::Relaxed);
            health(status)
        };
        for (ms, status, told, looked) in [
            (0, "first", "first", 1),
            (999, "second", "first", 1),
            (1_000, "third", "third", 2),
            // A clock that was put back makes nothing hold for longer.
            (500, "fourth", "fourth", 3),
        ] {
            assert_eq!(looks.health(at(ms), look(status)).await.status, told, "{ms}");
            assert_eq!(count.load(Ordering::Relaxed), looked, "{ms}");
        }
    }

    #[tokio::test]
    async fn one_asker_looks_and_the_others_are_told_what_is_known() {
        let looks = Looks::default();
        looks.health(at(0), async { health("known") }).await;
        let hanging = begun(&looks, 2_000);
        assert_eq!(looks.health(at(14_000), async { health("new") }).await.status, "known");
        assert_eq!(looks.health(at(15_000), async { health("new") }).await.status, "new", "known for too long");
        drop(hanging);
        assert_eq!(looks.health(at(15_999), async { health("newer") }).await.status, "new");
    }

    #[tokio::test]
    async fn whoever_hangs_up_leaves_the_look_to_another_a_second_later() {
        let looks = Looks::default();
        looks.health(at(0), async { health("known") }).await;
        let gone = begun(&looks, 2_000);
        drop(gone);
        assert_eq!(looks.health(at(2_999), async { health("new") }).await.status, "known");
        assert_eq!(looks.health(at(3_000), async { health("new") }).await.status, "new");
        // What was seen an hour ago is told to nobody, whoever has begun to look.
        let gone = begun(&looks, 3_600_000);
        drop(gone);
        assert_eq!(looks.health(at(3_600_001), async { health("newer") }).await.status, "newer");
    }

    #[tokio::test]
    async fn a_look_that_others_have_overtaken_says_nothing_any_more() {
        let looks = Looks::default();
        let (ends, end) = tokio::sync::oneshot::channel();
        let mut slow = Box::pin(looks.health(at(0), async { end.await.unwrap() }));
        assert!(slow.as_mut().now_or_never().is_none());
        looks.health(at(20_000), async { health("new") }).await;
        ends.send(health("old")).unwrap();
        assert_eq!(slow.await.status, "old");
        assert_eq!(looks.health(at(20_500), async { health("newer") }).await.status, "new");
    }
}
