//! The only file that asks the time.
//!
//! Guarantees: durations, bounds and leases go by the monotonic clock, which nobody can set. Never: orders what
//! the ledger holds, which the database's clock does; serves `domain` and `modelling`, which know no clock.
#![expect(clippy::disallowed_methods, reason = "this is the file that asks the time")]

use std::time::{Duration, Instant, SystemTime};

/// Now, by the monotonic clock.
pub fn now() -> Instant {
    Instant::now()
}

/// Now, by the system's wall clock: it may be wrong, and it may jump.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Time since 1970 by the system's wall clock; zero where that is set to an earlier time.
pub fn since_epoch() -> Duration {
    system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Measures how long something takes, by the monotonic clock.
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
