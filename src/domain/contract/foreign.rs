//! Reads documents that a request names. An error quotes a document only if it is of the kind that is expected: a
//! request may name any file that the worker can open, and its error goes to everybody who reads the run's events.

use super::schema::MAX_DEPTH;
use super::{DocumentError, SchemaName, check, parse_strict, schema_text};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads strict JSON as a document of this schema.
pub fn read_foreign_json<T: DeserializeOwned>(schema: SchemaName, bytes: &[u8]) -> Result<T, DocumentError> {
    match parse_strict(bytes, MAX_DEPTH) {
        Ok(value) => typed(schema, value),
        Err(error) => Err(unreadable("JSON", error.at)),
    }
}

/// Reads YAML (which includes JSON) as a document of this schema. The YAML reader refuses repeated keys, and bounds
/// aliases, depth and size.
pub fn read_foreign_yaml<T: DeserializeOwned>(schema: SchemaName, bytes: &[u8]) -> Result<T, DocumentError> {
    match serde_saphyr::from_slice::<Value>(bytes) {
        Ok(value) => typed(schema, value),
        Err(error) => Err(unreadable("YAML", error.location().map(|at| (at.line(), at.column())))),
    }
}

fn typed<T: DeserializeOwned>(schema: SchemaName, value: Value) -> Result<T, DocumentError> {
    check(schema, &value).map_err(|error| if is_of_kind(schema, &value) { error } else { other_kind(schema) })?;
    serde_json::from_value(value).map_err(|error| DocumentError::at("", error.to_string()))
}

/// Whether a document has more than half of the fields that its schema requires.
fn is_of_kind(schema: SchemaName, value: &Value) -> bool {
    let required = required(schema);
    let found = required.iter().filter(|name| value.get(name).is_some()).count();
    2 * found > required.len()
}

fn required(schema: SchemaName) -> Vec<String> {
    let schema: Value = serde_json::from_str(schema_text(schema)).expect("shipped schemas are JSON");
    let names = schema["required"].as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn other_kind(schema: SchemaName) -> DocumentError {
    let (name, required) = (schema.as_str(), required(schema).join(", "));
    DocumentError::at("", format!("it is no {name}: most of the fields that one must have are missing ({required})"))
}

fn unreadable(form: &str, at: Option<(u64, u64)>) -> DocumentError {
    let rule = match at {
        Some((line, column)) => format!("it is not valid {form}: see line {line}, column {column}"),
        None => format!("it is not valid {form}"),
    };
    DocumentError::at("", rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let schema = SchemaName::GovernanceProfile;
        let yaml = read_foreign_yaml::<Value>(schema, text.as_bytes()).unwrap_err().to_string();
        let json = read_foreign_json::<Value>(schema, text.as_bytes()).unwrap_err().to_string();
        format!("{yaml}\n{json}")
    }

    #[test]
    fn what_is_of_another_kind_is_not_quoted() {
        for secret in [
            "4111111111111111",
            "card,amount\n4111111111111111,12.50\n",
            "policy_id: 4111111111111111\n",
            "- 4111111111111111\n",
            "4111111111111111: {\n",
            "\"4111111111111111\": 1\n\"4111111111111111\": 2\n",
            "{\"4111111111111111\": 1, \"4111111111111111\": 2}",
            "{\"policy_id\": \"4111111111111111\"}",
            "\t4111111111111111: &a *b\n",
        ] {
            let error = error(secret);
            assert!(!error.contains("4111"), "{secret:?}: {error}");
        }
    }

    #[test]
    fn a_document_of_the_expected_kind_gets_the_field_and_the_rule() {
        let text = "policy_id: cards\nrevision: r1\ncontrols: {require_pass_gate: maybe}\n";
        let error = read_foreign_yaml::<Value>(SchemaName::GovernanceProfile, text.as_bytes()).unwrap_err();
        assert!(
            error.to_string().contains("require_pass_gate") || error.to_string().contains("eval_thresholds"),
            "{error}"
        );
        let broken = error_of_json("{\n  \"policy_id\": \"cards\",\n}");
        assert!(broken.contains("line 3"), "{broken}");
    }

    fn error_of_json(text: &str) -> String {
        read_foreign_json::<Value>(SchemaName::GovernanceProfile, text.as_bytes()).unwrap_err().to_string()
    }
}
