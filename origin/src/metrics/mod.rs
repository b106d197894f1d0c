//! What the origin counts of itself, for Prometheus (R58): requests and how long they took, postbacks and how late they were stored,
//! and what was processed. What can be read from the databases is not counted here: [`gauges`] looks there when it is asked.
//!
//! Labels have few values: partners' codes, and words of ours. Nothing that a sender writes becomes one.

pub mod gauges;

use crate::processing::Finding;
use postback::time::Timestamp;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};
use std::collections::BTreeMap;
use std::time::Duration;

/// The label that says whose a series is.
const PARTNER: &str = "partner";
/// Upper bounds of how long requests take, in seconds. The target is 0.5 (R58).
const DURATIONS_S: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of how late postbacks are stored, in seconds. The target is 60 (R58); the edge goes on trying for 72 hours.
const DELAYS_S: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 28_800.0, 259_200.0];

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That a postback is stored.
    Postback,
    /// That clicks are.
    Clicks,
    /// That a report of the edge is.
    Report,
    /// What would become of a postback.
    Rehearsal,
    /// What was stored.
    Question,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Postback => "postback",
            Kind::Clicks => "clicks",
            Kind::Report => "report",
            Kind::Rehearsal => "rehearsal",
            Kind::Question => "question",
        }
    }
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// What it asked for.
    pub kind: Kind,
    /// Its partner's code; none where its path names no partner.
    pub partner: Option<&'a str>,
    /// Who brought it: `edge`, `direct` or `key`.
    pub via: &'static str,
    /// What became of it: a verdict, or an error's code.
    pub outcome: &'a str,
    /// When it came.
    pub began: Timestamp,
    /// When it was answered.
    pub ended: Timestamp,
}

/// The counters of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    delays: HistogramVec,
    processed: IntCounterVec,
    processing_failures: IntCounterVec,
    findings: IntCounterVec,
}

impl Metrics {
    /// Counters that stand at nothing.
    ///
    /// # Errors
    /// Never, unless a name here is wrong; a test holds that.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(format!("bytec_origin_{name}"), help), labels)
        };
        let histogram = |name: &str, help: &str, bounds: &[f64], labels: &[&str]| {
            let opts = HistogramOpts::new(format!("bytec_origin_{name}"), help).buckets(bounds.to_vec());
            HistogramVec::new(opts, labels)
        };
        let metrics = Metrics {
            registry: Registry::new(),
            requests: counter(
                "requests_total",
                "Requests answered, by what they asked for, who brought them and what became of them",
                &[PARTNER, "kind", "via", "outcome"],
            )?,
            durations: histogram(
                "request_duration_seconds",
                "How long requests took",
                &DURATIONS_S,
                &[PARTNER, "kind"],
            )?,
            delays: histogram(
                "postback_delay_seconds",
                "From a postback's arrival, at the edge where it came that way, until it was stored",
                &DELAYS_S,
                &[PARTNER, "via"],
            )?,
            processed: counter("processed_total", "Events processed, by this process", &[PARTNER])?,
            processing_failures: counter(
                "processing_failures_total",
                "Attempts to process events that failed as a whole",
                &[PARTNER],
            )?,
            findings: counter(
                "findings_total",
                "Conversions that were newly found to be odd, by what was found",
                &[PARTNER, "finding"],
            )?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.durations.clone()))?;
        metrics.registry.register(Box::new(metrics.delays.clone()))?;
        metrics.registry.register(Box::new(metrics.processed.clone()))?;
        metrics.registry.register(Box::new(metrics.processing_failures.clone()))?;
        metrics.registry.register(Box::new(metrics.findings.clone()))?;
        #[cfg(all(target_os = "linux", not(target_family = "wasm")))]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Counts a request that was answered.
    pub fn answered(&self, answered: &Answered<'_>) {
        let Answered { kind, partner, via, outcome, began, ended } = *answered;
        let (partner, kind) = (partner.unwrap_or("-"), kind.name());
        if let Ok(counter) = self.requests.get_metric_with_label_values(&[partner, kind, via, outcome]) {
            counter.inc();
        }
        observe(self.durations.get_metric_with_label_values(&[partner, kind]), began, ended);
    }

    /// Counts a postback that was stored so long after it had arrived.
    pub fn stored(&self, partner: &str, via: &str, arrived: Timestamp, now: Timestamp) {
        observe(self.delays.get_metric_with_label_values(&[partner, via]), arrived, now);
    }

    /// Counts events that were processed.
    pub fn processed(&self, partner: &str, events: usize) {
        if let Ok(counter) = self.processed.get_metric_with_label_values(&[partner]) {
            counter.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
        }
    }

    /// Counts what was newly found. What an alert goes by is there from the beginning, so that the first one is an increase.
    pub fn found(&self, partner: &str, found: &BTreeMap<&'static str, u64>) {
        let exceeds = (Finding::RefundExceedsSale.code(), 0);
        for (finding, count) in found.iter().map(|(finding, count)| (*finding, *count)).chain([exceeds]) {
            if let Ok(counter) = self.findings.get_metric_with_label_values(&[partner, finding]) {
                counter.inc_by(count);
            }
        }
    }

    /// Counts an attempt to process events that failed as a whole.
    pub fn processing_failed(&self, partner: &str) {
        if let Ok(counter) = self.processing_failures.get_metric_with_label_values(&[partner]) {
            counter.inc();
        }
    }

    /// All that was counted.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// Counts the time from one instant to another; none where a clock went back.
