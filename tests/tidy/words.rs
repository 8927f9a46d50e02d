//! One word for one thing: a type's name is declared once, names say something, and words that are gone stay gone.

use crate::files::{Files, code, rust};
use std::collections::BTreeMap;

const SAY_NOTHING: &[&str] = &["utils", "util", "common", "helper", "helpers", "misc", "manager", "phase"];

/// Names that stand behind the name of their room: `ledger::Error`, `Settings` of one adapter, `Args` of one command.
const BEHIND_THEIR_ROOM: &[&str] = &["Args", "Error", "Settings"];

/// What an implementation of somebody else's trait has to be called.
const ASSOCIATED: &[&str] = &["Database", "Err", "Error", "Future", "Item", "Output", "Target", "Value"];

/// Words of names that were given up, each with what is said now.
const GONE: &[(&str, &str)] = &[
    ("fault", "error"),
    ("reach", "failpoint"),
    ("pulse", "watchdog"),
    ("beat", "heartbeat"),
    ("heart", "renewer"),
    ("keeper", "guard"),
    ("meter", "metrics"),
    ("logbook", "audit_log"),
    ("agreement", "verify"),
    ("tell", "emit, append, report, record, log or print"),
    ("tells", "emit, append, report, record, log or print"),
    ("told", "emit, append, report, record, log or print"),
    ("teller", "emit, append, report, record, log or print"),
    ("telling", "emit, append, report, record, log or print"),
    ("additions", "effects"),
    ("doorkeeper", "screening"),
    ("door", "screening"),
    ("desk", "evidence"),
    ("hang", "set_parent"),
    ("heard", "reply"),
    ("asked", "reply, or what was asked for by its name"),
    ("place", "cursor, pointer, location or deduplicate"),
    ("places", "cursor, pointer, location or deduplicate"),
];

/// The words of a name: `HeldLease` and `held_lease` are `held`, `lease`.
pub fn words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
    }
    spaced.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Every name that a line declares, behind its keyword.
fn declared<'a>(line: &'a str, keywords: &'a [&str]) -> impl Iterator<Item = (&'a str, String)> {
    keywords.iter().filter_map(move |keyword| {
        let at = line.find(keyword)?;
        let alone = line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let name: String =
            line[at + keyword.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (alone && !name.is_empty()).then_some((*keyword, name))
    })
}

const ITEMS: &[&str] = &["struct ", "enum ", "trait ", "mod ", "fn ", "type ", "const ", "static "];

pub fn names_say_something(files: &Files) -> Vec<String> {
    let empty = |name: &str| words(name).iter().any(|word| SAY_NOTHING.contains(&word.as_str()));
    let mut found = Vec::new();
    for (path, text) in files {
        if empty(path) {
            found.push(format!("{path}: the name says nothing"));
        }
        if !path.ends_with(".rs") || path.starts_with("tests/tidy/") {
            continue;
        }
        for (number, line) in code(text) {
            for (_, name) in declared(line, ITEMS).filter(|(_, name)| empty(name)) {
                found.push(format!("{path}:{number}: the name {name} says nothing"));
            }
        }
    }
    found
}

pub fn a_type_is_declared_once(files: &Files) -> Vec<String> {
    let mut declarations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in rust(files, "src/") {
        for (number, line) in code(text) {
            let indented = line.starts_with(' ');
            for (keyword, name) in declared(line, &["struct ", "enum ", "trait ", "union ", "type "]) {
                let associated = keyword == "type " && indented && ASSOCIATED.contains(&name.as_str());
                let is_type = name.starts_with(char::is_uppercase);
                if is_type && !associated && !BEHIND_THEIR_ROOM.contains(&name.as_str()) {
                    declarations.entry(name).or_default().push(format!("{path}:{number}"));
                }
            }
        }
    }
    let doubles = declarations.into_iter().filter(|(_, places)| places.len() > 1);
    doubles.map(|(name, places)| format!("{name} is declared more than once: {}", places.join(", "))).collect()
}

pub fn words_that_are_gone_stay_gone(files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in rust(files, "src/").chain(rust(files, "tests/it/")) {
        for (number, line) in code(text) {
            for (_, name) in declared(line, ITEMS) {
                for (gone, now) in GONE.iter().filter(|(gone, _)| words(&name).iter().any(|word| word == gone)) {
                    found.push(format!("{path}:{number}: {name}: instead of {gone:?} we say {now}"));
                }
            }
        }
    }
    found
}
