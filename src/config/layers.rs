//! Decides which value each key gets, and from which origin. Flags replace the environment. The environment replaces
//! the file.
//!
//! Guarantees: all errors of a file that is TOML, of environment and flags are found at once, each with key and origin.
//! For a key that does not exist, the error names the nearest key that does. Never: puts a secret's value into an
//! error.

use super::check::check;
use super::known::{KeyKind, KnownKeys};
use super::show::{is_secret, show, without_password};
use super::{Config, ConfigError, InvalidSetting, Origin, ShownSetting};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use toml::{Table, Value};

const DEFAULT_FILE: &str = "model-factory.toml";
const PREFIX: &str = "MODEL_FACTORY_";

/// A valid configuration that remembers the origin of each value.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Reads the file, the environment and the command line's `key=value`. Without `--config`, reads the default file
    /// if it exists.
    #[expect(clippy::disallowed_methods, reason = "only this function reads the environment")]
    pub fn read(file: Option<&Path>, flags: &[String]) -> Result<Self, ConfigError> {
        let readable = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self::read_from(file, std::env::vars_os().filter_map(readable), flags)
    }

    pub(super) fn read_from(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        let mut layers = Layers::new();
        let default = Path::new(DEFAULT_FILE);
        let file = file.or_else(|| default.exists().then_some(default));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
            layers.file(path, &text);
        }
        for (name, value) in variables {
            layers.variable(&name, &value);
        }
        for flag in flags {
            layers.flag(flag);
        }
        let (mut config, origins, mut faults) = layers.read();
        config.file = file.map(Path::to_owned);
        for (key, message) in check(&config) {
            let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
            faults.push(InvalidSetting { key, origin, message });
        }
        if faults.is_empty() { Ok(Self { config, origins }) } else { Err(ConfigError::Faults(faults)) }
    }

    pub fn show(&self) -> Vec<ShownSetting> {
        show(&self.config, &self.origins)
    }
}

struct GivenValue {
    value: Value,
    origin: Origin,
}

/// The values that were given. A later layer (file, environment, flags) replaces the values of an earlier one.
struct Layers {
    known: KnownKeys,
    given: BTreeMap<Vec<String>, GivenValue>,
    faults: Vec<InvalidSetting>,
}

impl Layers {
    fn new() -> Self {
        Self { known: KnownKeys::new(), given: BTreeMap::new(), faults: Vec::new() }
    }

