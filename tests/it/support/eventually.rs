//! Waiting for a condition, with a bound.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// For whatever a whole worker does, on a slow and busy machine.
pub const BOUND: Duration = Duration::from_mins(3);

/// Polls until `condition` gives a value; fails the test after `bound`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(since.elapsed() < bound, "waited {bound:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes how long something took beside the test's result, also if the test passes.
pub fn took(what: &str, time: Duration) {
    let _ = writeln!(std::io::stderr(), "{what}: {time:.1?}");
}
