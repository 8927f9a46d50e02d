//! Finds the one error of a message that its rejection reports, without collecting the other errors.
//!
//! A message may break its schema a hundred thousand times. Fields are checked one after the other, in the order in
//! which errors are reported. Checking ends with the first error, so that its cost does not grow with the number of
//! errors.

use super::schema::{excerpt, explain};
use super::{DocumentError, SchemaName, schema_text};
use jsonschema::{Draft, Validator};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The rules of a schema for each field of a message.
struct FieldRules {
    fields: BTreeMap<String, Validator>,
    required: BTreeSet<String>,
    /// Whether a field without rules in `fields` is an error.
    is_closed: bool,
}

/// Returns the first error. Checks the fields `first` in their order, then all other fields by name, then the whole
/// message.
pub(super) fn first_error(schema: SchemaName, message: &Value, first: &[&str]) -> Option<DocumentError> {
    // `is_valid` is several times faster than finding the error.
    if schema.validator().is_valid(message) {
        return None;
    }
    let of_field = message.as_object().and_then(|members| {
        let rules = rules(schema);
        let others: BTreeSet<&str> = members.keys().chain(rules.fields.keys()).map(String::as_str).collect();
        let others = others.into_iter().filter(|name| !first.contains(name));
        first.iter().copied().chain(others).find_map(|name| {
            rules.error_of(name, members.get(name)).map(|error| DocumentError {
                pointer: format!("/{}{}", name.replace('~', "~0").replace('/', "~1"), error.pointer),
                ..error
            })
        })
    });
    of_field.or_else(|| schema.validator().validate(message).err().map(|error| explain(&error)))
}

impl FieldRules {
    /// Returns the first error of a field. The pointer starts at the field.
    fn error_of(&self, name: &str, member: Option<&Value>) -> Option<DocumentError> {
        match (member, self.fields.get(name)) {
            (Some(member), Some(rules)) => rules.validate(member).err().map(|error| explain(&error)),
            (Some(_), None) if self.is_closed => {
                Some(DocumentError::at("", format!("the field {:?} is not known", excerpt(name))))
            }
            (None, Some(_)) if self.required.contains(name) => {
                let rule = format!("{name} is required and must not be empty");
                Some(DocumentError { missing: true, ..DocumentError::at("", rule) })
            }
            (Some(_) | None, _) => None,
        }
    }
}

fn rules(schema: SchemaName) -> &'static FieldRules {
    const COUNT: usize = SchemaName::ALL.len();
    static RULES: [OnceLock<FieldRules>; COUNT] = [const { OnceLock::new() }; COUNT];
    RULES[schema as usize].get_or_init(|| {
        let root: Value = serde_json::from_str(schema_text(schema)).expect("shipped schemas are JSON");
        let fields = root["properties"].as_object().into_iter().flatten();
        let required = root["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        FieldRules {
            fields: fields.map(|(name, rules)| (name.clone(), compile(rules, &root))).collect(),
            required: required.map(str::to_owned).collect(),
            is_closed: root["additionalProperties"] == Value::Bool(false) && root.get("patternProperties").is_none(),
        }
    })
}

/// Compiles the rules of one field, with the schema's definitions to which they refer.
fn compile(rules: &Value, root: &Value) -> Validator {
    let mut rules = rules.clone();
    if let (Some(rules), Some(definitions)) = (rules.as_object_mut(), root.get("$defs")) {
        rules.insert("$defs".to_owned(), definitions.clone());
    }
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(&rules)
        .expect("fields of shipped schemas compile")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::schema::all_errors;
    use serde_json::json;

    fn base() -> Value {
        serde_json::from_str(include_str!("../../../tests/golden/requests/base.json")).unwrap()
    }

    #[test]
    fn the_first_error_is_one_that_the_whole_schema_finds() {
        let schema = SchemaName::TrainBuildRequest;
        assert_eq!(first_error(schema, &base(), &[]), None);
        let changes = [
            ("target_scope", json!({"environment": 1})),
            ("target_scope", json!({"environment": "e", "mode": "m", "bundle_slot": "b", "more/of~it": 1})),
            ("dataset_manifest_refs", json!([])),
            ("dataset_manifest_refs", json!(["a", 1, 2])),
            ("publish_allowed", json!("yes")),
            ("more/of~it", json!(1)),
            ("intent_kind", Value::Null),
        ];
        for (field, value) in changes {
            let mut message = base();
            message[field] = value;
            let found = first_error(schema, &message, &[]).unwrap();
            assert!(all_errors(schema, &message).contains(&found), "{found:?}");
        }
        let mut message = base();
        message.as_object_mut().unwrap().remove("request_id");
        let found = first_error(schema, &message, &[]).unwrap();
        assert_eq!(all_errors(schema, &message), [found]);
        assert_eq!(first_error(schema, &json!(7), &[]), all_errors(schema, &json!(7)).pop());
    }

    #[test]
    fn fields_are_looked_at_in_the_given_order_then_by_name() {
        let message = json!({"zz": 1, "aa": 1, "schema_version": "wrong"});
        let pointer = |first: &[&str]| first_error(SchemaName::Cancel, &message, first).unwrap().pointer;
        assert_eq!(pointer(&[]), "/aa");
        assert_eq!(pointer(&["schema_version", "request_id"]), "/schema_version");
        assert_eq!(pointer(&["request_id", "schema_version"]), "/request_id");
    }
}
