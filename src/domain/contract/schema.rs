//! Embeds the schemas in the program, and reads documents that must match a schema.

use super::parse_strict;
use crate::domain::harmless::line;
use crate::domain::named::named;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::OnceLock;
use strum::{IntoStaticStr, VariantArray};

macro_rules! schemas {
    ($($variant:ident => $folder:literal, $name:literal;)+) => {
        /// A schema that is embedded in the program. Its name is the name of its file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
        pub enum SchemaName {
            $(#[strum(serialize = $name)] $variant,)+
        }

        pub fn schema_text(schema: SchemaName) -> &'static str {
            match schema {
                $(SchemaName::$variant => {
                    include_str!(concat!("../../../schemas/", $folder, "/", $name, ".json"))
                })+
            }
        }
    };
}

schemas! {
    TrainBuildRequest => "messages", "train_build_request.v0";
    CloudEvent => "messages", "cloud_event.v0";
    SignedRequest => "messages", "signed_request.v0";
    PublishRetry => "messages", "publish_retry.v0";
    Cancel => "messages", "cancel.v0";
    RunLifecycle => "messages", "run_lifecycle.v0";
    BundlePublication => "messages", "bundle_publication.v0";
    RegistryLifecycle => "messages", "registry_lifecycle.v0";
    DatasetManifest => "evidence", "dataset_manifest.v0";
    ResolvedTrainPlan => "evidence", "resolved_train_plan.v0";
    LeakageReport => "evidence", "leakage_report.v0";
    EvalReport => "evidence", "eval_report.v0";
    DecisionReport => "evidence", "decision_report.v0";
    GateReceipt => "evidence", "gate_receipt.v0";
    PublishEligibility => "evidence", "publish_eligibility.v0";
    PublishReceipt => "evidence", "publish_receipt.v0";
    ParityVectors => "evidence", "parity_vectors.v0";
    Bundle => "evidence", "bundle.v0";
    AuditActs => "evidence", "audit_acts.v0";
    LineageRunFacet => "lineage", "lineage_run_facet.v0";
    LineageContentFacet => "lineage", "lineage_content_facet.v0";
    Reconciliation => "evidence", "reconciliation.v0";
    TrainerJob => "trainer", "trainer_job.v0";
    TrainerResult => "trainer", "trainer_result.v0";
    TrainingProfile => "profiles", "training_profile.v0";
    GovernanceProfile => "profiles", "governance_profile.v0";
    OwnershipBoundaries => "profiles", "ownership_boundaries.v0";
    RequesterPolicy => "profiles", "requester_policy.v0";
    LogLine => "operate", "log_line.v0";
}

named!(SchemaName, "{:?} is not a schema");

