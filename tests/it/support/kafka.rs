//! Topics of a test's own on the broker of the test run.

use model_factory::adapters::kafka::{KafkaSettings, MockBroker, StartAt, TopicNames, Topics};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Starts an in-process broker with these topics, for a test run without `MODEL_FACTORY_TEST_BROKERS`. Returns its address.
/// The broker must stay on the thread that made it, so that thread does nothing else. It makes no topics on request.
fn in_process(topics: &TopicNames, partitions: i32) -> String {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        eprintln!("MODEL_FACTORY_TEST_BROKERS is not set: using the in-process broker, not Apache Kafka");
    });
    let (topics, (sender, receiver)) = (topics.clone(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let broker = MockBroker::start(&topics, partitions).unwrap();
        sender.send(broker.brokers()).unwrap();
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap()
}

/// Settings with new topics and a new group, starting at the earliest record.
pub async fn own_topics(partitions: i32) -> KafkaSettings {
    if let Ok(brokers) = std::env::var("MODEL_FACTORY_TEST_BROKERS") {
        return own_topics_on(brokers, partitions).await;
    }
    let settings = own_names();
    KafkaSettings { brokers: in_process(&settings.topics, partitions), ..settings }
}

/// The same on these brokers.
pub async fn own_topics_on(brokers: String, partitions: i32) -> KafkaSettings {
    let settings = KafkaSettings { brokers, ..own_names() };
    Topics::ensure(&settings, partitions).await.unwrap();
    settings
}

fn own_names() -> KafkaSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    KafkaSettings {
        group_id: format!("{name}-group"),
        from: Some(StartAt::Earliest),
        topics: TopicNames {
            requests: format!("{name}-requests"),
            lifecycle: format!("{name}-lifecycle"),
            publications: format!("{name}-publications"),
            dead_letters: format!("{name}-dead-letters"),
            registry_lifecycle: format!("{name}-registry-lifecycle"),
            lineage: format!("{name}-lineage"),
        },
        ..KafkaSettings::default()
    }
}

/// The next offset that the group reads of this partition of the request topic; 0 before it committed.
pub async fn committed(settings: &KafkaSettings, partition: i32) -> i64 {
    let settings = settings.clone();
    let fetch = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("group.id", &settings.group_id)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition(&settings.topics.requests, partition);
        let found = consumer.committed_offsets(list, Duration::from_secs(20)).unwrap();
        match found.elements()[0].offset() {
            Offset::Offset(offset) => offset,
            _ => 0,
        }
    };
    tokio::task::spawn_blocking(fetch).await.unwrap()
}
