//! What is read when Prometheus asks: how databases stand, what is still to be processed, and how senders do.

use super::PARTNER;
use crate::app::App;
use crate::store::reader::OutcomeTotal;
use crate::store::recount::Recounted;
use crate::store::worklist::Backlog;
use crate::store::{Connections, StoreError};
use crate::watch::{Watched, watch};
use futures_util::future::{join, join_all, join4};
use postback::edge_report::OutcomeKind;
use postback::time::Timestamp;
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

/// What is known of a partner's database; nothing of one that does not answer.
struct Look<'a> {
    partner: &'a str,
    seen: Option<Seen>,
}

struct Seen {
    backlog: Backlog,
    waiting_for_rates: i64,
    watched: Watched,
    connections: Connections,
    recounted: Option<Recounted>,
    edge_outcomes: Vec<OutcomeTotal>,
}

/// A gauge and its values, each with those of its labels.
struct Gauge {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    values: Vec<(Vec<String>, i64)>,
}

/// All gauges of these partners.
///
/// # Errors
/// Never, unless a name here is wrong.
pub async fn gauges(app: &App, partners: &[&str]) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let now = (app.platform.now)();
    // All at once, so that several databases that hang cost no more time than one.
    let looks = join_all(partners.iter().map(|partner| look(app, partner, now)));
    let (looks, shared) = join(looks, app.shared.ping()).await;
    let shared_is_up = i64::from(shared.is_ok());
    let of_all = [
        whole("shared_database_up", "Whether the database that all partners share answers", shared_is_up),
        whole("requests_in_flight", "Requests about partners' data in flight", number(app.room.taken())),
        whole("requests_in_flight_max", "How many of them there may be", number(app.room.places())),
        Gauge {
            name: "build_info",
            help: "What runs here; always 1",
            labels: &["version"],
            values: vec![(vec![env!("CARGO_PKG_VERSION").to_owned()], 1)],
        },
        whole("start_time_seconds", "When it was started, in Unix seconds", app.started_at.unix_s()),
    ];
    let families = of_all.into_iter().chain(of_partners(&looks)).map(Gauge::collect);
    let mut families: Vec<_> = families.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    for counter in EDGE_COUNTERS {
        families.extend(counter.collect(&looks)?);
    }
    Ok(families)
}

/// A counter that the edge reports.
struct EdgeCounter {
    kind: OutcomeKind,
    name: &'static str,
    help: &'static str,
    /// An outcome that an alert goes by. Its series starts at 0, so that the first one is an increase.
    alerted: &'static str,
}

const EDGE_COUNTERS: [EdgeCounter; 3] = [
    EdgeCounter {
        kind: OutcomeKind::Requests,
        name: "requests_total",
        help: "Postback requests that the edge answered: a verdict, queued, or an error code",
        alerted: "unavailable",
    },
    EdgeCounter {
        kind: OutcomeKind::Deliveries,
        name: "deliveries_total",
        help: "Messages of the edge's queues and further attempts at the origin: delivered, retried, version_skew or parked",
        alerted: "version_skew",
    },
    EdgeCounter {
        kind: OutcomeKind::Rejections,
        name: "rejections_total",
        help: "Requests that the edge rejected and that were not stored, because the partner's limit was reached: dropped",
        alerted: "dropped",
    },
];

