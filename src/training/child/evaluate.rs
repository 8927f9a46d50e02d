//! Metrics of the test window, and the comparison with the champion.

use super::assign::Assigned;
use super::progress::report;
use crate::domain::contract::{BootstrapSpec, Differences};
use crate::domain::run::Failure;
use crate::modelling::metrics::{self, Measured, Resampling, ScoredRows};
use crate::modelling::{Table, slicings};
use crate::training::protocol::ChildJob;

/// Computes what the profile asks for from these scores of the test window; where there is a champion, also how far its
/// metrics are from these.
pub(super) fn evaluate(
    table: &Table,
    assigned: &Assigned,
    scores: &[f32],
    job: &ChildJob,
) -> Result<(Measured, Option<Differences>), Failure> {
    const DAY: i64 = 86_400_000_000;
    let (plan, threads, rows) = (&job.plan, job.threads, &assigned.assignment.test);
    let wide = |scores: &[f32]| -> Vec<f64> { scores.iter().map(|&score| f64::from(score)).collect() };
    let scores = wide(scores);
    let labels: Vec<bool> = rows.iter().map(|&row| table.label[row]).collect();
    let at = table.event_time.as_deref();
    let days: Vec<i64> = rows.iter().map(|&row| at.map_or(0, |at| at[row].div_euclid(DAY))).collect();
    let of_rows = |ids: &[u32]| -> Vec<u32> { rows.iter().map(|&row| ids[row]).collect() };
    // Metrics by day and card need a time.
    let cards = table.entities.first().filter(|_| at.is_some()).map(|column| of_rows(&column.ids));
    let of_test = ScoredRows { scores: &scores, labels: &labels, days: &days, cards: cards.as_deref() };
    let bootstrap = plan.evaluation.bootstrap.as_ref();
    let cluster = bootstrap.and_then(|spec| spec.cluster.as_ref());
    let clusters = cluster
        .and_then(|name| table.entities.iter().find(|column| &column.name == name))
        .map(|column| of_rows(&column.ids));
    let clusters = clusters.as_deref();
    let resampling = bootstrap.map(|spec| Resampling { spec, clusters, seed: plan.seed, threads });
    let slicings = slicings(table, &plan.features, rows, &plan.evaluation.slices);
    let measured = metrics::measure(&of_test, &plan.evaluation, resampling.as_ref(), &slicings);
    let (Some(champion), Some(compared)) = (&assigned.champion, &plan.champion) else {
        return Ok((measured, None));
    };
    report("evaluate", 0.9, "comparing with the champion");
    let theirs = wide(&champion.scores()?);
    let spec = BootstrapSpec { confidence: compared.confidence, ..bootstrap.cloned().unwrap_or_default() };
    let resampling = Resampling { spec: &spec, clusters, seed: plan.seed, threads };
    let differences = metrics::differences(&of_test, &theirs, &compared.metrics, &plan.evaluation, &resampling);
    Ok((measured, Some(differences)))
}
