//! Checks the request, the report and the receipt: what follows from the plan, what the report must count, and that the
//! gate passed.

use super::link::{BrokenLink, Link};
use super::model::CountedModel;
use super::remake::{RECEIPT_FILE, REPORT_FILE, ReadBundle, must_be};
use crate::adapters::evidence::EvidencePath;
use crate::domain::contract::{Decision, EvalReport, PlannedSplit, PointInWindow, SettledSplit, TrainPlan};
use crate::domain::harmless::line;
use crate::domain::identity::RunKey;
use crate::modelling::metrics::contradiction;

/// Result of checking a link: what was checked, or why the link is broken.
pub(super) type Holds = Result<String, BrokenLink>;

pub(super) fn request(plan: &TrainPlan) -> Holds {
    let link = Link::Request;
    let key = RunKey::of(&plan.meaning());
    link.must(key == plan.run_key && key.run_id() == plan.run_id, || {
        format!("what the plan was asked for gives the run {}, it says {}", key.run_id(), plan.run_id)
    })?;
    // The id becomes part of paths below.
    let is_name = EvidencePath::of([plan.platform_run_id.as_str()]).is_ok();
    link.must(is_name, || format!("{:?} is no id of a platform run", plan.platform_run_id))?;
    Ok(format!("the request's meaning gives run key {key}"))
}

pub(super) fn report(bundle: &ReadBundle<'_>, model: Option<&CountedModel>) -> Holds {
    let link = Link::Report;
    let (plan, report) = (&bundle.plan.value, &bundle.report.value);
    link.must(report.run_id == plan.run_id, || format!("it is about {}", report.run_id))?;
    let found = report.provenance.model.sha256;
    let model_digest = bundle.model_digest;
    link.must(found == model_digest, || format!("it is about the model {found}, this one is {model_digest}"))?;
    must_be(link, REPORT_FILE, bundle.report.bytes, &bundle.report_again()?)?;
    counts(plan, report)?;
    decision(bundle)?;
    if let Some(model) = model {
        measured_model(report, model)?;
    }
    Ok(format!("{} is about this plan and this model, and its counts add up", report.eval_report_id))
}

/// Checks that the report counts the rows of the plan's files, and each of them once, and that its numbers do not
/// contradict each other.
fn counts(plan: &TrainPlan, report: &EvalReport) -> Result<(), BrokenLink> {
    let link = Link::Report;
    let dataset = &report.metrics.dataset;
    let windows = [Some(dataset.train), dataset.validation, Some(dataset.test)];
    let add = |sum: Option<u64>, more: u64| sum?.checked_add(more);
    let in_files = plan.files.iter().map(|file| file.rows).fold(Some(0), add);
    link.must(in_files == Some(dataset.rows), || {
        format!("it counts {} rows, the plan's files have {}", dataset.rows, in_files.unwrap_or(u64::MAX))
    })?;
    let parts = windows.iter().flatten().map(|window| window.rows).chain([dataset.unused_rows, dataset.excluded_rows]);
    let parts = parts.fold(Some(0), add);
    link.must(parts == Some(dataset.rows), || "its windows do not add up to its rows".to_owned())?;
    let is_part = windows.iter().flatten().all(|window| window.positives <= window.rows);
    link.must(is_part, || "a window has more frauds than rows".to_owned())?;
    let test = dataset.test;
    let weighted = windows.iter().flatten().all(|window| window.stands_for.is_some() == plan.columns.weight.is_some());
    link.must(weighted, || "it has weights where the plan has none, or none where the plan has some".to_owned())?;
    let (payments, frauds) =
        test.stands_for.map_or((test.rows as f64, test.positives as f64), |of| (of.payments, of.frauds));
    // Sums of weights in another order may differ by rounding errors. Numbers of rows do not.
    let rounding = if test.stands_for.is_some() { 1e-9 * payments } else { 0.0 };
    let are = |found: f64, expected: f64| (found - expected).abs() <= rounding;
    for of in &report.metrics.confusion {
        let same = are(of.true_positives + of.false_negatives, frauds)
            && are(of.true_negatives + of.false_positives, payments - frauds);
        link.must(same, || format!("at the threshold {} it counts other rows than the test window", of.threshold))?;
    }
    if let (PlannedSplit::TimeBased(planned), SettledSplit::TimeBased(settled)) = (&plan.split, &report.metrics.split) {
        link.must(planned == settled, || "its windows are not those of the plan".to_owned())?;
    }
    contradiction(plan, &report.metrics).map_or(Ok(()), |why| Err(link.broken(line(&why, 400))))
}

