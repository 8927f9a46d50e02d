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

/// Now, by the machine's calendar: it may be wrong, and may jump.
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// The machine's calendar as time since 1970; zero on a machine whose calendar stands before that.
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
