//! Checks the links between request, plan, data, model, report and gate receipt.

use super::folder::{Holds, ReadBundle};
use super::link::Link;
use crate::domain::contract::{Decision, ModelFormat, ResolvedAlgorithm};
use crate::domain::identity::RunKey;
use crate::modelling::eval_report_id;

pub(super) fn request(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { plan, manifest, .. } = bundle;
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

pub(super) fn plan(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { plan, manifest, plan_digest, .. } = bundle;
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

pub(super) fn data(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { plan, manifest, report, .. } = bundle;
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

pub(super) fn model(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { format, model, manifest, plan, .. } = bundle;
    let name = format.file_name();
    format.check(model).map_err(|why| Link::Model.broken(format!("{name} is no {format} model: {why}")))?;
    let needed = &manifest.compatibility.required_capabilities;
    let same = needed.iter().any(|capability| capability == format.capability());
    Link::Model.must(same, || format!("bundle.json asks servers for {needed:?}, the model needs {format}"))?;
    let fits = matches!(plan.algorithm, ResolvedAlgorithm::Process(_)) || *format == ModelFormat::XgboostJson;
    Link::Model.must(fits, || format!("the built-in booster does not save its model as {format}"))?;
    Ok(format!("{name} is a model in the format {format}"))
}

pub(super) fn report(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { plan, report, model_digest, plan_digest, .. } = bundle;
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

pub(super) fn gate(bundle: &ReadBundle<'_>) -> Holds {
    let ReadBundle { plan, report, receipt, .. } = bundle;
    let link = Link::Gate;
    link.must(receipt.run_id == plan.run_id, || format!("the receipt is about {}", receipt.run_id))?;
    let looked_at = [
        ("eval_report", bundle.report_digest),
        ("leakage_report", report.provenance.leakage_report.sha256),
        ("model", bundle.model_digest),
        ("resolved_train_plan", bundle.plan_digest),
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
