//! Back-off: delays between tries. Only this file names the crate `backoff`, so that another crate can replace it.

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use std::time::Duration;

/// Delays that grow from try to try up to a cap, with jitter.
pub struct Backoff(ExponentialBackoff);

impl Backoff {
    /// Builds a back-off. Delays start around `first` and never exceed `cap`. The number of tries is not bounded.
    pub fn between(first: Duration, cap: Duration) -> Self {
        Self(ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            max_interval: cap,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    pub fn next_delay(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval).min(self.0.max_interval)
    }

    /// Resets the back-off after a success, so that the next delay is around `first` again.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_stay_under_the_cap_and_start_over() {
        let (first, cap) = (Duration::from_millis(10), Duration::from_secs(1));
        let mut backoff = Backoff::between(first, cap);
        let delays: Vec<Duration> = (0..50).map(|_| backoff.next_delay()).collect();
        assert!(delays.iter().all(|delay| *delay <= cap));
        assert!(delays[49] > cap / 4);
        backoff.reset();
        assert!(backoff.next_delay() <= first * 2);
    }
}
