//! Records traces: spans of what a worker receives, works on and sends, and of the steps that its child process
//! reports.
//!
//! Guarantees: no span is recorded if no endpoint is configured. Never: blocks a run or lets it fail.

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
