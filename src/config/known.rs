//! The keys that exist. They are derived from the settings' defaults, so that there is no second list of keys.

use super::Config;
use crate::training::TrainerRegistration;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    /// A table with keys in it.
    Section,
    Value,
    /// A table whose values are read together, such as one trainer command. Holds how many parts of the path name the
    /// table.
    Group(usize),
    Unknown,
}

/// Sections that exist for the test suite only. The serialized [`Config`] leaves them out.
const UNSHOWN: &[&str] = if cfg!(debug_assertions) { &["fault"] } else { &[] };

pub(super) struct KnownKeys {
    defaults: Value,
    command: Value,
}

impl KnownKeys {
    pub(super) fn new() -> Self {
        let command: TrainerRegistration = toml::from_str("program = ''").expect("the other fields have defaults");
        Self {
            defaults: serde_json::to_value(Config::default()).expect("settings are plain values"),
            command: serde_json::to_value(command).expect("settings are plain values"),
        }
    }

    pub(super) fn kind(&self, path: &[String]) -> KeyKind {
        match parts(path).as_slice() {
            [section] if UNSHOWN.contains(section) => KeyKind::Group(1),
            [section, ..] if UNSHOWN.contains(section) => KeyKind::Value,
            ["kafka", "properties", _] | ["trainer", "commands", _, _] => KeyKind::Value,
            ["trainer", "commands", _] => KeyKind::Group(3),
            parts => match parts.iter().try_fold(&self.defaults, |value, part| value.get(part)) {
                Some(Value::Object(_)) => KeyKind::Section,
                Some(_) => KeyKind::Value,
                None => KeyKind::Unknown,
            },
        }
    }

    /// Returns how many parts of the path name what is read as a whole: the table whose values are read together or,
    /// for any other value, the value itself.
    pub(super) fn unit(&self, path: &[String]) -> usize {
        let group = (1..path.len()).find_map(|parts| match self.kind(&path[..parts]) {
            KeyKind::Group(parts) => Some(parts),
            KeyKind::Section | KeyKind::Value | KeyKind::Unknown => None,
        });
        group.unwrap_or(path.len())
    }

    /// Returns whether the path names a property of librdkafka. The property's name may contain dots.
    pub(super) fn is_property(path: &[String]) -> bool {
        matches!(parts(path)[..], ["kafka", "properties", _])
    }

    /// Returns whether the path names a field that trainer commands do not have.
    pub(super) fn is_strange_field(&self, path: &[String]) -> bool {
        matches!(parts(path)[..], ["trainer", "commands", _, field] if self.command.get(field).is_none())
    }

    /// Returns the known key that is spelled most like the wrong key, for the error message.
    pub(super) fn nearest(&self, path: &[String]) -> String {
        let mut keys = Vec::new();
        leaves(&mut Vec::new(), &self.defaults, &mut |key, _| keys.push(key));
        if let ["trainer", "commands", _, ..] = parts(path)[..] {
            leaves(&mut path[..3].to_vec(), &self.command, &mut |key, _| keys.push(key));
        }
        let wrong = path.join(".");
        let likeness = |key: &String| strsim::normalized_damerau_levenshtein(&wrong, key);
        keys.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
    }
}

fn parts(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// Calls `each` with the dotted path and the value of each key that is not a table.
pub(super) fn leaves(path: &mut Vec<String>, value: &Value, each: &mut impl FnMut(String, &Value)) {
    let Value::Object(members) = value else {
        each(path.join("."), value);
        return;
    };
    for (key, value) in members {
        path.push(key.clone());
        leaves(path, value, each);
        path.pop();
    }
}
