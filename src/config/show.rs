//! Lists every key with its value and origin, for people and their tools. Never: shows a secret.

use super::known::leaves;
use super::{Config, Origin};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownSetting {
    /// The dotted path, such as `kafka.brokers`.
    pub key: String,
    /// Null if the key is not set. `(secret)` in place of a secret.
    pub value: Value,
    pub origin: Origin,
}

const REDACTED: &str = "(secret)";

/// Words that mark a key as secret if the last part of its name contains one of them.
const SECRET: &[&str] = &["password", "secret", "token", "credential", "key.pem", "oauthbearer.config", "jaas"];

/// Returns whether the value of this key must not be printed. A path of a file that holds a secret may be printed.
pub(super) fn is_secret(key: &str) -> bool {
    let name = key.strip_prefix("kafka.properties.").unwrap_or_else(|| key.rsplit('.').next().unwrap_or(key));
    let is_path = ["_file", ".location"].iter().any(|end| name.ends_with(end));
    ["signing.key", "telemetry.otlp_headers"].contains(&key)
        || (!is_path && SECRET.iter().any(|word| name.contains(word)))
}

/// Lists every key of the configuration with value and origin, sorted by path.
pub(super) fn show(config: &Config, origins: &BTreeMap<String, Origin>) -> Vec<ShownSetting> {
    let values = serde_json::to_value(config).expect("settings are plain values");
    let mut shown = Vec::new();
    leaves(&mut Vec::new(), &values, &mut |key, value| {
        let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
        let value = redact(&key, value);
        shown.push(ShownSetting { key, value, origin });
    });
    shown.sort_by(|a, b| a.key.cmp(&b.key));
    shown
}

fn redact(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if !text.is_empty() && is_secret(key) => REDACTED.into(),
        Value::String(text) => without_password(text).into(),
        Value::Array(items) => items.iter().map(|item| redact(key, item)).collect(),
        other => other.clone(),
    }
}

/// Replaces passwords in a URL by `(secret)`, in its authority and its query parameters. Other text stays as it is.
pub(super) fn without_password(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else { return text.to_owned() };
    let secret = |name: &str| SECRET.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if url.password().is_none() && !parameters.iter().any(|(name, _)| secret(name)) {
        return text.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(REDACTED)).is_err() {
        return REDACTED.to_owned();
    }
    if !parameters.is_empty() {
        let shown = parameters.iter().map(|(name, value)| (name, if secret(name) { REDACTED } else { value }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.to_string().replace("%28secret%29", REDACTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_wherever_a_url_can_hold_them() {
        for (given, shown) in [
            ("postgres://mf:pa%40ss@db:5432/mf", "postgres://mf:(secret)@db:5432/mf"),
            ("postgres://db/mf?user=mf&password=pass", "postgres://db/mf?user=mf&password=(secret)"),
            ("postgres://mf@db/mf?sslmode=require", "postgres://mf@db/mf?sslmode=require"),
            ("file:///var/lib/evidence", "file:///var/lib/evidence"),
            ("localhost:9092", "localhost:9092"),
        ] {
            assert_eq!(without_password(given), shown);
        }
    }

    #[test]
    fn a_key_is_secret_by_its_name_and_a_file_s_path_is_not() {
        for key in [
            "signing.key",
            "telemetry.otlp_headers",
            "kafka.properties.sasl.password",
            "kafka.properties.ssl.key.pem",
            "x.api_token",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in [
            "signing.key_file",
            "telemetry.otlp_headers_file",
            "ledger.password_file",
            "evidence.s3.secret_access_key_file",
            "kafka.group_id",
        ] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
