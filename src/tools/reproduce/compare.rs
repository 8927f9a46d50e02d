//! Builds a bundle again, and compares it part by part with the existing bundle.

use super::Rebuilder;
use super::fetch::{self, unresolved};
use super::train::{checked_command, train};
use crate::adapters::evidence::{EvidencePath, RunFolder};
use crate::domain::contract::{EvidenceRef, ParityVectors, SchemaName, read_json};
use crate::domain::identity::{Digest, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{self, BundleEvidence};
use crate::tools::verify::{self, Expected, Verified};
use serde::Serialize;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reproduction {
    pub identical: bool,
    /// The verdict on the existing bundle, in one sentence.
    pub verdict: String,
    /// The parts in order: each part depends only on earlier ones.
    pub parts: Vec<ComparedPart>,
}

/// One part of a bundle, compared with the same part of the bundle built again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedPart {
    pub part: &'static str,
    /// Digest of the part in the existing bundle.
    pub expected: Digest,
    /// Digest of the part that was built again.
    pub found: Digest,
}

impl Rebuilder {
    /// Builds the bundle in `folder` again, with `work` as its work folder, and compares the parts. Returns the failure
    /// `EVIDENCE_UNRESOLVED` if a link of the existing bundle is broken.
    pub async fn rebuild(&self, folder: &Path, expected: &Expected, work: &Path) -> Result<Reproduction, Failure> {
        let (verification, verified) = self.verifier.open(folder, expected).await;
        let verdict = verification.sentence;
        let Some(Verified { bundle_id, plan, plan_sha256, report_sha256, receipt: existing, model, .. }) = verified
        else {
            return Err(Failure::new(FailureCode::EvidenceUnresolved, verdict));
        };
        let commands = checked_command(&plan, &self.commands, self.allow_unconfined)?;
        let sources = fetch::sources(&self.inputs, &plan).await?;
        let again = fetch::plan(&plan, &sources, &commands)?;
        let again_bytes = document_bytes(&again);
        let trained = train(self, &again, work).await?;

        // Report and receipt name paths in the evidence store, so this uses the paths that a worker would have used.
        let run = RunFolder::new(&again.platform_run_id, &again.run_id);
        let at = |path: EvidencePath, sha256| EvidenceRef { reference: path.to_string(), sha256 };
        let governance = &sources.governance_profile.content;
        let model_again = Digest::of(&trained.model);
        let (decision, decision_bytes) = trained.decision;
        let decision_sha256 = Digest::of(&decision_bytes);
        let provenance = verify::provenance(
            &again,
            Digest::of(&again_bytes),
            (trained.model_format, model_again),
            trained.scores,
            trained.leakage_report,
            Some(decision_sha256),
        );
        let report = modelling::report(&again, trained.evaluation, Some(&decision), governance, provenance)?;
        let report_bytes = document_bytes(&report);
        let report_at = at(run.eval_report(), Digest::of(&report_bytes));
        let kept = sources.kept();
        let inputs = kept.map(|(name, sha256)| (format!("inputs/{name}"), at(run.input(&name), sha256)));
        let governance = (governance, again.governance_profile.at());
        let receipt = modelling::gate(&again.run_id, (&report, &report_at), Some(&decision), governance, inputs)?;
        let receipt = receipt.like(&existing);
        let parity: ParityVectors =
            read_json(SchemaName::ParityVectors, &trained.parity_vectors).map_err(unresolved)?;
        let bundle = modelling::bundle(&BundleEvidence {
            plan: (&again, &again_bytes),
            report: (&report, &report_bytes),
            decision: Some((&decision, &decision_bytes)),
            receipt: (&receipt, &document_bytes(&receipt)),
            parity: (&parity, &trained.parity_vectors),
            model: (trained.model_format, &trained.model),
        });
        let part = |part, expected, found| ComparedPart { part, expected, found };
        let parts = vec![
            part("plan", plan_sha256, Digest::of(&again_bytes)),
            part("model", Digest::of(&model), model_again),
            part("report", report_sha256, Digest::of(&report_bytes)),
            part("bundle_id", bundle_id, bundle.bundle_id),
        ];
        Ok(Reproduction { identical: parts.iter().all(|part| part.expected == part.found), verdict, parts })
    }
}
