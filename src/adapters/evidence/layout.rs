//! Names in the evidence store: which paths are valid, and which path each document of a run has.

use crate::domain::identity::{Digest, RunId, RunKey};
use std::fmt;

/// A valid relative path. It has no empty segment, no `.` or `..`, and no character that an object store would escape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EvidencePath(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path of the evidence store")]
pub struct InvalidPath(pub String);

impl EvidencePath {
    /// Joins segments with slashes. A segment has 1 to 200 characters: letters, digits, `_`, `.`, `:` and `-`.
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

/// The folder of a run: `<platform_run_id>/mf/train_runs/<run_id>/`.
#[derive(Debug, Clone)]
pub struct RunFolder {
    platform_run_id: String,
    run_id: RunId,
}

/// Returns `<platform_run_id>/mf/resolved_train_plan/<run_key>.json`.
pub fn resolved_train_plan(platform_run_id: &str, run_key: &RunKey) -> EvidencePath {
    path(&[platform_run_id, "mf", "resolved_train_plan", &format!("{run_key}.json")])
}

/// Returns `<platform_run_id>/mf/reconciliation/<sha256>.json`.
pub fn reconciliation(platform_run_id: &str, sha256: &Digest) -> EvidencePath {
    path(&[platform_run_id, "mf", "reconciliation", &format!("{sha256}.json")])
}

/// Builds a path. Never panics: ids of platform runs and runs have only valid characters, and file names are constants.
fn path(segments: &[&str]) -> EvidencePath {
    EvidencePath::of(segments.iter().copied()).expect("segments are tokens")
}

impl RunFolder {
    pub fn new(platform_run_id: &str, run_id: &RunId) -> Self {
        Self { platform_run_id: platform_run_id.to_owned(), run_id: run_id.clone() }
    }

    fn at(&self, rest: &[&str]) -> EvidencePath {
        let mut segments = vec![self.platform_run_id.as_str(), "mf", "train_runs", self.run_id.as_str()];
        segments.extend(rest);
        path(&segments)
    }

    /// Returns the path of the run's copy of a manifest or profile, with the bytes that the run read.
    pub fn input(&self, name: &str) -> EvidencePath {
        self.at(&["inputs", name])
    }

    pub fn model(&self, name: &str) -> EvidencePath {
        self.at(&["model", name])
    }

    pub fn eval_report(&self) -> EvidencePath {
        self.at(&["eval", "eval_report.json"])
    }

    pub fn report_page(&self) -> EvidencePath {
        self.at(&["eval", "report.html"])
    }

    pub fn leakage_report(&self) -> EvidencePath {
        self.at(&["eval", "leakage_report.json"])
    }

    pub fn decision_report(&self) -> EvidencePath {
        self.at(&["eval", "decision_report.json"])
    }

    /// Returns the path of the list of the run's documents with their digests.
    pub fn evidence_pack(&self) -> EvidencePath {
        self.at(&["evidence", "evidence_pack.json"])
    }

    pub fn gate_receipt(&self) -> EvidencePath {
        self.at(&["gate", "gate_receipt.json"])
    }

    pub fn publish_eligibility(&self) -> EvidencePath {
        self.at(&["gate", "publish_eligibility.json"])
    }

    pub fn bundle(&self, name: &str) -> EvidencePath {
        self.at(&["bundle", name])
    }

    /// Returns the bundle's folder, as a publication names it.
    pub fn bundle_folder(&self) -> String {
        self.at(&["bundle"]).to_string()
    }

    /// Returns the path of the document with topic, partition and offset of the publication.
    pub fn publish_receipt(&self) -> EvidencePath {
        self.at(&["publish", "publish_receipt.json"])
    }

    pub fn attempt(&self, fence: i64) -> EvidencePath {
        self.at(&["attempts", &format!("{fence}.json")])
    }

    /// Returns the path of the marker that a run writes last on its way to PASS or FAIL by the gate.
    pub fn complete(&self) -> EvidencePath {
        self.at(&["_COMPLETE"])
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
