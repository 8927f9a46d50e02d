//! What a worker counts and measures: each metric is named here once, with its help, its unit and its labels.
//!
//! Guarantees: a label's values are known when the program is compiled, or follow from the operator's
//! configuration; what was never counted stands at zero from the start. Never: takes a label from the text of a
//! request; counts by itself.

mod catalogue;
mod labels;
mod metric;
mod page;

pub use catalogue::*;
pub use labels::{
    Admission, BuildInfo, Change, Ended, Heard, Labels, Legend, Loop, Need, NoticedBy, OutboxSort, Partition, Requeued,
    Stage, StageEnd, Stale, Values,
};
pub use metric::{Counter, Described, Gauge, Histogram, Kind, Metric, Passing};
pub use page::Page;
