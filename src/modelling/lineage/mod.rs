//! Builds OpenLineage events, which say what a run reads and writes, for tools that draw lineage graphs.
//!
//! Guarantees: the same step gives the same bytes. All attempts at a run share one UUID. An event above its bound loses
//! columns, inputs and manifests, and counts what was left out. Never: decides anything, reads a clock, or opens a
//! file. The ownership boundaries do not apply to an event, since an event only describes a run.

mod dataset_io;
mod event;
mod facets;
mod naming;
#[cfg(test)]
mod tests;
mod writer;

pub use dataset_io::{DatasetIo, WrittenDataset};
pub use event::RunState;
pub use facets::PRODUCER;
pub use naming::{DatasetLocations, DatasetName};
pub use writer::{EventWriter, LineageSettings, Moment};
