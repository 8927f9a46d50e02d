//! Near misses: requests that look alike but give two runs.

use super::{Digest, RunMeaning, recipe_digest};
use serde::Serialize;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization as _;

/// Computes a key that is equal for meanings that differ only in white space, case or Unicode form. Their run keys
/// differ: `Team-A` and `team-a` are two runs. The admission event's `near_misses` names the other run.
pub fn near_key(meaning: &RunMeaning) -> Digest {
    let mut value = json!(meaning);
    fold(&mut value, &Likeness::ALL);
    recipe_digest("mf.train_run_near_key.v1", &value)
}

/// A way in which two texts that look alike can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    WhiteSpace,
    Case,
    /// Composed or decomposed characters, or compatibility characters.
    UnicodeForm,
}

impl Likeness {
    const ALL: [Self; 3] = [Self::WhiteSpace, Self::Case, Self::UnicodeForm];

    fn fold(self, text: &str) -> String {
        match self {
            Self::WhiteSpace => text.split_whitespace().collect(),
            Self::Case if text.is_ascii() => text.to_ascii_lowercase(),
            Self::Case => text.chars().flat_map(char::to_lowercase).collect(),
            Self::UnicodeForm if text.is_ascii() => text.to_owned(),
            Self::UnicodeForm => text.nfkc().collect(),
        }
    }
}

/// Returns the smallest set of likenesses (white space, case, Unicode form) that must be ignored to make the values
/// equal. Empty if they are equal already. `None` if they also differ in other ways.
pub fn likeness(first: &Value, second: &Value) -> Option<Vec<Likeness>> {
    let mut subsets: Vec<Vec<Likeness>> = (0..8_usize)
        .map(|mask| Likeness::ALL.into_iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, l)| l).collect())
        .collect();
    subsets.sort_by_key(Vec::len);
    subsets.into_iter().find(|kinds| {
        let folded = |value: &Value| {
            let mut value = value.clone();
            fold(&mut value, kinds);
            value
        };
        folded(first) == folded(second)
    })
}

/// Folds every text of a value. The Unicode form is folded first and last, because changing case can decompose a
/// character again.
fn fold(value: &mut Value, kinds: &[Likeness]) {
    match value {
        Value::String(text) => {
            for kind in [Likeness::UnicodeForm, Likeness::WhiteSpace, Likeness::Case, Likeness::UnicodeForm] {
                if kinds.contains(&kind) {
                    *text = kind.fold(text);
                }
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                fold(item, kinds);
            }
            items.sort_by_key(ToString::to_string);
            items.dedup();
        }
        Value::Object(members) => {
            for member in members.values_mut() {
                fold(member, kinds);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(change: &Value) -> RunMeaning {
        let mut value = json!({
            "intent_kind": "baseline_train", "platform_run_id": "p", "dataset_manifest_refs": ["a/m1.json", "a/m2.json"],
            "training_config_ref": "t.yaml", "governance_profile_ref": "g.yaml",
            "target_scope": {"environment": "prod", "mode": "fraud", "bundle_slot": "primary"},
            "policy_revision": "caf\u{e9} 1", "config_revision": "c", "mf_code_release_id": "git:1",
        });
        value.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn white_space_case_and_unicode_form_look_alike_and_nothing_else_does() {
        let base = near_key(&meaning(&json!({})));
        for alike in [
            json!({"policy_revision": "cafe\u{301} 1"}),
            json!({"policy_revision": "CAF\u{c9}  1"}),
            json!({"dataset_manifest_refs": ["a/M2.json", "a/m1.json", "a/m2.json"]}),
            json!({"mf_code_release_id": "GIT:1"}),
        ] {
            assert_eq!(near_key(&meaning(&alike)), base, "{alike}");
        }
        for other in [json!({"policy_revision": "cafe 1"}), json!({"platform_run_id": "q"})] {
            assert_ne!(near_key(&meaning(&other)), base, "{other}");
        }
    }

    #[test]
    fn the_fewest_differences_are_named() {
        let between = |first: &str, second: &str| likeness(&json!(first), &json!(second));
        assert_eq!(between("a", "a"), Some(vec![]));
        assert_eq!(between("a b", "ab"), Some(vec![Likeness::WhiteSpace]));
        assert_eq!(between("Ab", "aB"), Some(vec![Likeness::Case]));
        assert_eq!(between("caf\u{e9}", "cafe\u{301}"), Some(vec![Likeness::UnicodeForm]));
        assert_eq!(between("CAF\u{c9} 1", "cafe\u{301}1"), Some(Likeness::ALL.to_vec()));
        assert_eq!(between("a", "b"), None);
    }
}
