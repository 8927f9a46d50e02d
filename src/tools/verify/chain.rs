//! The chain: request → plan → data → model → report → gate → bundle, and what else speaks of them.

use super::folder::Folder;
use super::links::{BrokenLink, CheckedLink, Link, Verification};
use super::{Expected, Verified};
use crate::adapters::signing;
use crate::domain::contract::SchemaName;
use crate::domain::identity::{Digest, RunKey};
use crate::modelling::{
    BOM_FILE, BUILD_TYPE, BUILDER, BundleManifest, Decision, EvalReport, GateReceipt, ModelFormat, PROVENANCE_FILE,
    PROVENANCE_PREDICATE, PROVENANCE_STATEMENT, ParityOrigin, ParityVectors, ResolvedAlgorithm, SIGNATURE_FILE,
    TrainPlan, bundle_id, bundle_version, dependencies, eval_report_id, external_parameters,
};
use crate::training;
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

type Holds = Result<String, BrokenLink>;

/// Checks every link in order and notes what held.
pub(super) fn follow(folder: &Path, expected: &Expected, told: &mut Verification) -> Result<Verified, BrokenLink> {
    let mut folder = Folder::read(folder)?;
    let manifest: BundleManifest = folder.document(Link::Bundle, BundleManifest::FILE, SchemaName::Bundle)?;
    told.run_id = Some(manifest.run_id.clone());
    let files = folder.check(&manifest.files)?;
    let id = bundle_id(&files);
    told.bundle_id = Some(id);
    told.bundle_version = Some(bundle_version(&id, &manifest.lineage.revisions));
    let asked = expected.bundle_id.unwrap_or(id);
    Link::Bundle.must(asked == id, || format!("the bundle's id is {id}, expected is {asked}"))?;
    let mut note = |link, checked| told.checked.push(CheckedLink { link, checked });
    let against = if expected.bundle_id.is_some() { "as expected" } else { "nothing known to compare it with" };
    note(Link::Bundle, format!("bundle.json fits its schema; the id is {id}, {against}"));
    note(Link::Files, format!("{} files with the digests that bundle.json lists, and no other", files.len()));

    let plan: TrainPlan = folder.document(Link::Plan, "resolved_train_plan.json", SchemaName::ResolvedTrainPlan)?;
    let (format, model) = model_of(&folder)?;
    let bundle = Opened {
        plan_digest: Digest::of(folder.get(Link::Plan, "resolved_train_plan.json")?),
        report: folder.document(Link::Report, "eval_report.json", SchemaName::EvalReport)?,
        report_digest: Digest::of(folder.get(Link::Report, "eval_report.json")?),
        receipt: folder.document(Link::Gate, "gate_receipt.json", SchemaName::GateReceipt)?,
        model_digest: Digest::of(model),
        folder: &folder,
        manifest,
        plan,
        format,
        model,
    };
    for (link, check) in Opened::links() {
        note(link, check(&bundle)?);
    }
    let Opened { plan, format, .. } = bundle;
    note(Link::Signature, signature(&folder, expected)?);
    let parity = folder.document(Link::Parity, ParityVectors::FILE, SchemaName::ParityVectors)?;
    Ok(Verified { bundle_id: id, plan, format, model: folder.take(format.file_name()), parity })
}

/// The one model in the folder.
fn model_of(folder: &Folder) -> Result<(ModelFormat, &[u8]), BrokenLink> {
    let mut found = ModelFormat::ALL.iter().filter_map(|&format| Some((format, folder.find(format.file_name())?)));
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => Err(Link::Model.broken("there is no model")),
        (Some(_), Some(_)) => Err(Link::Model.broken("there are two models")),
    }
}

/// A bundle whose files are what `bundle.json` says.
struct Opened<'a> {
    folder: &'a Folder,
    manifest: BundleManifest,
    plan: TrainPlan,
    plan_digest: Digest,
    format: ModelFormat,
    model: &'a [u8],
    model_digest: Digest,
    report: EvalReport,
    report_digest: Digest,
    receipt: GateReceipt,
}

