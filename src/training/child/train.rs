//! Everything in one process: the built-in booster.

use super::columns::describe;
use super::measure::measured;
use super::{Assigned, assign, begin, broken, keep_if_clean, read, tell, write};
use crate::adapters::dataset::write_scores;
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::modelling::metrics::Measured;
use crate::modelling::{
    Assignment, BoostParameters, BuiltInAlgorithm, Evaluation, LeakageReport, ParityVectors, ResolvedAlgorithm, Table,
    TrainPlan, canary, shap_rows,
};
use crate::training::{self, EVALUATION_FILE, Fitted, FittingWindow, MODEL_FILE, Matrix, SCORES_FILE};
use std::path::Path;

/// Reads, checks, fits, scores and measures.
pub(super) fn train(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let (plan, threads) = (&job.plan, job.threads);
    if !plan.intent_kind.trains() {
        return Err(broken("the plan is for a run that fits nothing"));
    }
    let ResolvedAlgorithm::BuiltIn(algorithm) = &plan.algorithm else {
        return Err(broken("the plan names a registered command, and this step is not for one"));
    };
    tell("read", 0.0, "reading the rows");
    describe(job_dir, &job)?;
    let mut table = read(&job)?;
    tell("check", 0.2, "looking for leakage");
    let assigned = assign(job_dir, &mut table, plan)?;
    let Assigned { assignment, categories, report, .. } = &assigned;
    let fitting = Fitting { matrix: Matrix::new(&table, &plan.features)?, assignment, algorithm, threads };
    if let Some(report) = fitting.shuffled(&table, plan, report)? {
        keep_if_clean(job_dir, &report)?;
    }
    let fitted = fitting.fit(plan.seed)?;
    let model = fitted.xgboost_json(&plan.features, categories)?;
    write(job_dir, MODEL_FILE, &model)?;
    let parity = training::parity_vectors(&plan.run_id, &model, &plan.features)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    tell("score", 0.85, "scoring the test window");
    let scores = fitted.score(&fitting.matrix, &assignment.test)?;
    write_scores(&job_dir.join(SCORES_FILE), &table, &assignment.test, &scores).map_err(broken)?;
    tell("evaluate", 0.9, "measuring");
    let (measured, champion) = measured(&table, &assigned, &scores, &job)?;
    let Measured { scores, confusion, curves, slices } = measured;
    let features = fitted.effects(&fitting.matrix, &shap_rows(&assignment.test))?;
    let Assigned { split, dataset, .. } = assigned;
    let evaluation = Evaluation {
        scores,
        confusion,
        curves,
        slices,
        dataset,
        split,
        rounds: Some(fitted.rounds),
        features,
        champion,
    };
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    tell("evaluate", 1.0, "measured");
    Ok(())
}

/// What fits are made of.
struct Fitting<'a> {
    matrix: Matrix,
    assignment: &'a Assignment,
    algorithm: &'a BuiltInAlgorithm,
    threads: u32,
}

impl Fitting<'_> {
    /// The report with the canary, where the plan asks for one.
    fn shuffled(
        &self,
        table: &Table,
        plan: &TrainPlan,
        report: &LeakageReport,
    ) -> Result<Option<LeakageReport>, Failure> {
        let Some(rule) = &plan.leakage.shuffled_label_canary else { return Ok(None) };
        tell("check", 0.25, "fitting to shuffled labels");
        let (train, test) = (&self.assignment.train, &self.assignment.test);
        let parameters =
            BoostParameters { rounds: rule.rounds, early_stopping_rounds: 0, ..self.algorithm.parameters.clone() };
        let rule = canary(table, self.assignment, rule, plan.seed, |labels| {
            training::fit_to_labels(&self.matrix, train, labels, &parameters, plan.seed, self.threads)?
                .score(&self.matrix, test)
        })?;
        Ok(Some(report.clone().with(rule)))
    }

    fn fit(&self, seed: u64) -> Result<Fitted, Failure> {
        let parameters = &self.algorithm.parameters;
        let every = (parameters.rounds / 20).max(1);
        let rows = FittingWindow { train: &self.assignment.train, validation: &self.assignment.validation };
        training::fit(&self.matrix, rows, parameters, seed, self.threads, |done| {
            if done % every == 0 {
                let fraction = 0.3 + 0.55 * f64::from(done) / f64::from(parameters.rounds);
                tell("fit", fraction, &format!("{done} of {} trees", parameters.rounds));
            }
        })
    }
}