impl EdgeCounter {
    fn collect(&self, looks: &[Look<'_>]) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let EdgeCounter { kind, name, help, alerted } = self;
        let opts = Opts::new(format!("bytec_edge_{name}"), *help);
        let counter = IntCounterVec::new(opts, &[PARTNER, "outcome"])?;
        for (partner, seen) in looks.iter().filter_map(|look| Some((look.partner, look.seen.as_ref()?))) {
            counter.get_metric_with_label_values(&[partner, alerted])?;
            for total in seen.edge_outcomes.iter().filter(|total| total.kind == kind.name()) {
                counter.get_metric_with_label_values(&[partner, &total.outcome])?.inc_by(total.count);
            }
        }
        Ok(counter.collect())
    }
}

fn of_partners(looks: &[Look<'_>]) -> Vec<Gauge> {
    let is_up = |look: &Look<'_>| Some(i64::from(look.seen.is_some()));
    let seen = |of: fn(&Seen) -> Option<i64>| move |look: &Look<'_>| look.seen.as_ref().and_then(of);
    let by_partner = |name, help, value: &dyn Fn(&Look<'_>) -> Option<i64>| Gauge {
        name,
        help,
        labels: &[PARTNER],
        values: looks.iter().filter_map(|look| Some((vec![look.partner.to_owned()], value(look)?))).collect(),
    };
    vec![
        by_partner("database_up", "Whether the partner's database answers", &is_up),
        by_state(looks, "database_connections", "Connections to the partner's database", |seen| {
            let Connections { open, idle, max } = seen.connections;
            vec![("used", open.saturating_sub(idle)), ("idle", idle), ("max", max)]
        }),
        by_state(looks, "work_items", "Events that are still to be processed", |Seen { backlog, .. }| {
            vec![("waiting", backlog.waiting), ("delayed", backlog.delayed), ("dead", backlog.dead)]
        }),
        by_partner(
            "processing_lag_seconds",
            "For how long the oldest event has been due that nobody processes",
            &seen(|seen| Some(number(seen.backlog.lag_s))),
        ),
        by_partner(
            "rebuilds_waiting",
            "Conversions with receipts that were not stored in their order, which are still to be rebuilt",
            &seen(|seen| Some(number(seen.backlog.rebuilds))),
        ),
        by_partner(
            "waiting_for_rates",
            "Conversions that count with an amount that waits for an exchange rate: sums miss it until then",
            &seen(|seen| Some(seen.waiting_for_rates)),
        ),
        by_partner(
            "last_postback_timestamp_seconds",
            "When the partner's last postback came, in Unix seconds",
            &seen(|seen| seen.watched.last_s),
        ),
        by_partner(
            "partner_silent",
            "1 where the partner usually sends at this time of the day, and has not for long",
            &seen(|seen| Some(i64::from(seen.watched.is_silent))),
        ),
        by_partner(
            "partner_clock_offset_seconds",
            "By how many half hours the times that the partner sends are in the past: a wrong time zone, unless 0",
            &seen(|seen| Some(seen.watched.clock_offset_s)),
        ),
        by_partner(
            "recount_last_run_timestamp_seconds",
            "When the last recount of a night was finished, in Unix seconds; 0 where there was none yet",
            &seen(|seen| Some(seen.recounted.as_ref().map_or(0, |recounted| recounted.finished_s))),
        ),
        by_label(
            looks,
            &[PARTNER, "what"],
            "recount_differences",
            "What the last recount of a night found to differ",
            |seen| {
                let differences = |Recounted { progress, .. }: &Recounted| {
                    vec![("conversions", progress.conversions_differ), ("totals", progress.totals_differ)]
                };
                seen.recounted.as_ref().map(differences).unwrap_or_default()
            },
        ),
    ]
}

async fn look<'a>(app: &App, partner: &'a str, now: Timestamp) -> Look<'a> {
    let seen = async {
        let store = app.databases.of(partner).await?;
        // It answers what it is asked; that it can be written to is asked apart.
        store.ping().await?;
        let waiting = async { Ok((store.backlog(now).await?, store.waiting_for_rates().await?)) };
        let (waiting, watched, recounted, edge_outcomes): (Result<_, StoreError>, _, _, _) =
            join4(waiting, watch(store, now), store.last_recount(now), store.edge_outcomes()).await;
        let (backlog, waiting_for_rates) = waiting?;
        Ok(Seen {
            backlog,
            waiting_for_rates,
            watched: watched?,
            connections: store.database().connections(),
            recounted: recounted?,
            edge_outcomes: edge_outcomes?,
        })
    };
    let seen: Result<Seen, StoreError> = seen.await;
    if let Err(error) = &seen {
        tracing::warn!(partner, reason = %error, "a database could not be looked at");
    }
    Look { partner, seen: seen.ok() }
}

fn whole(name: &'static str, help: &'static str, value: i64) -> Gauge {
    Gauge { name, help, labels: &[], values: vec![(Vec::new(), value)] }
}

fn by_state(
    looks: &[Look<'_>],
    name: &'static str,
    help: &'static str,
    of: fn(&Seen) -> Vec<(&'static str, u64)>,
) -> Gauge {
    by_label(looks, &[PARTNER, "state"], name, help, of)
}

fn by_label(
    looks: &[Look<'_>],
    labels: &'static [&'static str],
    name: &'static str,
    help: &'static str,
    of: fn(&Seen) -> Vec<(&'static str, u64)>,
) -> Gauge {
    let values = looks.iter().flat_map(|look| {
        let states = look.seen.as_ref().map(of).unwrap_or_default();
        states.into_iter().map(|(state, value)| (vec![look.partner.to_owned(), state.to_owned()], number(value)))
    });
    Gauge { name, help, labels, values: values.collect() }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Gauge {
    fn collect(self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let opts = Opts::new(format!("bytec_origin_{}", self.name), self.help);
        let gauge = IntGaugeVec::new(opts, self.labels)?;
        for (labels, value) in &self.values {
            gauge.get_metric_with_label_values(&labels.iter().map(String::as_str).collect::<Vec<_>>())?.set(*value);
        }
        Ok(gauge.collect())
    }
}
