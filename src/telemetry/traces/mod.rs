//! Traces: spans of what a worker receives, works on and sends, and of what its child process reports.
//!
//! Guarantees: nothing is recorded if no endpoint is configured. Never: blocks or fails a run.

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
