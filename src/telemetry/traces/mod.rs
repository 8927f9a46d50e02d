//! Traces: what a worker received, what it works on, what its child reports and what it sends, as spans.
//!
//! Guarantees: nothing is recorded where no endpoint is configured. Never: blocks or fails a run.

mod messaging;
mod provider;
mod receiver;
mod settings;
mod spans;

pub use messaging::{Received, Sending, process_span, send_span};
pub(super) use provider::provider;
pub use receiver::check_receiver;
pub use settings::TelemetrySettings;
pub(super) use spans::install;
pub use spans::{ChildSpan, OpenSpan, record_attribute, record_failure, set_parent};
