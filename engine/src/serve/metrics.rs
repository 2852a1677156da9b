//! What has been done, for Prometheus: base units, and one end for every request.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use super::protocol::Status;
use crate::Exit;

const SECONDS: [f64; 14] =
    [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// `received` = the sum of `ended` + requests still inside.
pub(super) struct Metrics {
    registry: Registry,
    pub(super) received: IntCounter,
    /// By end: `ok`, `cancelled` or the name of a status.
    ended: IntCounterVec,
    /// By exit: a site or `final`.
    exits: IntCounterVec,
    pub(super) not_finite: IntCounter,
    pub(super) feedback_lost: IntCounter,
    pub(super) connections: IntGauge,
    pub(super) waiting: IntGauge,
    pub(super) ready: IntGauge,
    pub(super) threshold_version: IntGauge,
    pub(super) pass_rows: Histogram,
    pub(super) pass_seconds: Histogram,
    pub(super) queue_seconds: Histogram,
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let collector = collector?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

impl Metrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name, help| registered(&registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help));
        let family = |name: &str, help: &str, label: &str| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), &[label]))
        };
        let histogram = |name: &str, help: &str, buckets| {
            let options = HistogramOpts::new(name, help).buckets(buckets);
            registered(&registry, Histogram::with_opts(options))
        };
        let rows = (0..=8).map(|power| f64::from(1 << power)).collect();
        let seconds = || SECONDS.to_vec();
        Ok(Self {
            received: counter("offramp_requests_total", "Infer requests read")?,
            ended: family("offramp_requests_ended_total", "Infer requests by their end", "end")?,
            exits: family("offramp_answers_total", "Answers by the exit that gave them", "exit")?,
            not_finite: counter(
                "offramp_rows_not_finite_total",
                "Rows with NaN or infinite logits at some exit",
            )?,
            feedback_lost: counter(
                "offramp_feedback_lost_total",
                "Rows lost on the way to the control thread",
            )?,
            connections: gauge("offramp_connections", "Open connections")?,
            waiting: gauge("offramp_requests_waiting", "Requests that wait for a pass")?,
            ready: gauge("offramp_ready", "1 where work is taken")?,
            threshold_version: gauge("offramp_threshold_version", "Thresholds of the last pass")?,
            pass_rows: histogram("offramp_pass_rows", "Rows of a pass", rows)?,
            pass_seconds: histogram("offramp_pass_seconds", "Time of a pass", seconds())?,
            queue_seconds: histogram("offramp_queue_seconds", "Wait for a pass", seconds())?,
            registry,
        })
    }

    pub(super) fn end(&self, failure: Option<Status>) {
        self.ended.with_label_values(&[failure.map_or("ok", Status::name)]).inc();
    }

    /// Its client has gone.
    pub(super) fn cancelled(&self) {
        self.ended.with_label_values(&["cancelled"]).inc();
    }

    pub(super) fn exit(&self, exit: Exit) {
        self.exits.with_label_values(&[exit.to_string().as_str()]).inc();
    }

    /// Requests by their end, as JSON.
    pub(super) fn json(&self) -> String {
        let ended = |end: &str| (end.to_owned(), self.ended.with_label_values(&[end]).get().into());
        let ends = ["ok", "cancelled"].into_iter().chain(Status::ALL.into_iter().map(Status::name));
        let ended: serde_json::Map<String, serde_json::Value> = ends.map(ended).collect();
        serde_json::json!({
            "requests": self.received.get(),
            "ended": ended,
            "waiting": self.waiting.get(),
            "connections": self.connections.get(),
            "threshold_version": self.threshold_version.get(),
            "passes": self.pass_rows.get_sample_count(),
            "rows": self.pass_rows.get_sample_sum() as u64,
            "pass_rows": self.passes_by_rows(),
        })
        .to_string()
    }

    /// Passes by their rows: at most 1, 2, 4 and so on, and `more`.
    fn passes_by_rows(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut before = 0;
        let families = self.pass_rows.collect();
        let metrics = families.iter().flat_map(|family| family.get_metric());
        let buckets = metrics.flat_map(|metric| metric.get_histogram().get_bucket().to_vec());
        let bounded = buckets.map(|bucket| {
            let until = bucket.cumulative_count();
            let passes = until - std::mem::replace(&mut before, until);
            (bucket.upper_bound().to_string(), passes.into())
        });
        let mut passes: serde_json::Map<_, _> = bounded.collect();
        passes.insert("more".to_owned(), (self.pass_rows.get_sample_count() - before).into());
        passes
    }

    /// The text exposition.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("invariant: writing to memory works");
        text
    }
}
