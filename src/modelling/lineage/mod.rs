//! OpenLineage events: what a run reads and writes, for tools that draw graphs of it.
//!
//! Guarantees: the same step gives the same bytes; all attempts at a run share one UUID; an event is shortened until it
//! fits its bound, and counts what it leaves out. Never: decides anything, asks a clock, opens a file. The ownership
//! boundaries do not apply to an event, since it only describes a run.

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
