//! Makes metrics of a registry.

use prometheus::core::Collector;
use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry,
};

/// The registry that they belong to.
pub(super) struct Families<'a>(pub(super) &'a Registry);

impl Families<'_> {
    fn registered<C: Collector + Clone + 'static>(
        &self,
        made: Result<C, Error>,
    ) -> Result<C, Error> {
        let made = made?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.registered(IntCounter::new(name, help))
    }

    /// Counters by a label.
    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
    ) -> Result<IntCounterVec, Error> {
        self.registered(IntCounterVec::new(Opts::new(name, help), &[label]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.registered(IntGauge::new(name, help))
    }

    /// Gauges by labels.
    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, Error> {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A number that need not be known: a family without labels, whose only member comes with the
    /// first value.
    pub(super) fn gauge_if_any(&self, name: &str, help: &str) -> Result<GaugeVec, Error> {
        self.registered(GaugeVec::new(Opts::new(name, help), &[]))
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
    ) -> Result<Histogram, Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.registered(Histogram::with_opts(options))
    }
}
