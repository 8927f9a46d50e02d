//! The keys that exist, taken from the settings themselves: nothing here has to be kept in step.

use super::Config;
use crate::training::TrainerRegistration;
use serde_json::Value;
use std::path::PathBuf;

/// What stands at a key's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Keys stand below it.
    Section,
    /// One value.
    Value,
    /// Values that are read together, such as one trainer command; this many parts of the path name it.
    Group(usize),
    /// Nothing.
    Nowhere,
}

/// Sections of the test suite, which [`Config`] does not show.
const UNSHOWN: &[&str] = if cfg!(debug_assertions) { &["fault"] } else { &[] };

/// Every key of every setting.
pub(super) struct Known {
    defaults: Value,
    command: Value,
}

impl Known {
    pub(super) fn new() -> Self {
        let command = TrainerRegistration {
            program: PathBuf::new(),
            arguments: Vec::new(),
            path: String::new(),
            read: Vec::new(),
            write: Vec::new(),
            network: false,
            allow_pickle: false,
        };
        Self {
            defaults: serde_json::to_value(Config::default()).expect("settings are plain values"),
            command: serde_json::to_value(command).expect("settings are plain values"),
        }
    }

    pub(super) fn place(&self, path: &[String]) -> Place {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [section] if UNSHOWN.contains(section) => Place::Group(1),
            [section, ..] if UNSHOWN.contains(section) => Place::Value,
            ["kafka", "properties", _] | ["trainer", "commands", _, _] => Place::Value,
            ["trainer", "commands", _] => Place::Group(3),
            parts => {
                let found = parts.iter().try_fold(&self.defaults, |value, part| value.get(part));
                match found {
                    Some(Value::Object(_)) => Place::Section,
                    Some(_) => Place::Value,
                    None => Place::Nowhere,
                }
            }
        }
    }

    /// How many parts of a value's path name what is read as a whole: all, or those of its group.
    pub(super) fn unit(&self, path: &[String]) -> usize {
        let group = (1..path.len()).find_map(|parts| match self.place(&path[..parts]) {
            Place::Group(parts) => Some(parts),
            Place::Section | Place::Value | Place::Nowhere => None,
        });
        group.unwrap_or(path.len())
    }

    /// A property of librdkafka, whose name may have dots.
    pub(super) fn is_property(path: &[String]) -> bool {
        matches!(path, [kafka, properties, _] if kafka == "kafka" && properties == "properties")
    }

    /// A field that a trainer command does not have.
    pub(super) fn is_strange_field(&self, path: &[String]) -> bool {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        matches!(parts.as_slice(), ["trainer", "commands", _, field] if self.command.get(field).is_none())
    }

    /// The key that is spelled most like this one.
    pub(super) fn nearest(&self, path: &[String]) -> String {
        let mut keys = Vec::new();
        leaves(&mut Vec::new(), &self.defaults, &mut |key, _| keys.push(key));
        if let [trainer, commands, name, ..] = path
            && trainer == "trainer"
            && commands == "commands"
        {
            leaves(&mut vec!["trainer".to_owned(), commands.clone(), name.clone()], &self.command, &mut |key, _| {
                keys.push(key);
            });
        }
        let wrong = path.join(".");
        let likeness = |key: &String| strsim::normalized_damerau_levenshtein(&wrong, key);
        keys.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
    }
}

/// Calls `each` with the path, joined by dots, and the value of everything that is no section.
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
