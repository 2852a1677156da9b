//! What has been done, for Prometheus: base units, and one end for every request.

mod families;
mod losses;
mod promise;

use offramp::Exit;
use offramp_protocol::Status;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Error, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};

use families::Families;
use losses::Losses;
use promise::Promise;

const SECONDS: [f64; 14] =
    [2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// `received` = the sum of `ended` + requests still inside.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) received: IntCounter,
    /// By end: `ok`, `cancelled` or the name of a status.
    ended: IntCounterVec,
    /// By exit: a site or `final`.
    exits: IntCounterVec,
    pub(crate) not_finite: IntCounter,
    pub(crate) connections: IntGauge,
    pub(crate) waiting: IntGauge,
    pub(crate) ready: IntGauge,
    pub(crate) pass_rows: Histogram,
    pub(crate) pass_seconds: Histogram,
    pub(crate) queue_seconds: Histogram,
    pub(crate) promise: Promise,
    pub(crate) losses: Losses,
    build: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let families = Families(&registry);
        let rows = (0..=8).map(|power| f64::from(1 << power)).collect();
        let counters = |name, help, label| families.counters(name, help, label);
        let gauge = |name, help| families.gauge(name, help);
        let seconds = |name, help| families.histogram(name, help, SECONDS.to_vec());
        Ok(Self {
            received: families.counter("offramp_requests_total", "Infer requests read")?,
            ended: counters("offramp_requests_ended_total", "Infer requests by their end", "end")?,
            exits: counters("offramp_answers_total", "Answers by the exit that gave them", "exit")?,
            not_finite: families.counter(
                "offramp_rows_not_finite_total",
                "Rows with NaN or infinite logits at some exit",
            )?,
            connections: gauge("offramp_connections", "Open connections")?,
            waiting: gauge("offramp_requests_waiting", "Requests that wait for a pass")?,
            ready: gauge("offramp_ready", "1 where work is taken")?,
            pass_rows: families.histogram("offramp_pass_rows", "Rows of a pass", rows)?,
            pass_seconds: seconds("offramp_pass_seconds", "Time of a pass")?,
            queue_seconds: seconds("offramp_queue_seconds", "Wait for a pass")?,
            promise: Promise::new(&families)?,
            losses: Losses::new(&families)?,
            build: families.gauges(
                "offramp_build_info",
                "1, with what runs here",
                &["version", "model", "device"],
            )?,
            registry,
        })
    }

    /// The process beside what it serves: memory, descriptors, threads.
    pub(crate) fn measure_process(&self) -> Result<(), Error> {
        #[cfg(target_os = "linux")]
        self.registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(())
    }

    /// What runs here.
    pub(crate) fn set_build(&self, model: &str, device: &str) {
        self.build.with_label_values(&[env!("CARGO_PKG_VERSION"), model, device]).set(1);
    }

    pub(crate) fn end(&self, failure: Option<Status>) {
        self.ended.with_label_values(&[failure.map_or("ok", Status::name)]).inc();
    }

    /// Its client has gone.
    pub(crate) fn cancelled(&self) {
        self.ended.with_label_values(&["cancelled"]).inc();
    }

    pub(crate) fn exit(&self, exit: Exit) {
        self.exits.with_label_values(&[exit.to_string().as_str()]).inc();
    }

    /// Requests by their end.
    fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ends = ["ok", "cancelled"].into_iter().chain(Status::ALL.into_iter().map(Status::name));
        ends.map(|end| (end, self.ended.with_label_values(&[end]).get()))
    }

    /// What a service has done, in the log.
    pub(crate) fn tell(&self) {
        let ended = self.ends().filter(|&(_, requests)| requests > 0);
        let ended: Vec<String> = ended.map(|(end, requests)| format!("{end} {requests}")).collect();
        tracing::info!(
            requests = self.received.get(),
            ended = ended.join(", "),
            passes = self.pass_rows.get_sample_count(),
            rows = self.pass_rows.get_sample_sum() as u64,
            audited = self.promise.audited.get(),
            differing = self.promise.differing.get(),
            "drained"
        );
    }

    /// Requests by their end, as JSON.
    pub(crate) fn json(&self) -> String {
        let ended = self.ends().map(|(end, requests)| (end.to_owned(), requests.into()));
        let ended: serde_json::Map<String, serde_json::Value> = ended.collect();
        serde_json::json!({
            "requests": self.received.get(),
            "ended": ended,
            "waiting": self.waiting.get(),
            "connections": self.connections.get(),
            "threshold_version": self.promise.threshold_version.get(),
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
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("invariant: writing to memory works");
        text
    }
}
