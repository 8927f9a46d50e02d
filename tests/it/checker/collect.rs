//! Reads a history from broker, database and disk.

use super::history::{Decided, History, Run, Seen, Stepped};
use crate::support::World;
use model_factory::domain::identity::Digest;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::{Connection as _, PgConnection, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const REPLY_BOUND: Duration = Duration::from_secs(20);

/// The history of this world up to now.
pub async fn collect(world: &World) -> History {
    let kafka = world.config.kafka.clone();
    let topics = kafka.topics.clone();
    let (requests, lifecycle, publications, dead_letters, lineage, committed) =
        tokio::task::spawn_blocking(move || {
            let read = |topic: &str| whole(&kafka.brokers, topic);
            let committed = committed(&kafka.brokers, &kafka.group_id, &topics.requests);
            (
                read(&topics.requests),
                read(&topics.lifecycle),
                read(&topics.publications),
                read(&topics.dead_letters),
                read(&topics.lineage),
                committed,
            )
        })
        .await
        .unwrap();
    let mut history =
        History { requests, committed, lifecycle, publications, dead_letters, lineage, ..History::default() };
    ledger(&world.config.ledger.url, &mut history).await;
    history.max_full_attempts = world.config.ledger.max_full_attempts as i32;
    let root = world.folder.path().join("evidence");
    evidence(&root, &root, &mut history.evidence);
    history
}

fn consumer(brokers: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .create()
        .unwrap()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), REPLY_BOUND).unwrap();
    metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect()
}

/// Every record of a topic, one partition after the other.
fn whole(brokers: &str, topic: &str) -> Vec<Seen> {
    let consumer = consumer(brokers, "checker");
    let mut seen = Vec::new();
    for partition in partitions(&consumer, topic) {
        let (_, end) = consumer.fetch_watermarks(topic, partition, REPLY_BOUND).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut next = 0;
        while next < end {
            let message = consumer.poll(REPLY_BOUND).expect("a record within the bound").unwrap();
            next = message.offset() + 1;
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            seen.push(Seen {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: headers
                    .filter_map(|h| Some((h.key.to_owned(), String::from_utf8(h.value?.to_vec()).ok()?)))
                    .collect(),
            });
        }
    }
    seen
}

fn committed(brokers: &str, group: &str, topic: &str) -> BTreeMap<i32, i64> {
    let consumer = consumer(brokers, group);
    let mut list = TopicPartitionList::new();
    for partition in partitions(&consumer, topic) {
        list.add_partition(topic, partition);
    }
    let found = consumer.committed_offsets(list, REPLY_BOUND).unwrap();
    let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    found.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect()
}

async fn ledger(url: &str, history: &mut History) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    for row in sqlx::query(r#"SELECT partition, "offset", outcome FROM inbox ORDER BY 1, 2"#)
        .fetch_all(&mut connection)
        .await
        .unwrap()
    {
        let outcome: serde_json::Value = row.get(2);
        history.decided.push(Decided {
            partition: row.get(0),
            offset: row.get(1),
            outcome: outcome["outcome"].as_str().unwrap().to_owned(),
            run_id: outcome["run_id"].as_str().map(str::to_owned),
        });
    }
    for row in sqlx::query(
        "SELECT run_id, encode(run_key, 'hex'), state::text, lease_owner IS NOT NULL, full_run_attempts,
                full_run_attempts - full_attempts_before, refs FROM runs ORDER BY run_id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    {
        let refs: serde_json::Value = row.get(6);
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let refs = refs.as_object().unwrap().iter();
        history.runs.push(Run {
            run_id: row.get(0),
            run_key: row.get(1),
            state: row.get(2),
            leased: row.get(3),
            full_attempts: row.get(4),
            full_attempts_counted: row.get(5),
            refs: refs.map(|(role, at)| (role.clone(), (text(&at["ref"]), text(&at["sha256"])))).collect(),
        });
    }
    for row in sqlx::query(
        "SELECT run_id, seq, transition, from_state::text, to_state::text, fence FROM transitions ORDER BY run_id, seq",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
    {
        history.steps.push(Stepped {
            run_id: row.get(0),
            seq: row.get(1),
            step: row.get(2),
            from: row.get(3),
            to: row.get(4),
            fence: row.get(5),
        });
    }
    history.unsent = sqlx::query(
        "SELECT (SELECT count(*) FROM outbox WHERE sent_at IS NULL AND withdrawn_at IS NULL)
                + (SELECT count(*) FROM lineage_outbox WHERE sent_at IS NULL)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
    .get(0);
    connection.close().await.unwrap();
}

fn evidence(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            evidence(root, &path, found);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, Digest::of(&std::fs::read(&path).unwrap()).to_string());
        }
    }
}
