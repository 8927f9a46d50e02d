//! Counts and measures what a worker does. The catalogue declares each metric once, with its help, unit and labels.
//!
//! Guarantees: a label's values are known when the program is compiled, or follow from the operator's configuration. A
//! counter starts at zero. Never: takes a label from the text of a request, or decides by itself when to count.

mod catalogue;
mod domain_labels;
mod instrument;
mod label_set;
mod labels;

pub use catalogue::*;
pub use domain_labels::{Requeued, RunEnd};
pub use instrument::{Counter, Described, Gauge, Histogram, Instrument, InstrumentKind, TransientGauge};
pub use label_set::{ClosedLabel, DocumentedLabel, LabelSet, Legend, Values};
pub use labels::{
    BuildInfo, Correction, LoopLabel, NeedLabel, NoticedBy, Partition, PartitionChange, Stage, StageEnd, StaleWrite,
};
