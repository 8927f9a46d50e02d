//! The only file that reads the time.
//!
//! Guarantees: durations, bounds and leases use the monotonic clock, which nobody can set. Never: orders rows of the
//! ledger (the database's clock does); is used by `domain` and `modelling`, which have no clock.
#![expect(clippy::disallowed_methods, reason = "this is the file that asks the time")]

use std::time::{Duration, Instant, SystemTime};

/// The current time of the monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// The current time of the system's wall clock, which may be wrong and may jump.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Time since 1970 by the system's wall clock; zero if the clock is set before 1970.
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
