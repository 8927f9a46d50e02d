//! The page that Prometheus reads.

use super::catalogue::{BUILD_INFO, CATALOGUE, DRAINING, LEDGER_SURVEYED, SLOTS, SLOTS_BUSY};
use super::instrument::Described;
use super::labels::BuildInfo;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets from five milliseconds to six hours.
const SECONDS: [f64; 20] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
    7_200.0, 21_600.0,
];
/// Renders what this process counts; cheap to clone.
#[derive(Debug, Clone)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// Starts counting; possible once in a process.
    pub fn install() -> Result<Self, BuildError> {
        // From 16 MiB to 64 GiB, each twice the one before.
        let bytes: [f64; 13] = std::array::from_fn(|power| f64::from(16 << power) * 1_048_576.0);
        let mut builder = PrometheusBuilder::new();
        for metric in metrics().filter(|metric| metric.kind() == "histogram") {
            let buckets: &[f64] = if metric.unit() == "bytes" { &bytes } else { &SECONDS };
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name().to_owned()), buckets)?;
        }
        let page = Self(builder.install_recorder()?);
        metrics().filter(|metric| !metric.is_transient()).for_each(Described::register);
        BUILD_INFO.set(BuildInfo, 1.0);
        for gauge in [&DRAINING, &SLOTS, &SLOTS_BUSY, &LEDGER_SURVEYED] {
            gauge.set((), 0.0);
        }
        Ok(page)
    }

    /// The page now. `show` sets the transient gauges, which the next page does not remember.
    pub fn render(&self, show: impl FnOnce()) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics().filter(|metric| metric.is_transient()).for_each(Described::register);
            show();
        });
        self.0.render() + &recorder.handle().render()
    }

    /// Sums up the values of histograms, which are kept one by one until this or a page is called.
    pub fn sum_up(&self) {
        self.0.run_upkeep();
    }
}

fn metrics() -> impl Iterator<Item = &'static dyn Described> {
    CATALOGUE.iter().flat_map(|(_, metrics)| metrics.iter().copied())
}
