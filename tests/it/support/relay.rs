//! A relay that runs beside a test, with a broker in this process.

use model_factory::adapters::kafka::{KafkaSettings, MockBroker};
use model_factory::adapters::ledger::Ledger;
use model_factory::domain::contract::OwnershipBoundaries;
use model_factory::worker::liveness::Heartbeat;
use model_factory::worker::relay::Relay;
use tokio::sync::watch;
use tokio::task::JoinSet;

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
