//! Defines counters, gauges and histograms: the name, unit, help and labels of each, and the methods that count and
//! measure.

use super::label_set::{LabelSet, Legend};
use std::marker::PhantomData;

pub trait InstrumentKind {
    /// The metric's type in Prometheus' exposition format.
    const TYPE: &'static str;
    /// If true, a series may disappear while the worker runs. Each page then contains only the series that were set
    /// while it was rendered.
    const IS_TRANSIENT: bool = false;
}

pub enum Counter {}

pub enum Gauge {}

/// A gauge of something that this worker may lose, such as a partition. The gauge's series then disappears from the
/// page.
pub enum TransientGauge {}

pub enum Histogram {}

impl InstrumentKind for Counter {
    const TYPE: &'static str = "counter";
}

impl InstrumentKind for Gauge {
    const TYPE: &'static str = "gauge";
}

impl InstrumentKind for TransientGauge {
    const TYPE: &'static str = "gauge";
    const IS_TRANSIENT: bool = true;
}

impl InstrumentKind for Histogram {
    const TYPE: &'static str = "histogram";
}

/// A metric of the kind `K` with the labels `L`.
pub struct Instrument<K, L> {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    normal: &'static str,
    of: PhantomData<fn(K, L)>,
}

/// A metric of any kind and labels, as the metrics page and the documentation see it.
pub trait Described: Sync {
    fn name(&self) -> &'static str;
    /// Returns `counter`, `gauge` or `histogram`.
    fn kind(&self) -> &'static str;
    /// Returns the unit of the value: `seconds`, `bytes`, or what is counted.
    fn unit(&self) -> &'static str;
    fn help(&self) -> &'static str;
    /// Describes the values that an operator sees when all is well.
    fn normal(&self) -> &'static str;
    fn labels(&self) -> Vec<Legend>;
    /// Returns [`InstrumentKind::IS_TRANSIENT`] of the metric's kind.
    fn is_transient(&self) -> bool;
    /// Gives the recorder the help text. Also starts each known series of a counter or histogram at zero.
    fn register(&self);
}

impl<K, L> Instrument<K, L> {
    pub(super) const fn new(name: &'static str, unit: &'static str, help: &'static str, normal: &'static str) -> Self {
        Self { name, unit, help, normal, of: PhantomData }
    }
}

impl<L: LabelSet> Instrument<Counter, L> {
    pub fn count(&self, labels: L) {
        self.add(labels, 1);
    }

    pub fn add(&self, labels: L, more: u64) {
        metrics::counter!(self.name, labels.pairs()).increment(more);
    }

    /// Sets the total of a counter that is counted elsewhere. A total below the current one changes nothing.
    pub fn set_total(&self, labels: L, total: u64) {
        metrics::counter!(self.name, labels.pairs()).absolute(total);
    }
}

impl<L: LabelSet> Instrument<Gauge, L> {
    pub fn set(&self, labels: L, value: f64) {
        metrics::gauge!(self.name, labels.pairs()).set(value);
    }

    /// Adds one to the gauge. Subtracts one when the returned guard is dropped.
    pub fn hold(&'static self, labels: L) -> impl Drop + use<L> {
        struct HeldGauge(metrics::Gauge);
        impl Drop for HeldGauge {
            fn drop(&mut self) {
                self.0.decrement(1.0);
            }
        }
        let gauge = metrics::gauge!(self.name, labels.pairs());
        gauge.increment(1.0);
        HeldGauge(gauge)
    }
}

impl<L: LabelSet> Instrument<TransientGauge, L> {
    /// Sets the value on the page that [`super::MetricsPage::render`] writes now. Later pages do not contain it.
    pub fn show(&self, labels: L, value: f64) {
        metrics::gauge!(self.name, labels.pairs()).set(value);
    }
}

impl<L: LabelSet> Instrument<Histogram, L> {
    pub fn observe(&self, labels: L, value: f64) {
        metrics::histogram!(self.name, labels.pairs()).record(value);
    }
}

impl<K: InstrumentKind, L: LabelSet> Described for Instrument<K, L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> &'static str {
        K::TYPE
    }

    fn unit(&self) -> &'static str {
        self.unit
    }

    fn help(&self) -> &'static str {
        self.help.trim()
    }

    fn normal(&self) -> &'static str {
        self.normal
    }

    fn labels(&self) -> Vec<Legend> {
        L::legend()
    }

    fn is_transient(&self) -> bool {
        K::IS_TRANSIENT
    }

    fn register(&self) {
        let (name, help) = (self.name, self.help());
        match K::TYPE {
            "counter" => {
                metrics::describe_counter!(name, help);
                for labels in L::all() {
                    metrics::counter!(name, labels.pairs()).increment(0);
                }
            }
            "histogram" => {
                metrics::describe_histogram!(name, help);
                for labels in L::all() {
                    drop(metrics::histogram!(name, labels.pairs()));
                }
            }
            // A gauge has no series until a value is set.
            _ => metrics::describe_gauge!(name, help),
        }
    }
}