/// Checks that the decision report is about this plan and this model, measures the points that the plan asks for, and counts
/// the rows of the test window as the evaluation report does.
fn decision(bundle: &ReadBundle<'_>) -> Result<(), BrokenLink> {
    let (link, plan) = (Link::Report, &bundle.plan.value);
    let Some(decision) = bundle.decision() else { return Ok(()) };
    let model = bundle.model_digest;
    link.must(decision.run_id == plan.run_id && decision.model_sha256 == model, || {
        format!("its decision report is about {} and the model {}", decision.run_id, decision.model_sha256)
    })?;
    let is_planned = decision.amount == plan.columns.amount && decision.cost == plan.evaluation.cost;
    link.must(is_planned, || "its decision report has another amount or cost than the plan".to_owned())?;
    let asked = plan.evaluation.operating_points.iter().map(|point| (&point.name, point.target));
    let found = decision.operating_points.iter().map(|point| (&point.name, point.target));
    link.must(asked.eq(found), || "its decision report has other operating points than the plan".to_owned())?;
    let (test, counted) = (decision.windows.test, bundle.report.value.metrics.dataset.test);
    let same = (test.rows, test.positives) == (counted.rows, counted.positives);
    link.must(same, || "its decision report counts other rows of the test window".to_owned())?;
    let is_part = |window: Option<&PointInWindow>, rows: u64| {
        window.is_none_or(|point| point.hits <= point.alerts && point.alerts <= rows && point.rows_at_threshold <= rows)
    };
    let of_validation = decision.windows.validation.map_or(0, |window| window.rows);
    let add_up = decision.operating_points.iter().all(|point| {
        is_part(point.test.as_ref(), test.rows)
            && is_part(point.validation.as_ref(), of_validation)
            && point.threshold.is_some() == point.test.is_some()
    });
    link.must(add_up, || "an operating point of its decision report counts more than there is".to_owned())
}

/// Compares what the report says of the model with what was counted in the model itself.
fn measured_model(report: &EvalReport, model: &CountedModel) -> Result<(), BrokenLink> {
    let link = Link::Report;
    let said = report.metrics.rounds;
    link.must(said == Some(model.rounds), || format!("it counts {said:?} trees, the model has {}", model.rounds))?;
    let said = report.metrics.features.iter().map(|effect| (&effect.feature, effect.splits, effect.total_gain));
    let found = model.features.iter().map(|of| (&of.feature, of.splits, of.total_gain));
    link.must(said.eq(found), || "its splits and gains are not those of the model's trees".to_owned())
}

pub(super) fn gate(bundle: &ReadBundle<'_>) -> Holds {
    let link = Link::Gate;
    let (plan, receipt) = (&bundle.plan.value, &bundle.receipt.value);
    must_be(link, RECEIPT_FILE, bundle.receipt.bytes, &bundle.receipt_again()?)?;
    link.must(receipt.decision == Decision::Pass, || "the gate did not pass".to_owned())?;
    let planned = plan.champion.as_ref().map(|of| (&of.bundle.reference, of.bundle.sha256, of.confidence));
    let judged = receipt.champion.as_ref().map(|of| (&of.bundle.reference, of.bundle.sha256, of.confidence));
    link.must(planned == judged, || "the champion of the receipt is not that of the plan".to_owned())?;
    let compared = bundle.report.value.metrics.champion.iter().flat_map(std::collections::BTreeMap::keys);
    let mut wanted: Vec<&String> = plan.champion.iter().flat_map(|champion| &champion.metrics).collect();
    wanted.sort_unstable();
    link.must(compared.eq(wanted), || "the report compares other metrics with the champion than the plan".to_owned())?;
    Ok(format!("PASS over {} conditions, judged again on the report's values", receipt.conditions()))
}