impl SchemaName {
    pub(super) fn validator(self) -> &'static Validator {
        const COUNT: usize = SchemaName::ALL.len();
        static VALIDATORS: [OnceLock<Validator>; COUNT] = [const { OnceLock::new() }; COUNT];
        VALIDATORS[self as usize].get_or_init(|| compile(schema_text(self)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {pointer:?}: {rule}")]
pub struct DocumentError {
    /// JSON pointer to the wrong field. Empty if the whole document is wrong.
    pub pointer: String,
    /// The broken rule, for people.
    pub rule: String,
    /// Whether the error is that a required field is missing.
    pub missing: bool,
}

impl DocumentError {
    pub(super) fn at(pointer: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), rule: rule.into(), missing: false }
    }

    fn whole(rule: impl Into<String>) -> Self {
        Self::at("", rule)
    }
}

/// Upper bound on the levels of nesting of a document.
pub(super) const MAX_DEPTH: usize = 64;

fn compile(text: &str) -> Validator {
    let schema: Value = serde_json::from_str(text).expect("shipped schemas are JSON");
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(&schema)
        .expect("shipped schemas compile")
}

/// Checks a value against a schema. Returns the first error in the schema's order.
pub fn check(schema: SchemaName, value: &Value) -> Result<(), DocumentError> {
    schema.validator().validate(value).map_err(|error| explain(&error))
}

pub(super) fn all_errors(schema: SchemaName, value: &Value) -> Vec<DocumentError> {
    let validator = schema.validator();
    // `is_valid` is several times faster than listing the errors.
    if validator.is_valid(value) {
        return Vec::new();
    }
    validator.iter_errors(value).map(|error| explain(&error)).collect()
}

/// Reads strict JSON as a document of this schema.
pub fn read_json<T: DeserializeOwned>(schema: SchemaName, bytes: &[u8]) -> Result<T, DocumentError> {
    let value = parse_strict(bytes, MAX_DEPTH).map_err(|error| DocumentError::whole(error.message))?;
    check(schema, &value)?;
    serde_json::from_value(value).map_err(|error| DocumentError::whole(error.to_string()))
}

/// Reads YAML (which includes JSON) as a document of this schema. The YAML reader refuses repeated keys, and bounds
/// aliases, depth and size.
pub fn read_yaml<T: DeserializeOwned>(schema: SchemaName, bytes: &[u8]) -> Result<T, DocumentError> {
    let value = serde_saphyr::from_slice::<Value>(bytes).map_err(|error| DocumentError::whole(error.to_string()))?;
    check(schema, &value)?;
    serde_json::from_value(value).map_err(|error| DocumentError::whole(error.to_string()))
}

/// Reads YAML like [`read_yaml`], but returns all errors, at least one. An author can then mend them all at once.
pub fn read_yaml_all<T: DeserializeOwned>(schema: SchemaName, bytes: &[u8]) -> Result<T, Vec<DocumentError>> {
    let whole = |rule: String| vec![DocumentError::whole(rule)];
    let value = serde_saphyr::from_slice::<Value>(bytes).map_err(|error| whole(error.to_string()))?;
    match all_errors(schema, &value) {
        found if found.is_empty() => serde_json::from_value(value).map_err(|error| whole(error.to_string())),
        found => Err(found),
    }
}

pub(super) fn explain(error: &ValidationError<'_>) -> DocumentError {
    let at = error.instance_path().as_str().to_owned();
    let below = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    let (pointer, rule, missing) = match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            (below(name), format!("{name} is required and must not be empty"), true)
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let name = unexpected.first().map_or("", String::as_str);
            (below(name), format!("the field {:?} is not known", excerpt(name)), false)
        }
        ValidationErrorKind::MinItems { .. } => (at, "at least one entry is required".to_owned(), true),
        ValidationErrorKind::Pattern { pattern } => {
            (at, format!("{} does not match {pattern}", excerpt(&error.instance().to_string())), false)
        }
        _ => (at, excerpt(&error.to_string()), false),
    };
    DocumentError { pointer, rule, missing }
}

/// Cuts text from a message to its first 200 characters and escapes them, for logs and events.
pub(super) fn excerpt(text: &str) -> String {
    const CAP: usize = 200;
    match text.char_indices().nth(CAP) {
        Some((end, _)) => format!("{}…", line(&text[..end], usize::MAX)),
        None => line(text, usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_compiles_names_itself_and_accepts_its_examples() {
        for &schema in SchemaName::ALL {
            let name = schema.as_str();
            let text: Value = serde_json::from_str(schema_text(schema)).unwrap();
            assert!(text["$id"].as_str().unwrap().ends_with(&format!("{name}.json")), "{name}");
            assert_eq!(text["additionalProperties"], false, "{name}");
            let examples = text["examples"].as_array().unwrap_or_else(|| panic!("{name} has no example"));
            for example in examples {
                check(schema, example).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            assert!(!examples.is_empty(), "{name}");
        }
    }

    #[test]
    fn every_field_of_every_schema_is_described() {
        fn visit(name: &str, at: &str, schema: &Value) {
            let members = |part: &str| schema.get(part).and_then(Value::as_object).into_iter().flatten();
            for (field, sub) in members("properties") {
                let at = format!("{at}/{field}");
                assert!(sub.get("description").is_some(), "{name} {at} has no description");
                visit(name, &at, sub);
            }
            for (field, sub) in members("$defs") {
                visit(name, &format!("{at}/$defs/{field}"), sub);
            }
            let parts = ["items", "additionalProperties"].into_iter().filter_map(|part| schema.get(part));
            let choices = ["oneOf", "anyOf"].into_iter().filter_map(|part| schema.get(part)?.as_array()).flatten();
            for sub in parts.chain(choices) {
                visit(name, at, sub);
            }
        }
        for &schema in SchemaName::ALL {
            visit(schema.as_str(), "", &serde_json::from_str(schema_text(schema)).unwrap());
        }
    }

    #[test]
    fn an_error_names_pointer_and_rule() {
        let error =
            read_yaml::<Value>(SchemaName::GovernanceProfile, b"policy_id: x\nrevision: r1\nbogus: 1\n").unwrap_err();
        assert!(!error.pointer.is_empty(), "{error}");
        let twice = read_yaml::<Value>(SchemaName::GovernanceProfile, b"policy_id: x\npolicy_id: y\n").unwrap_err();
        assert!(twice.rule.contains("uplicate"), "{twice}");
    }
}
