//! Objects that a policy names: by reference, by prefix or by digest.

use super::allow_list::check_prefix;
use super::reference::{Location, Reference, ReferenceError, clean, segments};
use crate::domain::identity::Digest;

/// One entry of a list of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// `*`
    Any,
    /// A reference, or a prefix that ends at a path boundary: `s3://a/b` names `s3://a/b` and `s3://a/b/c`, not
    /// `s3://a/bc`. Held without a slash at its end.
    Prefix(String),
    /// `sha256:` and 64 hex digits: the object with these bytes, wherever it lies.
    Content(Digest),
}

/// What an operator allows to be named. An empty list names nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectList(Vec<ObjectName>);

impl ObjectName {
    /// Reads an entry that an operator wrote. Refuses a prefix that no reference can begin with.
    pub fn read(text: &str) -> Result<Self, ReferenceError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(hex) = text.strip_prefix("sha256:") {
            let digest = hex.parse().map_err(|_| rule("a digest is sha256: and 64 hex digits in lower case"))?;
            return Ok(Self::Content(digest));
        }
        let prefix = text.strip_suffix('/').unwrap_or(text);
        if text.contains("://") {
            check_prefix(text)?;
        } else if text.starts_with('/') {
            return Err(rule("an absolute path is written file:///path"));
        } else if text.contains(':') {
            return Err(rule("a relative prefix must not contain a colon"));
        } else {
            clean(text)?;
            segments(prefix)?;
        }
        Ok(Self::Prefix(prefix.to_owned()))
    }
}

impl ObjectList {
    pub fn new(names: Vec<ObjectName>) -> Self {
        Self(names)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the list has the entry `*`.
    pub fn has_any(&self) -> bool {
        self.0.contains(&ObjectName::Any)
    }

    /// Whether the list has an entry that names a digest.
    pub fn has_content(&self) -> bool {
        self.0.iter().any(|name| matches!(name, ObjectName::Content(_)))
    }

    /// Whether an entry names the object with these bytes by its digest.
    pub fn names_content(&self, sha256: &Digest) -> bool {
        self.0.iter().any(|name| matches!(name, ObjectName::Content(digest) if digest == sha256))
    }

    /// Whether an entry is this reference or a prefix of it.
    pub fn names_location(&self, reference: &Reference) -> bool {
        let location = reference.location().to_string();
        self.prefixes()
            .any(|prefix| location.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// The references and prefixes of the list.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|name| match name {
            ObjectName::Prefix(prefix) => Some(prefix.as_str()),
            ObjectName::Any | ObjectName::Content(_) => None,
        })
    }
}

impl Location {
    /// Reads a reference or prefix on local disk. `None` for one in an object store.
    pub fn of_local_prefix(prefix: &str) -> Option<Self> {
        match prefix.split_once("://") {
            Some(("file", path)) => Some(Self::File(path.to_owned())),
            Some(_) => None,
            None => Some(Self::Relative(prefix.to_owned())),
        }
    }
}

fn rule(rule: &str) -> ReferenceError {
    ReferenceError { rule: rule.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> ObjectList {
        ObjectList::new(names.iter().map(|name| ObjectName::read(name).unwrap()).collect())
    }

    #[test]
    fn a_prefix_names_itself_and_what_lies_below_and_ends_at_a_path_boundary() {
        let names = |names: &[&str], text: &str| list(names).names_location(&Reference::parse(text).unwrap());
        for (prefix, inside) in [
            ("s3://bucket/b", "s3://bucket/b/m.json"),
            ("s3://bucket/b/", "s3://bucket/b/m.json"),
            ("s3://bucket", "s3://bucket/m.json"),
            ("s3://bucket/m.json", "s3://bucket/m.json"),
            ("file:///data/b", "file:///data/b/m.json"),
            ("b", "b/m.json"),
            ("b/", "b/c/m.json"),
        ] {
            assert!(names(&[prefix], inside), "{prefix} {inside}");
        }
        for (prefix, outside) in [
            ("s3://bucket/b", "s3://bucket/bc/m.json"),
            ("s3://bucket", "s3://bucket2/m.json"),
            ("s3://bucket/b", "gs://bucket/b/m.json"),
            ("b", "bc/m.json"),
            ("b", "a/b/m.json"),
            ("b", "file:///b/m.json"),
            ("*", "b/m.json"),
        ] {
            assert!(!names(&[prefix], outside), "{prefix} {outside}");
        }
    }

    #[test]
    fn content_is_named_by_its_digest_alone() {
        let digest = Digest::of(b"profile");
        let named = list(&["b", &format!("sha256:{digest}")]);
        assert!(named.names_content(&digest) && named.has_content() && !named.has_any());
        assert!(!named.names_content(&Digest::of(b"another")));
        assert!(!list(&["*"]).has_content() && list(&["*"]).has_any() && list(&[]).is_empty());
    }

    #[test]
    fn what_no_reference_can_begin_with_is_refused() {
        for bad in
            ["", "/", "/data", "..", "a/../b", "a//b", "a b", "a*", "sha256:12", "https://x/y", "file:///", "x:y"]
        {
            assert!(ObjectName::read(bad).is_err(), "{bad:?}");
        }
    }
}
