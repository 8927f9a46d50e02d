//! OpenLineage events: what a run reads and writes, for tools that draw graphs of it.
//!
//! Guarantees: the same step gives the same bytes; every attempt at a run has the same UUID; an event is never larger
//! than its bound, and names what it leaves out. Never: decides anything, asks a clock, opens a file. The ownership
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
