//! Builds a bundle again, and compares it part by part with the existing bundle.

use super::Rebuilder;
use super::fetch::{self, unresolved};
use super::train::{checked_command, train};
use crate::adapters::evidence::{EvidencePath, RunFolder, layout};
use crate::domain::contract::{
    EvalProvenance, EvidenceRef, ModelFormat, ParityVectors, SchemaName, TrainPlan, read_json,
};
use crate::domain::identity::{Digest, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{self, BundleEvidence};
use crate::tools::verify::{self, Expected};
use serde::Serialize;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reproduction {
    pub identical: bool,
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
    /// Builds the bundle in `folder` again, with `work` as its work folder, and compares the parts.
    pub async fn rebuild(&self, folder: &Path, work: &Path) -> Result<Reproduction, Failure> {
        let verification = verify::verify(folder, &Expected::default());
        if let Some(broken) = verification.broken {
            let message = format!("the bundle is broken at the link {}: {}", broken.link, broken.why);
            return Err(Failure::new(FailureCode::EvidenceUnresolved, message));
        }
        let expected_id = verification.bundle_id.expect("a bundle without a broken link has an id");
        let read =
            |name: &str| std::fs::read(folder.join(name)).map_err(|error| unresolved(format!("{name}: {error}")));
        let plan_bytes = read("resolved_train_plan.json")?;
        let plan: TrainPlan = read_json(SchemaName::ResolvedTrainPlan, &plan_bytes).map_err(unresolved)?;
        let commands = checked_command(&plan, &self.commands, self.allow_unconfined)?;
        let sources = fetch::sources(&self.inputs, &plan).await?;
        let again = fetch::plan(&plan, &sources, &commands)?;
        let again_bytes = document_bytes(&again);
        let trained = train(self, &again, work).await?;

        // Report and receipt name paths in the evidence store, so this uses the paths that a worker would have used.
        let run = RunFolder::new(&again.platform_run_id, &again.run_id);
        let at = |path: EvidencePath, sha256| EvidenceRef { reference: path.to_string(), sha256 };
        let governance = &sources.governance_profile.content;
        let model = Digest::of(&trained.model);
        let plan_at = layout::resolved_train_plan(&again.platform_run_id, &again.run_key);
        let provenance = EvalProvenance {
            resolved_train_plan: at(plan_at, Digest::of(&again_bytes)),
            model: at(run.model(trained.model_format.file_name()), model),
            scores: at(run.model("scores.parquet"), trained.scores),
            leakage_report: at(run.leakage_report(), trained.leakage_report),
            revisions: again.revisions.clone(),
        };
        let report = modelling::report(&again, trained.evaluation, governance, provenance)?;
        let report_bytes = document_bytes(&report);
        let report_at = at(run.eval_report(), Digest::of(&report_bytes));
        let kept = sources.kept();
        let inputs = kept.map(|(name, sha256)| (format!("inputs/{name}"), at(run.input(&name), sha256)));
        let receipt = modelling::gate(&again.run_id, &report, &report_at, governance, inputs)?;
        let parity: ParityVectors =
            read_json(SchemaName::ParityVectors, &trained.parity_vectors).map_err(unresolved)?;
        let mut model_files = ModelFormat::ALL.iter().map(|format| format.file_name());
        let expected_model = model_files.find(|name| folder.join(name).is_file());
        let expected_model = read(expected_model.ok_or_else(|| unresolved("there is no model"))?)?;
        let bundle = modelling::bundle(&BundleEvidence {
            plan: (&again, &again_bytes),
            report: (&report, &report_bytes),
            receipt: (&receipt, &document_bytes(&receipt)),
            parity: (&parity, &trained.parity_vectors),
            model: (trained.model_format, &trained.model),
        });
        let part = |part, expected, found| ComparedPart { part, expected, found };
        let parts = vec![
            part("plan", Digest::of(&plan_bytes), Digest::of(&again_bytes)),
            part("model", Digest::of(&expected_model), model),
            part("report", Digest::of(&read("eval_report.json")?), Digest::of(&report_bytes)),
            part("bundle_id", expected_id, bundle.bundle_id),
        ];
        Ok(Reproduction { identical: parts.iter().all(|part| part.expected == part.found), parts })
    }
}
