//! The compiled schemas.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A schema that ships inside the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaName {
    /// Dataset manifest.
    DatasetManifest,
    /// Training profile.
    TrainingProfile,
    /// Governance profile.
    GovernanceProfile,
}

/// Where and how a document breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {rule}")]
pub struct DocumentFault {
    /// JSON pointer.
    pub pointer: String,
    /// The rule, for people.
    pub rule: String,
}

/// Checks a value against a schema.
pub fn check(_schema: SchemaName, _value: &Value) -> Result<(), DocumentFault> {
    unimplemented!()
}

/// Reads strict JSON bytes as a document of this schema.
pub fn read_json<T: DeserializeOwned>(_schema: SchemaName, _bytes: &[u8]) -> Result<T, DocumentFault> {
    unimplemented!()
}

/// Reads YAML (of which JSON is a part) as a document of this schema; duplicate keys are refused.
pub fn read_yaml<T: DeserializeOwned>(_schema: SchemaName, _bytes: &[u8]) -> Result<T, DocumentFault> {
    unimplemented!()
}

/// The schema's text.
pub fn schema_text(_schema: SchemaName) -> &'static str {
    unimplemented!()
}
