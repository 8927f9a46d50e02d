//! A registry in a few lines, for workers that wait for its confirmation.

use super::World;
use model_factory::adapters::kafka::{Follower, Inbound, Inbox, KafkaSettings, Outlet, Record};
use model_factory::adapters::ledger::{ConfirmedBy, PublishSettings};
use model_factory::domain::run::RegistryReply;
use model_factory::worker::registry::{RegistryListener, RegistryOutcome};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// A publication waits this long for the registry's confirmation.
pub fn confirmed_by_registry(registry_patience_seconds: u32) -> PublishSettings {
    PublishSettings { confirm: ConfirmedBy::Registry, registry_patience_seconds }
}

/// A registry's event about a publication.
pub fn registry_event(publication: &[u8], event_type: &str, id: &str) -> Value {
    let publication: Value = serde_json::from_slice(publication).unwrap();
    let bundle = |folder: &str| json!({"ref": format!("{folder}/bundle.json"), "sha256": publication["bundle_digest"]});
    json!({
        "registry_event_id": id,
        "event_type": event_type,
        "scope_key": publication["scope_key"],
        "bundle_ref": publication["bundle_ref"],
        "actor": "tests",
        "ts_utc": "2026-03-01T09:30:00Z",
        "evidence_refs": publication["bundle_ref"].as_str().map(bundle).into_iter().collect::<Vec<_>>(),
    })
}

/// Confirms every publication from now on, until the set is dropped.
pub async fn confirm_publications(kafka: &KafkaSettings) -> JoinSet<()> {
    let publications = Follower::at_end(kafka, &kafka.topics.publications).await.unwrap();
    let (outlet, topic) = (Outlet::open(kafka).unwrap(), kafka.topics.registry_lifecycle.clone());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        loop {
            let Ok(Some(Inbound { partition, offset, value, .. })) = publications.next(Duration::from_secs(1)).await
            else {
                continue;
            };
            let event = registry_event(&value, "BUNDLE_PUBLISHED", &format!("reg-{partition}-{offset}")).to_string();
            let record = Record { topic: &topic, key: None, value: event.as_bytes(), headers: &[] };
            outlet.send(record).await.unwrap();
        }
    });
    serving
}

impl World {
    /// Sends these values to the registry's topic.
    pub async fn send_registry_events(&self, values: &[Vec<u8>]) {
        let outlet = Outlet::open(&self.config.kafka).unwrap();
        let topic = &self.config.kafka.topics.registry_lifecycle;
        for value in values {
            outlet.send(Record { topic, key: Some(b"k"), value, headers: &[] }).await.unwrap();
        }
    }

    pub async fn listener(&self) -> RegistryListener {
        let inbox = Inbox::subscribe_to_registry(&self.config.kafka).await.unwrap();
        RegistryListener::new(inbox, self.ledger.clone(), "listener-1".to_owned())
    }

    /// Drives the listener until it has read so many records of the registry's topic.
    pub async fn read_registry_events(&self, records: usize) -> Vec<RegistryReply> {
        let mut listener = self.listener().await;
        let mut replies = Vec::new();
        for _ in 0..120 {
            if let RegistryOutcome::Applied(more) = listener.listen_once().await.unwrap() {
                replies.extend(more);
            }
            if replies.len() >= records {
                break;
            }
        }
        listener.close().await;
        assert_eq!(replies.len(), records, "{replies:?}");
        replies
    }
}