fn observe(histogram: Result<Histogram, prometheus::Error>, from: Timestamp, to: Timestamp) {
    if let Ok(histogram) = histogram {
        let ms = u64::try_from(to.unix_ms().saturating_sub(from.unix_ms())).unwrap_or(0);
        histogram.observe(Duration::from_millis(ms).as_secs_f64());
    }
}

/// Prometheus' text of what is one of these partners', or nobody's.
///
/// # Errors
/// Never, unless a family here is empty or has no name.
pub fn exposition(families: Vec<MetricFamily>, partners: &[&str]) -> Result<String, prometheus::Error> {
    let shown = families.into_iter().filter_map(|mut family| {
        family.mut_metric().retain(|metric| {
            let of = metric.get_label().iter().find(|label| label.name() == PARTNER);
            of.is_none_or(|label| label.value() == "-" || partners.contains(&label.value()))
        });
        (!family.get_metric().is_empty()).then_some(family)
    });
    TextEncoder::new().encode_to_string(&shown.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_to_whom_it_belongs() {
        let at = |ms: i64| Timestamp::from_unix_ms(ms).unwrap();
        let metrics = Metrics::new().unwrap();
        let answered = |partner: Option<&'static str>, outcome: &'static str| {
            let (began, ended) = (at(5_000), at(5_030));
            metrics.answered(&Answered { kind: Kind::Postback, partner, via: "edge", outcome, began, ended });
        };
        answered(Some("rector"), "created");
        answered(Some("rector"), "created");
        answered(Some("involve_asia"), "duplicate");
        answered(None, "partner_not_found");
        metrics.stored("rector", "edge", at(0), at(70_000));
        metrics.stored("rector", "edge", at(5_000), at(0));
        metrics.processed("rector", 7);
        metrics.processing_failed("rector");
        let text = exposition(metrics.gather(), &["rector"]).unwrap();
        for line in [
            r#"bytec_origin_requests_total{kind="postback",outcome="created",partner="rector",via="edge"} 2"#,
            r#"bytec_origin_requests_total{kind="postback",outcome="partner_not_found",partner="-",via="edge"} 1"#,
            r#"bytec_origin_request_duration_seconds_bucket{kind="postback",partner="rector",le="0.025"} 0"#,
            r#"bytec_origin_request_duration_seconds_bucket{kind="postback",partner="rector",le="0.05"} 2"#,
            r#"bytec_origin_postback_delay_seconds_bucket{partner="rector",via="edge",le="60"} 1"#,
            r#"bytec_origin_postback_delay_seconds_bucket{partner="rector",via="edge",le="300"} 2"#,
            r#"bytec_origin_processed_total{partner="rector"} 7"#,
            r#"bytec_origin_processing_failures_total{partner="rector"} 1"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("involve_asia"), "another's:\n{text}");
    }
}
