//! Makes anew what follows from other files of the bundle, by the functions that the worker calls, and compares bytes.

use super::folder::{Folder, ReadDocument};
use super::link::{BrokenLink, Link};
use super::mismatch::{Mismatch, mismatch};
use crate::adapters::evidence::{EvidencePath, RunFolder, layout};
use crate::domain::contract::{
    BundleManifest, DecisionReport, EvalProvenance, EvalReport, EvidenceRef, GateReceipt, GovernanceProfile,
    ModelFormat, ParityVectors, SchemaName, TrainPlan,
};
use crate::domain::identity::{Digest, document_bytes};
use crate::modelling::{
    self, Bundle, BundleEvidence, BundleFile, PROVENANCE_FILE, SIGNATURE_FILE, evaluation_of, stated_profile,
};
use std::collections::BTreeMap;

pub(super) const PLAN_FILE: &str = "resolved_train_plan.json";
pub(super) const REPORT_FILE: &str = "eval_report.json";
pub(super) const RECEIPT_FILE: &str = "gate_receipt.json";

/// The files of a bundle from which all others follow, and the bundle that follows from them.
pub(super) struct ReadBundle<'a> {
    pub(super) folder: &'a Folder,
    pub(super) plan: ReadDocument<'a, TrainPlan>,
    pub(super) report: ReadDocument<'a, EvalReport>,
    /// `None` in a bundle of a release before there was one.
    pub(super) decision: Option<ReadDocument<'a, DecisionReport>>,
    pub(super) receipt: ReadDocument<'a, GateReceipt>,
    pub(super) parity: ReadDocument<'a, ParityVectors>,
    pub(super) format: ModelFormat,
    pub(super) model: &'a [u8],
    pub(super) model_digest: Digest,
    again: Bundle,
}

impl<'a> ReadBundle<'a> {
    pub(super) fn read(folder: &'a Folder) -> Result<Self, BrokenLink> {
        let plan = folder.document(Link::Plan, PLAN_FILE, SchemaName::ResolvedTrainPlan)?;
        let report: ReadDocument<'_, EvalReport> =
            folder.document(Link::Report, REPORT_FILE, SchemaName::EvalReport)?;
        let decision = match report.value.provenance.decision_report {
            Some(_) => Some(folder.document(Link::Report, DecisionReport::FILE, SchemaName::DecisionReport)?),
            None => None,
        };
        let receipt = folder.document(Link::Gate, RECEIPT_FILE, SchemaName::GateReceipt)?;
        let parity = folder.document(Link::Parity, ParityVectors::FILE, SchemaName::ParityVectors)?;
        let (format, model) = model_of(folder)?;
        let again = modelling::bundle(&BundleEvidence {
            plan: (&plan.value, plan.bytes),
            report: (&report.value, report.bytes),
            decision: decision.as_ref().map(|decision| (&decision.value, decision.bytes)),
            receipt: (&receipt.value, receipt.bytes),
            parity: (&parity.value, parity.bytes),
            model: (format, model),
        });
        let model_digest = Digest::of(model);
        Ok(Self { folder, plan, report, decision, receipt, parity, format, model, model_digest, again })
    }

    /// Checks that the folder holds exactly the files of the bundle, and perhaps a signature.
    pub(super) fn check_names(&self) -> Result<(), BrokenLink> {
        let is_ours = |name: &str| name == SIGNATURE_FILE || self.again.files.iter().any(|file| file.path == name);
        match self.folder.names().find(|name| !is_ours(name)) {
            Some(name) => Err(Link::Files.broken(format!("{name:?} is no file of a bundle"))),
            None => match self.again.files.iter().find(|file| self.folder.find(file.path).is_none()) {
                Some(file) => Err(Link::Files.broken(format!("{} is missing", file.path))),
                None => Ok(()),
            },
        }
    }

    /// Checks `bundle.json`. The digests of files are those of the files that are there, because each file is compared
    /// by itself.
    pub(super) fn check_manifest(&self) -> Result<(), BrokenLink> {
        let found = self.folder.get(Link::Bundle, BundleManifest::FILE)?;
        let mut expected = self.again.manifest.clone();
        for listed in &mut expected.files {
            if let Some(bytes) = self.folder.find(&listed.path) {
                (listed.sha256, listed.bytes) = (Digest::of(bytes), bytes.len() as u64);
            }
        }
        match mismatch(found, &document_bytes(&expected)) {
            None => Ok(()),
            Some(mismatch) => Err(not_made(link_of(&mismatch.pointer), BundleManifest::FILE, &mismatch)),
        }
    }

