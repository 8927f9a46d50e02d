//! A relay that runs beside a test, with a broker in this process.

use model_factory::adapters::kafka::{KafkaSettings, MockBroker};
use model_factory::adapters::ledger::{Ledger, Room};
use model_factory::domain::contract::OwnershipBoundaries;
use model_factory::worker::liveness::Heartbeat;
use model_factory::worker::relay::Relay;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::sql;

/// Room for a few records of every stream of every shard.
pub fn whole_room() -> Room<'static> {
    const SHARDS: [i16; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    Room { shards: &SHARDS, busy: &[], records: 10, of_a_stream: 10, bytes: 1 << 20, max_record_bytes: 1_000 }
}

/// From now on publications count as handed over to a broker when they enter the outbox, though nobody relays them.
pub async fn publications_count_as_handed_over(url: &str) {
    sql(url, &["ALTER TABLE outbox ALTER handed_at SET DEFAULT now()"]).await;
}

pub struct RunningRelay {
    pub broker: MockBroker,
    pub kafka: KafkaSettings,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl RunningRelay {
    pub fn start(ledger: &Ledger) -> Self {
        let mut kafka = KafkaSettings::default();
        let broker = MockBroker::start(&kafka.topics, 1).unwrap();
        kafka.brokers = broker.brokers();
        let relay = Relay::new(&kafka, ledger.clone(), OwnershipBoundaries::shipped(), "relay".to_owned()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(async move { relay.run(stopped, Heartbeat::default()).await.unwrap() });
        Self { broker, kafka, stop, running }
    }

    /// Fails the test if the loop ended with an error.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        self.running.join_next().await.unwrap().unwrap();
    }
}
