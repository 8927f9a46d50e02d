//! A bundle's documents, read from its files.

use super::folder::Folder;
use super::link::{BrokenLink, Link};
use crate::domain::contract::{BundleManifest, EvalReport, GateReceipt, ModelFormat, SchemaName, TrainPlan};
use crate::domain::identity::Digest;
use serde_json::Value;

/// What a link that holds says of itself, or why it is broken.
pub(super) type Holds = Result<String, BrokenLink>;

/// A bundle whose files are what `bundle.json` says.
pub(super) struct ReadBundle<'a> {
    pub(super) folder: &'a Folder,
    pub(super) manifest: BundleManifest,
    pub(super) plan: TrainPlan,
    pub(super) plan_digest: Digest,
    pub(super) format: ModelFormat,
    pub(super) model: &'a [u8],
    pub(super) model_digest: Digest,
    pub(super) report: EvalReport,
    pub(super) report_digest: Digest,
    pub(super) receipt: GateReceipt,
}

impl<'a> ReadBundle<'a> {
    pub(super) fn read(folder: &'a Folder, manifest: BundleManifest) -> Result<Self, BrokenLink> {
        let plan = folder.document(Link::Plan, "resolved_train_plan.json", SchemaName::ResolvedTrainPlan)?;
        let (format, model) = model_of(folder)?;
        Ok(Self {
            plan,
            plan_digest: Digest::of(folder.get(Link::Plan, "resolved_train_plan.json")?),
            report: folder.document(Link::Report, "eval_report.json", SchemaName::EvalReport)?,
            report_digest: Digest::of(folder.get(Link::Report, "eval_report.json")?),
            receipt: folder.document(Link::Gate, "gate_receipt.json", SchemaName::GateReceipt)?,
            model_digest: Digest::of(model),
            folder,
            manifest,
            format,
            model,
        })
    }

    pub(super) fn json(&self, link: Link, name: &str) -> Result<Value, BrokenLink> {
        serde_json::from_slice(self.folder.get(link, name)?).map_err(|error| link.broken(format!("{name}: {error}")))
    }
}

/// The model: exactly one file of the folder must be one.
fn model_of(folder: &Folder) -> Result<(ModelFormat, &[u8]), BrokenLink> {
    let mut found = ModelFormat::ALL.iter().filter_map(|&format| Some((format, folder.find(format.file_name())?)));
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err(Link::Model.broken("there is no model")),
        (Some(_), Some(_)) => Err(Link::Model.broken("there are two models")),
    }
}