    fn file(&mut self, path: &Path, text: &str) {
        let origin = Origin::File(path.to_owned());
        match text.parse::<Table>() {
            Ok(table) => self.section(&mut Vec::new(), table, &origin),
            // Uses only the parser's message, because its full text quotes the line, which may hold a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                self.invalid(&[], &origin, format!("line {line}: {}", error.message()));
            }
        }
    }

    /// Adds a variable `MODEL_FACTORY_X__Y`. Ignores an empty variable. Also ignores a name without `__`, because tests
    /// and demo use such names.
    fn variable(&mut self, name: &str, value: &str) {
        let key = name.strip_prefix(PREFIX).filter(|key| key.contains("__") && !value.is_empty());
        let Some(key) = key else { return };
        let mut path: Vec<String> = key.to_ascii_lowercase().split("__").map(str::to_owned).collect();
        // Shell variables cannot have dots, but names of librdkafka properties do. In a variable, `_` stands for a dot.
        if let [kafka, properties, property, ..] = path.as_mut_slice()
            && kafka == "kafka"
            && properties == "properties"
        {
            *property = property.replace('_', ".");
        }
        self.one(&path, value, &Origin::Variable(name.to_owned()));
    }

    /// Adds a `key.path=value` from `--set`. A setting without `=` is an error.
    fn flag(&mut self, setting: &str) {
        let origin = Origin::Flag("--set".to_owned());
        let Some((key, value)) = setting.split_once('=') else {
            self.invalid(&[setting.to_owned()], &origin, "write it as KEY=VALUE".to_owned());
            return;
        };
        let path = match key.strip_prefix("kafka.properties.") {
            Some(property) => vec!["kafka".to_owned(), "properties".to_owned(), property.to_owned()],
            None => key.split('.').map(str::to_owned).collect(),
        };
        if is_secret(&path.join(".")) || without_password(value) != value {
            let advice = "everybody on this machine can read a command line, so no password stands there; set it in the \
                          environment or in a file (for the ledger: [ledger] password_file)";
            self.invalid(&path, &origin, advice.to_owned());
            return;
        }
        self.one(&path, value, &origin);
    }

    fn one(&mut self, path: &[String], value: &str, origin: &Origin) {
        self.section(&mut Vec::new(), nest(path, Value::String(value.to_owned())), origin);
    }

    fn section(&mut self, path: &mut Vec<String>, table: Table, origin: &Origin) {
        for (key, value) in table {
            path.push(key);
            self.key(path, value, origin);
            path.pop();
        }
    }

    fn key(&mut self, path: &mut Vec<String>, value: Value, origin: &Origin) {
        match (self.known.kind(path), value) {
            (KeyKind::Section | KeyKind::Group(_), Value::Table(inner)) => self.section(path, inner, origin),
            (KeyKind::Section | KeyKind::Group(_), _) => {
                self.invalid(path, origin, "it is a section, not a value".to_owned());
            }
            // TOML reads `linger.ms = "20"` as a table. This joins the parts to the property's name again.
            (KeyKind::Value, Value::Table(inner)) if KnownKeys::is_property(path) => {
                self.property(path, inner, origin);
            }
            (KeyKind::Value, Value::Table(_)) => self.invalid(path, origin, "it is a value, not a section".to_owned()),
            (KeyKind::Value, _) if self.known.is_strange_field(path) => self.unknown(path, origin),
            (KeyKind::Value, value) => {
                self.given.insert(path.clone(), GivenValue { value, origin: origin.clone() });
            }
            (KeyKind::Unknown, Value::Table(inner)) if !inner.is_empty() => self.section(path, inner, origin),
            (KeyKind::Unknown, _) => self.unknown(path, origin),
        }
    }

    fn property(&mut self, path: &mut Vec<String>, table: Table, origin: &Origin) {
        let Some(name) = path.pop() else { return };
        let whole = table.into_iter().map(|(part, value)| (format!("{name}.{part}"), value)).collect();
        self.section(path, whole, origin);
        path.push(name);
    }

    fn unknown(&mut self, path: &[String], origin: &Origin) {
        let nearest = self.known.nearest(path);
        self.invalid(path, origin, format!("there is no such key; the nearest is {nearest}"));
    }

    fn invalid(&mut self, path: &[String], origin: &Origin, message: String) {
        self.faults.push(InvalidSetting { key: path.join("."), origin: origin.clone(), message });
    }

    /// Returns the configuration from all values that can be read, the origin of each value, and every error.
    fn read(mut self) -> (Config, BTreeMap<String, Origin>, Vec<InvalidSetting>) {
        let mut units: BTreeMap<Vec<String>, Vec<(Vec<String>, GivenValue)>> = BTreeMap::new();
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
                    self.invalid(&unit, &values[0].1.origin, message);
                }
            }
        }
        let config = Value::Table(all).try_into().unwrap_or_else(|error: toml::de::Error| {
            self.invalid(&[], &Origin::Default, error.message().to_owned());
            Config::default()
        });
        (config, origins, self.faults)
    }
}

/// Reads the values that belong together. First reads them as numbers, booleans and lists, then as text. The first
/// reading that fits the settings is taken. All other sections have defaults, so that an error can only be about these
/// values.
fn alone(values: &[(Vec<String>, GivenValue)]) -> Result<Table, String> {
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

/// Gives the text of a variable or flag a type. Text that TOML reads as a number, boolean or list becomes one. Other
/// text stays text.
fn typed_value(given: &GivenValue) -> Value {
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
    let Some((key, rest)) = path.split_first() else { return Table::new() };
    let value = if rest.is_empty() { value } else { Value::Table(nest(rest, value)) };
    std::iter::once((key.clone(), value)).collect()
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
