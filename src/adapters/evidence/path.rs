//! Names in the evidence store.

use std::fmt;

/// A relative path of clean segments: no `.` or `..`, none empty, no character that an object store would escape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EvidencePath(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path of the evidence store")]
pub struct InvalidPath(pub String);

impl EvidencePath {
    /// Joins segments with slashes. A segment has up to 200 letters, digits, `_`, `.`, `:` and `-`.
    pub fn of<'a>(segments: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPath> {
        let segments: Vec<&str> = segments.into_iter().collect();
        let clean = |segment: &&str| {
            !segment.is_empty()
                && segment.len() <= 200
                && !segment.bytes().all(|b| b == b'.')
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'))
        };
        let joined = segments.join("/");
        if segments.is_empty() || !segments.iter().all(clean) {
            return Err(InvalidPath(joined));
        }
        Ok(Self(joined))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EvidencePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_segments_make_a_path() {
        assert_eq!(EvidencePath::of(["a", "b.json"]).unwrap().as_str(), "a/b.json");
        for bad in [vec![], vec![""], vec!["a", ".."], vec!["."], vec!["a/b"], vec!["a", "ü"], vec!["a b"]] {
            assert!(EvidencePath::of(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
