//! How long the relay waits after a turn: not at all while there is something to send, longer and longer while there is
//! nothing, and longer still in trouble.

use super::outcome::{RelayError, RelayOutcome};
use crate::worker::backoff::Backoff;
use std::time::Duration;

pub(super) struct RelayPace {
    idle: Backoff,
    trouble: Backoff,
    well: bool,
}

/// The longest wait of a relay with nothing to do, and so the most that it adds to an event's latency.
const IDLE_CAP: Duration = Duration::from_millis(500);

impl Default for RelayPace {
    fn default() -> Self {
        Self {
            idle: Backoff::between(Duration::from_millis(20), IDLE_CAP),
            trouble: Backoff::between(Duration::from_millis(200), Duration::from_secs(10)),
            well: true,
        }
    }
}

impl RelayPace {
    /// Whether the last turn was no error.
    pub(super) fn is_well(&self) -> bool {
        self.well
    }

    pub(super) fn after(&mut self, turn: &Result<RelayOutcome, RelayError>) -> Duration {
        self.well = turn.is_ok();
        match turn {
            Ok(RelayOutcome::Sent(_)) => {
                *self = Self::default();
                Duration::ZERO
            }
            Ok(RelayOutcome::Idle) => self.idle.next_delay(),
            Err(_) => self.trouble.next_delay(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::kafka;

    #[test]
    fn an_idle_relay_asks_less_and_less_often_and_one_with_work_never_waits() {
        let mut pace = RelayPace::default();
        let first = pace.after(&Ok(RelayOutcome::Idle));
        assert!(first <= Duration::from_millis(40), "{first:?}");
        let waits: Vec<Duration> = (0..50).map(|_| pace.after(&Ok(RelayOutcome::Idle))).collect();
        assert!(waits.iter().all(|wait| *wait <= IDLE_CAP), "{waits:?}");
        // Jitter takes up to half.
        assert!(waits[20..].iter().all(|wait| *wait >= IDLE_CAP / 3), "{waits:?}");
        assert_eq!(pace.after(&Ok(RelayOutcome::Sent(1))), Duration::ZERO);
        assert!(pace.after(&Ok(RelayOutcome::Idle)) <= Duration::from_millis(40), "it starts over");
    }

    #[test]
    fn a_relay_in_trouble_waits_longer_than_an_idle_one() {
        let mut pace = RelayPace::default();
        let error = || Err(RelayError::Kafka(kafka::Error::Unavailable("away".to_owned())));
        let waits: Vec<Duration> = (0..50).map(|_| pace.after(&error())).collect();
        assert!(waits[20..].iter().all(|wait| *wait > IDLE_CAP && *wait <= Duration::from_secs(10)), "{waits:?}");
    }
}
