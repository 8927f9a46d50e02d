//! File < environment < flags: which value each key gets, and where it came from.
//!
//! Guarantees: all faults are found in one go, each with key, origin and, for a key that does not exist, the
//! nearest that does. Never: puts a secret's value into a fault.

use super::known::{Known, Place};
use super::show::is_secret;
use super::{Config, InvalidSetting};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const PREFIX: &str = "MODEL_FACTORY_";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This release's own.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value as it was given.
struct Given {
    value: Value,
    origin: Origin,
}

/// What was given, a later layer over an earlier one.
pub(super) struct Layers {
    known: Known,
    given: BTreeMap<Vec<String>, Given>,
    faults: Vec<InvalidSetting>,
}

impl Layers {
    pub(super) fn new() -> Self {
        Self { known: Known::new(), given: BTreeMap::new(), faults: Vec::new() }
    }

    /// The text of a configuration file.
    pub(super) fn file(&mut self, path: &Path, text: &str) {
        let origin = Origin::File(path.to_owned());
        match text.parse::<Table>() {
            Ok(table) => self.section(&mut Vec::new(), table, &origin),
            // Not the error's own text: it quotes the line, which may hold a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                self.faults.push(InvalidSetting::new("", &origin, format!("line {line}: {}", error.message())));
            }
        }
    }

    /// A variable `MODEL_FACTORY_X__Y`. An empty one is as good as none; without `__` it is no setting of ours:
    /// the tests and the demo have variables of their own.
    pub(super) fn variable(&mut self, name: &str, value: &str) {
        let Some(key) = name.strip_prefix(PREFIX).filter(|key| key.contains("__")) else { return };
        if value.is_empty() {
            return;
        }
        let mut path: Vec<String> = key.to_ascii_lowercase().split("__").map(str::to_owned).collect();
        // librdkafka's names have dots, which a shell's variables cannot.
        if let [kafka, properties, property, ..] = path.as_mut_slice()
            && kafka == "kafka"
            && properties == "properties"
        {
            *property = property.replace('_', ".");
        }
        self.one(path, value, &Origin::Variable(name.to_owned()));
    }

    /// `key.path=value` of the command line.
    pub(super) fn flag(&mut self, setting: &str) {
        let origin = Origin::Flag("--set".to_owned());
        let Some((key, value)) = setting.split_once('=') else {
            self.faults.push(InvalidSetting::new(setting, &origin, "write it as KEY=VALUE".to_owned()));
            return;
        };
        let path = match key.strip_prefix("kafka.properties.") {
            Some(property) => vec!["kafka".to_owned(), "properties".to_owned(), property.to_owned()],
            None => key.split('.').map(str::to_owned).collect(),
        };
        self.one(path, value, &origin);
    }

    fn one(&mut self, path: Vec<String>, value: &str, origin: &Origin) {
        let nested = path.into_iter().rev().fold(Value::String(value.to_owned()), |inner, part| {
            let mut table = Table::new();
            table.insert(part, inner);
            Value::Table(table)
        });
        if let Value::Table(table) = nested {
            self.section(&mut Vec::new(), table, origin);
        }
    }

    fn section(&mut self, path: &mut Vec<String>, table: Table, origin: &Origin) {
        for (key, value) in table {
            path.push(key);
            self.key(path, value, origin);
            path.pop();
        }
    }

    fn key(&mut self, path: &mut Vec<String>, value: Value, origin: &Origin) {
        match (self.known.place(path), value) {
            (Place::Section | Place::Group(_), Value::Table(inner)) => self.section(path, inner, origin),
            (Place::Section | Place::Group(_), _) => {
                self.fault(path, origin, "it is a section, not a value".to_owned());
            }
            // TOML reads `linger.ms = "20"` as a table, librdkafka as a name.
            (Place::Value, Value::Table(inner)) if Known::is_property(path) => {
                self.property(path, inner, origin);
            }
            (Place::Value, Value::Table(_)) => self.fault(path, origin, "it is a value, not a section".to_owned()),
            (Place::Value, _) if self.known.is_strange_field(path) => self.unknown(path, origin),
            (Place::Value, value) => {
                self.given.insert(path.clone(), Given { value, origin: origin.clone() });
            }
            (Place::Nowhere, Value::Table(inner)) if !inner.is_empty() => self.section(path, inner, origin),
            (Place::Nowhere, _) => self.unknown(path, origin),
        }
    }

    fn property(&mut self, path: &mut Vec<String>, table: Table, origin: &Origin) {
        let Some(name) = path.pop() else { return };
        for (part, value) in table {
            path.push(format!("{name}.{part}"));
            self.key(path, value, origin);
            path.pop();
        }
        path.push(name);
    }

    fn unknown(&mut self, path: &[String], origin: &Origin) {
        let nearest = self.known.nearest(path);
        self.fault(path, origin, format!("there is no such key; the nearest is {nearest}"));
    }

    fn fault(&mut self, path: &[String], origin: &Origin, message: String) {
        self.faults.push(InvalidSetting::new(&path.join("."), origin, message));
    }

    /// The configuration of all that can be read, where each given value came from, and every fault.
    pub(super) fn read(mut self) -> (Config, BTreeMap<String, Origin>, Vec<InvalidSetting>) {
        let mut units: BTreeMap<Vec<String>, Vec<(Vec<String>, Given)>> = BTreeMap::new();
        let mut origins = BTreeMap::new();
        for (path, given) in std::mem::take(&mut self.given) {
            origins.insert(path.join("."), given.origin.clone());
            let unit = path[..self.known.unit(&path)].to_vec();
            units.entry(unit).or_default().push((path, given));
        }
        let mut all = Table::new();
        for (unit, values) in units {
            match alone(&values) {
                Ok(table) => merge(&mut all, table),
                Err(message) => {
                    let message = if is_secret(&unit.join(".")) { "it must be a text".to_owned() } else { message };
                    self.fault(&unit, &values[0].1.origin, message);
                }
            }
        }
        let config = Value::Table(all).try_into().unwrap_or_else(|error: toml::de::Error| {
            self.fault(&[], &Origin::Default, error.message().to_owned());
            Config::default()
        });
        (config, origins, self.faults)
    }
}

/// A table with nothing but these values, in the reading by which they are settings. Every section has
/// defaults, so that whatever is wrong with the table is wrong with them.
fn alone(values: &[(Vec<String>, Given)]) -> Result<Table, String> {
    let reading = |typed: bool| {
        let mut table = Table::new();
        for (path, given) in values {
            merge(&mut table, nest(path, if typed { typed_value(given) } else { given.value.clone() }));
        }
        let fits: Result<Config, toml::de::Error> = Value::Table(table.clone()).try_into();
        fits.map(|_| table).map_err(|error| error.message().to_owned())
    };
    reading(true).or_else(|message| reading(false).map_err(|_| message))
}

/// Variables and flags are text: what reads as a number, boolean or list of TOML is one.
fn typed_value(given: &Given) -> Value {
    let (Value::String(text), Origin::Variable(_) | Origin::Flag(_)) = (&given.value, &given.origin) else {
        return given.value.clone();
    };
    let parsed = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
    match parsed {
        Some(value @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_))) => value,
        Some(Value::String(_) | Value::Datetime(_) | Value::Table(_)) | None => Value::String(text.clone()),
    }
}

fn nest(path: &[String], value: Value) -> Table {
    let mut table = Table::new();
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            table.insert(section.clone(), Value::Table(nest(rest, value)));
        }
    }
    table
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