impl Opened<'_> {
    #[expect(clippy::type_complexity, reason = "a table of functions reads line by line")]
    fn links() -> [(Link, fn(&Self) -> Holds); 9] {
        [
            (Link::Request, Self::request),
            (Link::Plan, Self::plan),
            (Link::Data, Self::data),
            (Link::Model, Self::model),
            (Link::Report, Self::report),
            (Link::Gate, Self::gate),
            (Link::Provenance, Self::provenance),
            (Link::Descriptions, Self::descriptions),
            (Link::Parity, Self::parity),
        ]
    }

    fn request(&self) -> Holds {
        let Self { plan, manifest, .. } = self;
        let key = RunKey::of(&plan.meaning());
        Link::Request.must(key == plan.run_key && key.run_id() == plan.run_id, || {
            format!("what the plan was asked for gives the run {}, it says {}", key.run_id(), plan.run_id)
        })?;
        let same = manifest.run_key == key && manifest.run_id == plan.run_id;
        Link::Request.must(same, || format!("the bundle is of {}, the plan of {}", manifest.run_id, plan.run_id))?;
        let same = manifest.target_scope == plan.target_scope;
        Link::Request.must(same, || "the bundle is meant for another scope than was asked for".to_owned())?;
        Ok(format!("the request's meaning gives run key {key}"))
    }

    fn plan(&self) -> Holds {
        let Self { plan, manifest, plan_digest, .. } = self;
        let lineage = &manifest.lineage;
        Link::Plan.must(lineage.run_config_digest == *plan_digest, || {
            format!("the plan has digest {plan_digest}, bundle.json says {}", lineage.run_config_digest)
        })?;
        let set = &plan.feature_definition_set;
        let same = lineage.revisions == plan.revisions
            && manifest.features == plan.features
            && manifest.compatibility.feature_set_id == set.feature_set_id
            && manifest.compatibility.feature_set_version == set.feature_set_version;
        Link::Plan.must(same, || "bundle.json tells of other revisions or features than the plan".to_owned())?;
        Ok(format!("digest {plan_digest}, revisions and {} features as in bundle.json", plan.features.len()))
    }

    fn data(&self) -> Holds {
        let Self { plan, manifest, report, .. } = self;
        let lineage = &manifest.lineage;
        let differs = [
            ("manifests", lineage.manifests == plan.manifests),
            ("data files", lineage.data == plan.files),
            ("training profile", lineage.training_profile == plan.training_profile),
            ("governance profile", lineage.governance_profile == plan.governance_profile),
            (
                "manifests of the report",
                report.dataset_manifest_refs.iter().eq(plan.manifests.iter().map(|manifest| &manifest.reference)),
            ),
        ];
        match differs.iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(Link::Data.broken(format!("the {what} are not those of the plan"))),
            None => Ok(format!(
                "{} manifests, 2 profiles and {} data files, pinned by the same digests",
                plan.manifests.len(),
                plan.files.len()
            )),
        }
    }

    fn model(&self) -> Holds {
        let Self { format, model, manifest, plan, .. } = self;
        let name = format.file_name();
        format.check(model).map_err(|why| Link::Model.broken(format!("{name} is no {format} model: {why}")))?;
        let needed = &manifest.compatibility.required_capabilities;
        let same = needed.iter().any(|capability| capability == format.capability());
        Link::Model.must(same, || format!("bundle.json asks servers for {needed:?}, the model needs {format}"))?;
        let fits = matches!(plan.algorithm, ResolvedAlgorithm::Process(_)) || *format == ModelFormat::XgboostJson;
        Link::Model.must(fits, || format!("the built-in booster does not save its model as {format}"))?;
        Ok(format!("{name} is a model in the format {format}"))
    }

    fn report(&self) -> Holds {
        let Self { plan, report, model_digest, plan_digest, .. } = self;
        let link = Link::Report;
        let provenance = &report.provenance;
        link.must(report.run_id == plan.run_id, || format!("it is about {}", report.run_id))?;
        let found = provenance.resolved_train_plan.sha256;
        link.must(found == *plan_digest, || format!("it is about the plan {found}, this one is {plan_digest}"))?;
        let found = provenance.model.sha256;
        link.must(found == *model_digest, || format!("it is about the model {found}, this one is {model_digest}"))?;
        let id = eval_report_id(&plan.run_id, model_digest);
        link.must(report.eval_report_id == id, || format!("its id is {}, it should be {id}", report.eval_report_id))?;
        let same = provenance.revisions == plan.revisions && report.metrics.seed == plan.seed;
        link.must(same, || "it tells of other revisions or another seed than the plan".to_owned())?;
        Ok(format!("{} is about this plan and this model", report.eval_report_id))
    }

    fn gate(&self) -> Holds {
        let Self { plan, report, receipt, .. } = self;
        let link = Link::Gate;
        link.must(receipt.run_id == plan.run_id, || format!("the receipt is about {}", receipt.run_id))?;
        let looked_at = [
            ("eval_report", self.report_digest),
            ("leakage_report", report.provenance.leakage_report.sha256),
            ("model", self.model_digest),
            ("resolved_train_plan", self.plan_digest),
        ];
        for (role, digest) in looked_at {
            let found = receipt.looked_at.get(role).map(|at| at.sha256);
            link.must(found == Some(digest), || format!("the receipt is about another {role} than {digest}"))?;
        }
        let policy = &plan.governance_profile;
        let same = receipt.policy_id == policy.policy_id && receipt.policy_revision == policy.revision;
        link.must(same, || "the receipt names another policy than the plan".to_owned())?;
        link.must(receipt.decision == report.gate_decision, || "receipt and report disagree".to_owned())?;
        link.must(receipt.decision == Decision::Pass, || "the gate did not pass".to_owned())?;
        let found = report.metrics.dataset.test.positives;
        let positives = &receipt.min_positives;
        let enough = positives.holds && positives.found == found && found >= positives.required;
        link.must(enough, || format!("the receipt counts {} frauds, the report {found}", positives.found))?;
        for verdict in &receipt.thresholds {
            let name = &verdict.threshold;
            let measured = report.metrics.scores.get(&verdict.metric);
            let (value, interval) = measured.map_or((None, None), |metric| (metric.value, metric.interval));
            let bound = report.metrics.thresholds.get(name).copied();
            let same = verdict.value == value && verdict.interval == interval && bound == Some(verdict.bound);
            link.must(same, || format!("{name}: the receipt has another value or bound than the report"))?;
            link.must(verdict.holds, || format!("{name} does not hold, and the gate passed"))?;
        }
        let compared = receipt.champion.iter().flat_map(|champion| &champion.differences);
        for verdict in compared {
            let measured = report.metrics.champion.as_ref().and_then(|champion| champion.get(&verdict.metric));
            let same = measured.is_some_and(|measured| {
                (measured.champion, measured.candidate, measured.difference, measured.interval)
                    == (verdict.champion, verdict.candidate, verdict.difference, verdict.interval)
            });
            link.must(same, || format!("{}: the receipt has another difference than the report", verdict.name()))?;
            link.must(verdict.holds, || format!("{} does not hold, and the gate passed", verdict.name()))?;
        }
        let met = receipt.champion.is_some() == plan.champion.is_some();
        link.must(met, || "plan and receipt disagree on whether there is a champion".to_owned())?;
        let all = receipt.thresholds.len() == report.metrics.thresholds.len() && receipt.failed.is_empty();
        link.must(all, || "the receipt does not judge every threshold of the report".to_owned())?;
        Ok(format!("PASS over {} thresholds, with the report's own values", receipt.thresholds.len()))
    }

    fn provenance(&self) -> Holds {
        let link = Link::Provenance;
        let plan = &self.plan;
        let said = self.json(link, PROVENANCE_FILE)?;
        let types = said["_type"] == PROVENANCE_STATEMENT && said["predicateType"] == PROVENANCE_PREDICATE;
        link.must(types, || "it is no SLSA provenance v1".to_owned())?;
        let subjects = said["subject"].as_array().map_or(&[][..], Vec::as_slice);
        let name = self.format.file_name();
        let mut of_model = false;
        for subject in subjects {
            let path = subject["name"].as_str().unwrap_or_default();
            let found = self.folder.find(path).map(|bytes| json!(Digest::of(bytes)));
            let same = found.is_some_and(|found| found == subject["digest"]["sha256"]);
            link.must(same, || format!("its subject {path:?} is another file than the bundle's"))?;
            of_model |= path == name;
        }
        link.must(of_model, || format!("{name} is not among its subjects"))?;
        let definition = &said["predicate"]["buildDefinition"];
        let details = &said["predicate"]["runDetails"];
        let parts = [
            ("build type", &definition["buildType"], json!(BUILD_TYPE)),
            ("request", &definition["externalParameters"], external_parameters(plan)),
            ("dependencies", &definition["resolvedDependencies"], json!(dependencies(plan))),
            ("builder", &details["builder"]["id"], json!(BUILDER)),
            (
                "code release",
                &details["builder"]["version"]["mf_code_release_id"],
                json!(plan.revisions.mf_code_release_id),
            ),
            ("run", &details["metadata"]["invocationId"], json!(plan.run_id)),
        ];
        match parts.iter().find(|(_, found, expected)| **found != *expected) {
            Some((what, ..)) => Err(link.broken(format!("its {what} is not the plan's"))),
            None => Ok(format!("{} subjects; request and dependencies as in the plan", subjects.len())),
        }
    }

    fn descriptions(&self) -> Holds {
        let link = Link::Descriptions;
        let bill = self.json(link, BOM_FILE)?;
        let hash = &bill["metadata"]["component"]["hashes"][0]["content"];
        let same = bill["bomFormat"] == "CycloneDX" && *hash == json!(self.model_digest);
        link.must(same, || format!("{BOM_FILE} is about another model"))?;
        let text = String::from_utf8_lossy(self.folder.get(link, "MLmodel")?);
        let uuid = format!("model_uuid: '{}'", &self.model_digest.to_string()[..32]);
        let same = text.contains(&uuid) && text.contains(self.format.file_name());
        link.must(same, || "MLmodel is about another model".to_owned())?;
        Ok("bom.json and MLmodel are about this model".to_owned())
    }

    fn parity(&self) -> Holds {
        let Self { plan, model, model_digest, .. } = self;
        let link = Link::Parity;
        let said: ParityVectors = self.folder.document(link, ParityVectors::FILE, SchemaName::ParityVectors)?;
        let about = said.run_id == plan.run_id && said.model_sha256 == *model_digest;
        link.must(about, || format!("the vectors are about the model {} of {}", said.model_sha256, said.run_id))?;
        said.inputs(&plan.features).map_err(|why| link.broken(why))?;
        let count = said.vectors.len();
        match (&plan.algorithm, said.origin) {
            (ResolvedAlgorithm::Process(_), ParityOrigin::Trainer) => {
                Ok(format!("{count} vectors as the registered command scored them; its model is not run here"))
            }
            (ResolvedAlgorithm::BuiltIn(_), ParityOrigin::Model) => {
                // A reader of foreign bytes may panic.
                let scoring = AssertUnwindSafe(|| training::check_parity(model, &plan.features, &said));
                let scored =
                    catch_unwind(scoring).unwrap_or_else(|_| Err("the model made its reader panic".to_owned()));
                scored.map_err(|why| link.broken(why))?;
                Ok(format!("{count} vectors scored again, equal bit for bit"))
            }
            (ResolvedAlgorithm::Process(_), ParityOrigin::Model)
            | (ResolvedAlgorithm::BuiltIn(_), ParityOrigin::Trainer) => {
                Err(link.broken("the vectors come from elsewhere than the plan's algorithm can give them"))
            }
        }
    }

    fn json(&self, link: Link, name: &str) -> Result<Value, BrokenLink> {
        serde_json::from_slice(self.folder.get(link, name)?).map_err(|error| link.broken(format!("{name}: {error}")))
    }
}

fn signature(folder: &Folder, expected: &Expected) -> Holds {
    let link = Link::Signature;
    let files = folder.digests();
    match (folder.find(SIGNATURE_FILE), &expected.public_key) {
        (None, None) => Ok("there is none, and no key was given to check one with".to_owned()),
        (None, Some(_)) => Err(link.broken(format!("there is no {SIGNATURE_FILE}"))),
        (Some(signature), None) => {
            signing::check_files(signature, &files).map_err(|error| link.broken(error))?;
            Ok("it is about these files; who signed was not checked, since no key was given".to_owned())
        }
        (Some(signature), Some(key)) => {
            signing::verify(key, signature, &files).map_err(|error| link.broken(error))?;
            Ok(format!("{} files signed by the key {}", files.len(), key.hint()))
        }
    }
}
