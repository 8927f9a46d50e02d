//! The path of each document of a run.

use super::EvidencePath;
use crate::domain::identity::{Digest, RunId, RunKey};

/// `<platform_run_id>/mf/train_runs/<run_id>/`.
#[derive(Debug, Clone)]
pub struct RunFolder {
    platform_run_id: String,
    run_id: RunId,
}

/// `<platform_run_id>/mf/resolved_train_plan/<run_key>.json`.
pub fn resolved_train_plan(platform_run_id: &str, run_key: &RunKey) -> EvidencePath {
    path(&[platform_run_id, "mf", "resolved_train_plan", &format!("{run_key}.json")])
}

/// `<platform_run_id>/mf/reconciliation/<sha256>.json`.
pub fn reconciliation(platform_run_id: &str, sha256: &Digest) -> EvidencePath {
    path(&[platform_run_id, "mf", "reconciliation", &format!("{sha256}.json")])
}

/// Every segment is clean: platform run ids were parsed as tokens, run ids are made as tokens, and the file names are
/// our own.
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

    /// A copy of a manifest or profile, as the run read it.
    pub fn input(&self, name: &str) -> EvidencePath {
        self.at(&["inputs", name])
    }

    /// A file of the fitted model.
    pub fn model(&self, name: &str) -> EvidencePath {
        self.at(&["model", name])
    }

    pub fn eval_report(&self) -> EvidencePath {
        self.at(&["eval", "eval_report.json"])
    }

    /// The evaluation report as a page for people.
    pub fn report_page(&self) -> EvidencePath {
        self.at(&["eval", "report.html"])
    }

    pub fn leakage_report(&self) -> EvidencePath {
        self.at(&["eval", "leakage_report.json"])
    }

    /// The list of all documents with their digests.
    pub fn evidence_pack(&self) -> EvidencePath {
        self.at(&["evidence", "evidence_pack.json"])
    }

    pub fn gate_receipt(&self) -> EvidencePath {
        self.at(&["gate", "gate_receipt.json"])
    }

    /// Whether the bundle may be published.
    pub fn publish_eligibility(&self) -> EvidencePath {
        self.at(&["gate", "publish_eligibility.json"])
    }

    pub fn bundle(&self, name: &str) -> EvidencePath {
        self.at(&["bundle", name])
    }

    /// The bundle's folder, as a publication names it.
    pub fn bundle_folder(&self) -> String {
        self.at(&["bundle"]).to_string()
    }

    /// Topic, partition and offset of the publication.
    pub fn publish_receipt(&self) -> EvidencePath {
        self.at(&["publish", "publish_receipt.json"])
    }

    /// The record of the attempt with this fence.
    pub fn attempt(&self, fence: i64) -> EvidencePath {
        self.at(&["attempts", &format!("{fence}.json")])
    }

    /// The marker that the run writes last.
    pub fn complete(&self) -> EvidencePath {
        self.at(&["_COMPLETE"])
    }
}
