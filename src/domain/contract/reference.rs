//! References: names of files and objects whose content must not change.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Names one object: `file:///…`, `s3://bucket/key`, `gs://…`, `az://…`, or a path relative to the configured root.
/// Keeps the text as it was sent (trimmed), because the run key is computed from the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    text: String,
    location: Location,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// A path relative to the configured root, without `.` and `..`.
    Relative(String),
    /// An absolute path on local disk, without `.` and `..`.
    File(String),
    Object {
        /// `s3`, `gs` or `az`.
        scheme: String,
        bucket: String,
        /// Key without a leading slash.
        key: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct ReferenceError {
    pub rule: String,
}

pub(super) fn broken<T>(rule: &str) -> Result<T, ReferenceError> {
    Err(ReferenceError { rule: rule.to_owned() })
}

impl Reference {
    /// Refuses an unknown scheme, credentials, query or fragment, `%`, `\`, `//`, and `.` or `..` as a segment. Also
    /// refuses what does not name one fixed object: a wildcard, a folder, an alias such as `latest`.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let text = text.trim();
        clean(text)?;
        let location = match text.split_once("://") {
            Some(("file", rest)) => match rest.strip_prefix('/') {
                Some(path) => Location::File(format!("/{}", pinned(path)?)),
                None => return broken("a file reference has three slashes and an absolute path: file:///data/x.json"),
            },
            Some((scheme @ ("s3" | "gs" | "az"), rest)) => match rest.split_once('/') {
                Some((bucket, key)) if is_bucket(bucket) => {
                    Location::Object { scheme: scheme.to_owned(), bucket: bucket.to_owned(), key: pinned(key)? }
                }
                _ => return broken("an object reference names a bucket and a key: s3://bucket/key"),
            },
            Some(_) => return broken("the scheme must be file, s3, gs or az"),
            None if text.starts_with('/') => return broken("an absolute path is written file:///path"),
            None if text.contains(':') => return broken("a relative reference must not contain a colon"),
            None => Location::Relative(pinned(text)?),
        };
        Ok(Self { text: text.to_owned(), location })
    }

    /// Returns the text as it was sent, trimmed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn location(&self) -> &Location {
        &self.location
    }
}

pub(super) fn is_bucket(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && !text.starts_with('.')
}

/// Refuses characters that have a special meaning in any scheme. No later step decodes or expands the text, so the
/// checked text is the text that is opened.
pub(super) fn clean(text: &str) -> Result<(), ReferenceError> {
    if text.is_empty() {
        return broken("a reference must not be empty");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return broken("a reference must not contain white space or control characters");
    }
    if text.contains(['*', '?', '[', ']', '{', '}', '#', '%', '\\']) {
        return broken("a reference must not contain a wildcard, a query, a fragment, an escape or a backslash");
    }
    Ok(())
}

/// Refuses a path that names a folder, or that has empty, `.` or `..` segments.
pub(super) fn segments(path: &str) -> Result<(), ReferenceError> {
    if path.is_empty() || path.ends_with('/') {
        return broken("a reference must name one object, not a folder");
    }
    for segment in path.split('/') {
        match segment {
            "" => return broken("a reference must not contain empty path segments"),
            "." | ".." => return broken("a reference must not contain . or .. segments"),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses an alias such as `latest`, whose object may change.
fn pinned(path: &str) -> Result<String, ReferenceError> {
    segments(path)?;
    let last = path.rsplit('/').next().unwrap_or(path);
    let stem = last.split('.').next().unwrap_or(last);
    let is_alias = |s: &str| ["latest", "current", "head", "newest"].iter().any(|alias| s.eq_ignore_ascii_case(alias));
    if is_alias(stem) || path.split('/').any(is_alias) {
        return broken("a reference must name a pinned object, not an alias such as latest");
    }
    Ok(path.to_owned())
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative(path) => f.write_str(path),
            Self::File(path) => write!(f, "file://{path}"),
            Self::Object { scheme, bucket, key } => write!(f, "{scheme}://{bucket}/{key}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_one_pinned_object_are_references() {
        for good in ["a.json", "a/b/m.json", "file:///data/m.json", "s3://bucket/a/b", "gs://b/k", "az://c/k.parquet"] {
            assert_eq!(Reference::parse(good).unwrap().to_string(), good);
        }
        let bad = [
            "",
            "/etc/passwd",
            "../m.json",
            "a/../m.json",
            "a/./m.json",
            "a//m.json",
            "a/b/",
            "a b",
            "a\u{1b}b",
            "C:\\m.json",
            "c:m.json",
            "file://m.json",
            "file://host/m.json",
            "s3://bucket",
            "s3://bucket/",
            "s3:///key",
            "s3://user@bucket/key",
            "s3://bucket/*.json",
            "S3://bucket/m.json",
            "s3://bucket:443/m.json",
            "s3://user:word@bucket/m.json",
            "s3://bucket/m.json?versionId=1",
            "s3://bucket/m.json#x",
            "s3://bucket/%2e%2e/m.json",
            "s3://bucket/latest",
            "s3://bucket/LATEST.json",
            "s3://bucket/current/m.json",
            "http://bucket/m.json",
        ];
        for text in bad {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }
}
