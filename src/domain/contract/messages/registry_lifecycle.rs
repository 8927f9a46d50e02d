//! `RegistryEvent`, which the registry writes to its own lifecycle topic. Only the fields about publications are read.

use super::run_lifecycle::EvidenceRef;
use crate::domain::contract::schema::excerpt;
use crate::domain::contract::{DocumentError, SchemaName, read_json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// An event of the registry's topic. Model Factory ignores events other than the two of [`RegistryVerdict`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryEvent {
    /// Chosen by the registry, which must send a repeated event with the same id. The ledger applies an id once.
    pub registry_event_id: String,
    pub event_type: String,
    /// Scope of the bundle, as `environment/mode/bundle_slot[/tenant_id]`.
    pub scope_key: String,
    /// Folder of the bundle in the evidence store, as the publication named it.
    pub bundle_ref: String,
    pub actor: String,
    pub ts_utc: DateTime<Utc>,
    pub evidence_refs: Vec<EvidenceRef>,
    /// Why the bundle was rejected. `None` if the event is no rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the registry decided about an announced bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistryVerdict {
    Published,
    Rejected,
}

impl RegistryEvent {
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        read_json(SchemaName::RegistryLifecycle, bytes)
    }

    /// Returns the registry's decision. `None` if the event is about something else.
    pub fn verdict(&self) -> Option<RegistryVerdict> {
        match self.event_type.as_str() {
            "BUNDLE_PUBLISHED" => Some(RegistryVerdict::Published),
            "BUNDLE_REJECTED" => Some(RegistryVerdict::Rejected),
            _ => None,
        }
    }

    /// Describes the event in a sentence for people. Text from the registry is escaped and cut to 200 characters.
    pub fn sentence(&self) -> String {
        let (actor, id) = (excerpt(&self.actor), &self.registry_event_id);
        match &self.reason {
            Some(reason) => format!("{actor} says {} in event {id}: {}", self.event_type, excerpt(reason)),
            None => format!("{actor} says {} in event {id}", self.event_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::schema_text;

    fn examples() -> Vec<serde_json::Value> {
        let schema: serde_json::Value = serde_json::from_str(schema_text(SchemaName::RegistryLifecycle)).unwrap();
        schema["examples"].as_array().unwrap().clone()
    }

    #[test]
    fn every_example_reads_and_two_of_them_are_about_publications() {
        let read = |example: &serde_json::Value| RegistryEvent::read(example.to_string().as_bytes()).unwrap();
        let verdicts: Vec<_> = examples().iter().map(|example| read(example).verdict()).collect();
        assert_eq!(verdicts, [Some(RegistryVerdict::Published), Some(RegistryVerdict::Rejected), None]);
    }

    #[test]
    fn what_is_no_event_names_the_pointer() {
        let mut event = examples().remove(0);
        event.as_object_mut().unwrap().remove("bundle_ref");
        let error = RegistryEvent::read(event.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.pointer, "/bundle_ref");
        assert!(RegistryEvent::read(b"no event").is_err());
    }
}
