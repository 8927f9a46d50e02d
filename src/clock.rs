//! Reads the time. No other file does.
//!
//! Guarantees: durations, timeouts and leases use the monotonic clock, which nobody can set. Never: orders rows of the
//! ledger, which the database's clock does. `domain` and `modelling` may not use this file.
#![expect(clippy::disallowed_methods, reason = "this is the file that asks the time")]

use std::time::{Duration, Instant, SystemTime};

/// Returns the current time of the monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the current time of the system's wall clock, which may be wrong and may jump.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Returns the time since 1970 by the system's wall clock. Zero if the clock is set to before 1970.
pub fn since_epoch() -> Duration {
    system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Measures a duration with the monotonic clock.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
