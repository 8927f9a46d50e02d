//! A metric: its name and what is known about it, and the one way to count with it.

use super::labels::{Labels, Legend};
use std::marker::PhantomData;

/// What may be done with a metric.
pub trait Kind {
    /// The name of its type in the exposition format.
    const TYPE: &'static str;
    /// Whether its series may end: then they are written anew each time that somebody reads them.
    const PASSES: bool = false;
}

/// Only ever grows.
#[derive(Debug)]
pub enum Counter {}

/// Stands at its last value.
#[derive(Debug)]
pub enum Gauge {}

/// A gauge of something that this worker may lose.
#[derive(Debug)]
pub enum Passing {}

/// How often a value came, by size.
#[derive(Debug)]
pub enum Histogram {}

impl Kind for Counter {
    const TYPE: &'static str = "counter";
}

impl Kind for Gauge {
    const TYPE: &'static str = "gauge";
}

impl Kind for Passing {
    const TYPE: &'static str = "gauge";
    const PASSES: bool = true;
}

impl Kind for Histogram {
    const TYPE: &'static str = "histogram";
}

/// A metric of this kind with these labels.
#[derive(Debug)]
pub struct Metric<K, L> {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    normal: &'static str,
    of: PhantomData<fn(K, L)>,
}

/// A metric whatever its kind and labels, for whoever documents it or checks it.
pub trait Described: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// `counter`, `gauge` or `histogram`.
    fn kind(&self) -> &'static str;
    /// What one of it is.
    fn unit(&self) -> &'static str;
    /// What it says.
    fn help(&self) -> &'static str;
    /// What is seen of it where all is well.
    fn normal(&self) -> &'static str;
    /// Its labels.
    fn labels(&self) -> Vec<Legend>;
    /// See [`Kind::PASSES`].
    fn passes(&self) -> bool;
    /// Tells the recorder what it is; a counter or histogram of known series then stands at zero.
    fn announce(&self);
}

impl<K, L> Metric<K, L> {
    pub(super) const fn new(name: &'static str, unit: &'static str, help: &'static str, normal: &'static str) -> Self {
        Self { name, unit, help, normal, of: PhantomData }
    }
}

impl<L: Labels> Metric<Counter, L> {
    /// One more.
    pub fn count(&self, labels: L) {
        self.add(labels, 1);
    }

    /// So many more.
    pub fn add(&self, labels: L, more: u64) {
        metrics::counter!(self.name, labels.pairs()).increment(more);
    }

    /// It has come to so much, where something else keeps the count; less than before is passed over.
    pub fn reached(&self, labels: L, total: u64) {
        metrics::counter!(self.name, labels.pairs()).absolute(total);
    }
}

impl<L: Labels> Metric<Gauge, L> {
    /// It stands here now.
    pub fn set(&self, labels: L, value: f64) {
        metrics::gauge!(self.name, labels.pairs()).set(value);
    }

    /// One more until the answer is dropped.
    pub fn hold(&'static self, labels: L) -> impl Drop + use<L> {
        struct Held(metrics::Gauge);
        impl Drop for Held {
            fn drop(&mut self) {
                self.0.decrement(1.0);
            }
        }
        let gauge = metrics::gauge!(self.name, labels.pairs());
        gauge.increment(1.0);
        Held(gauge)
    }
}

impl<L: Labels> Metric<Passing, L> {
    /// It stands here now; asked for by [`super::Page::render`].
    pub fn show(&self, labels: L, value: f64) {
        metrics::gauge!(self.name, labels.pairs()).set(value);
    }
}

impl<L: Labels> Metric<Histogram, L> {
    /// This value came.
    pub fn observe(&self, labels: L, value: f64) {
        metrics::histogram!(self.name, labels.pairs()).record(value);
    }
}

impl<K: Kind, L: Labels> Described for Metric<K, L> {
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

    fn passes(&self) -> bool {
        K::PASSES
    }

    fn announce(&self) {
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
            // What was not read yet is not zero.
            _ => metrics::describe_gauge!(name, help),
        }
    }
}
