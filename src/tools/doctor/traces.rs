//! The receiver of traces.

use super::finding::Finding;
use crate::telemetry::{self, TelemetrySettings};

/// Whether the receiver answers, where one is set. Never red: a worker works without it.
pub(super) fn check(settings: &TelemetrySettings) -> Vec<Finding> {
    match telemetry::check_receiver(settings) {
        None => Vec::new(),
        Some(Ok(url)) => vec![Finding::green("traces", format!("{url} takes spans"))],
        Some(Err(why)) => {
            let advice = "start the receiver (OTLP over HTTP, protobuf), or mend [telemetry]; runs do not wait for it";
            vec![Finding::yellow("traces", why, advice)]
        }
    }
}
