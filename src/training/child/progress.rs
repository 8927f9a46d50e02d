//! Progress, printed for the worker.

use crate::clock;
use crate::training::protocol::ChildProgress;
use std::io::Write as _;

/// Prints one line. Where nobody reads it, the child goes on.
pub(super) fn report(step: &str, fraction: f64, message: &str) {
    let at_unix_micros = u64::try_from(clock::since_epoch().as_micros()).ok();
    let progress = ChildProgress { step: step.to_owned(), fraction, message: message.to_owned(), at_unix_micros };
    if let Ok(line) = serde_json::to_string(&progress) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