    /// Checks every file that the bundle's writer makes of the documents. `only` chooses the files.
    pub(super) fn check_made(&self, link: Link, only: fn(&str) -> bool) -> Result<Vec<&'static str>, BrokenLink> {
        let given =
            [PLAN_FILE, REPORT_FILE, RECEIPT_FILE, DecisionReport::FILE, ParityVectors::FILE, self.format.file_name()];
        let is_made =
            |file: &&BundleFile| file.path != BundleManifest::FILE && !given.contains(&file.path) && only(file.path);
        let made: Vec<&BundleFile> = self.again.files.iter().filter(is_made).collect();
        for file in &made {
            if let Some(mismatch) = mismatch(self.folder.get(link, file.path)?, &file.bytes) {
                return Err(not_made(link, file.path, &mismatch));
            }
        }
        Ok(made.iter().map(|file| file.path).collect())
    }

    /// Makes the report again from what it says was measured.
    pub(super) fn report_again(&self) -> Result<EvalReport, BrokenLink> {
        let found = &self.report.value.provenance;
        let provenance = provenance(
            &self.plan.value,
            Digest::of(self.plan.bytes),
            (self.format, self.model_digest),
            found.scores.sha256,
            found.leakage_report.sha256,
            self.decision.as_ref().map(|decision| Digest::of(decision.bytes)),
        );
        let measured = evaluation_of(&self.report.value);
        modelling::report(&self.plan.value, measured, self.decision(), &self.stated_profile(), provenance)
            .map_err(|failure| Link::Report.broken(failure.message))
    }

    /// Makes the receipt again: judges the report by the bounds that the receipt states.
    pub(super) fn receipt_again(&self) -> Result<GateReceipt, BrokenLink> {
        let plan = &self.plan.value;
        let report_at = at(&run_folder(plan).eval_report(), Digest::of(self.report.bytes));
        let inputs = kept_inputs(plan, &self.receipt.value);
        let profile = self.stated_profile();
        let profile = (&profile, plan.governance_profile.at());
        modelling::gate(&plan.run_id, (&self.report.value, &report_at), self.decision(), profile, inputs)
            .map(|again| again.like(&self.receipt.value))
            .map_err(|failure| Link::Gate.broken(failure.message))
    }

    pub(super) fn decision(&self) -> Option<&DecisionReport> {
        self.decision.as_ref().map(|decision| &decision.value)
    }

    fn stated_profile(&self) -> GovernanceProfile {
        stated_profile(&self.plan.value, &self.receipt.value)
    }
}

/// Checks that a document has the bytes of `again`.
pub(super) fn must_be<T: serde::Serialize>(link: Link, name: &str, found: &[u8], again: &T) -> Result<(), BrokenLink> {
    match mismatch(found, &document_bytes(again)) {
        None => Ok(()),
        Some(mismatch) => Err(not_made(link, name, &mismatch)),
    }
}

fn not_made(link: Link, name: &str, mismatch: &Mismatch) -> BrokenLink {
    link.broken(format!("{name} does not follow from the other files: {}", mismatch.text))
}

/// Returns the link that a field of `bundle.json` belongs to.
fn link_of(pointer: &str) -> Link {
    const LINKS: [(&str, Link); 8] = [
        ("/run_id", Link::Request),
        ("/run_key", Link::Request),
        ("/target_scope", Link::Request),
        ("/compatibility/required_capabilities", Link::Model),
        ("/features", Link::Plan),
        ("/lineage/revisions", Link::Plan),
        ("/lineage/run_config_digest", Link::Plan),
        ("/lineage", Link::Data),
    ];
    LINKS.iter().find(|(prefix, _)| pointer.starts_with(prefix)).map_or(Link::Bundle, |(_, link)| *link)
}

/// Returns the files that are made only for other tools and for people.
pub(super) fn is_description(name: &str) -> bool {
    name != PROVENANCE_FILE
}

pub(super) fn is_provenance(name: &str) -> bool {
    name == PROVENANCE_FILE
}

/// Builds the report's list of what it was made from. The documents have the paths that a worker gives them.
pub fn provenance(
    plan: &TrainPlan,
    plan_digest: Digest,
    (format, model): (ModelFormat, Digest),
    scores: Digest,
    leakage_report: Digest,
    decision_report: Option<Digest>,
) -> EvalProvenance {
    let run = run_folder(plan);
    EvalProvenance {
        resolved_train_plan: at(&layout::resolved_train_plan(&plan.platform_run_id, &plan.run_key), plan_digest),
        model: at(&run.model(format.file_name()), model),
        scores: at(&run.model("scores.parquet"), scores),
        leakage_report: at(&run.leakage_report(), leakage_report),
        decision_report: decision_report.map(|sha256| at(&run.decision_report(), sha256)),
        revisions: plan.revisions.clone(),
    }
}

/// Returns the copies of manifests and profiles that the run keeps, as the receipt names them. The plan does not pin the
/// champion's report, so its digest is the receipt's.
fn kept_inputs(plan: &TrainPlan, receipt: &GateReceipt) -> BTreeMap<String, EvidenceRef> {
    const CHAMPIONS_REPORT: &str = "champion_eval_report.json";
    let manifests = plan.manifests.iter().enumerate();
    let mut kept: Vec<(String, Digest)> =
        manifests.map(|(index, manifest)| (format!("manifest_{index}.json"), manifest.sha256)).collect();
    kept.push(("training_profile.yaml".to_owned(), plan.training_profile.sha256));
    kept.push(("governance_profile.yaml".to_owned(), plan.governance_profile.sha256));
    if let Some(champion) = &plan.champion {
        kept.push(("champion_bundle.json".to_owned(), champion.bundle.sha256));
        let report = receipt.looked_at.get(&format!("inputs/{CHAMPIONS_REPORT}"));
        kept.extend(report.map(|at| (CHAMPIONS_REPORT.to_owned(), at.sha256)));
    }
    let run = run_folder(plan);
    kept.into_iter().map(|(name, sha256)| (format!("inputs/{name}"), at(&run.input(&name), sha256))).collect()
}

fn run_folder(plan: &TrainPlan) -> RunFolder {
    RunFolder::new(&plan.platform_run_id, &plan.run_id)
}

fn at(path: &EvidencePath, sha256: Digest) -> EvidenceRef {
    EvidenceRef { reference: path.to_string(), sha256 }
}

/// Returns the model and its format. Exactly one file of the folder must be a model.
fn model_of(folder: &Folder) -> Result<(ModelFormat, &[u8]), BrokenLink> {
    let mut found = ModelFormat::ALL.iter().filter_map(|&format| Some((format, folder.find(format.file_name())?)));
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err(Link::Model.broken("there is no model")),
        (Some(_), Some(_)) => Err(Link::Model.broken("there are two models")),
    }
}
