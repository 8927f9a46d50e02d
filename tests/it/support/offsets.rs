//! A group's offsets and a topic's log, changed by hand.

use super::{BOUND, eventually};
use model_factory::adapters::kafka::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;

fn admin(settings: &KafkaSettings) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().unwrap()
}

fn first_partition(settings: &KafkaSettings, offset: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&settings.topics.requests, 0, Offset::Offset(offset)).unwrap();
    list
}

/// Commits this offset of the request topic's first partition for the group, whether or not a record has it.
pub async fn commit_offset(settings: &KafkaSettings, offset: i64) {
    let settings = settings.clone();
    let commit = move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("group.id", &settings.group_id)
            .create()
            .unwrap();
        consumer.commit(&first_partition(&settings, offset), CommitMode::Sync).unwrap();
    };
    tokio::task::spawn_blocking(commit).await.unwrap();
}

/// Deletes the records of the request topic's first partition before this offset, as retention does.
pub async fn delete_records_before(settings: &KafkaSettings, offset: i64) {
    let options = AdminOptions::new();
    let deleted = admin(settings).delete_records(&first_partition(settings, offset), &options).await.unwrap();
    assert!(deleted.elements()[0].error().is_ok());
}

pub async fn create_compacted_topic(settings: &KafkaSettings, name: &str) {
    create_topic(settings, name, &[("cleanup.policy", "compact")]).await;
}

/// Makes a topic of one partition with these settings.
pub async fn create_topic(settings: &KafkaSettings, name: &str, with: &[(&str, &str)]) {
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let topic = with.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let made = admin(settings).create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(made.into_iter().all(|made| made.is_ok()));
}

/// Deletes the request topic and creates it again, empty, with as many partitions.
pub async fn make_anew(settings: &KafkaSettings, partitions: i32) {
    let (admin, name) = (admin(settings), settings.topics.requests.as_str());
    admin.delete_topics(&[name], &AdminOptions::new()).await.unwrap();
    // The broker forgets the old one in the background.
    eventually("a new topic of the same name", BOUND, || async {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = admin.create_topics(&[topic], &AdminOptions::new()).await.ok()?;
        made[0].is_ok().then_some(())
    })
    .await;
}

/// Sends these values to the request topic in a transaction, and commits or aborts it.
pub async fn send_in_transaction(settings: &KafkaSettings, values: &[Vec<u8>], commits: bool) {
    let (settings, values) = (settings.clone(), values.to_vec());
    let sending = move || {
        let bound = Duration::from_secs(30);
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("transactional.id", format!("{}-producer", settings.group_id))
            .create()
            .unwrap();
        producer.init_transactions(bound).unwrap();
        producer.begin_transaction().unwrap();
        for value in &values {
            producer.send(BaseRecord::<str, [u8]>::to(&settings.topics.requests).payload(value)).unwrap();
        }
        producer.flush(bound).unwrap();
        if commits {
            producer.commit_transaction(bound).unwrap();
        } else {
            producer.abort_transaction(bound).unwrap();
        }
    };
    tokio::task::spawn_blocking(sending).await.unwrap();
}
