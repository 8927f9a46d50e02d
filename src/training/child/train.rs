//! Runs the steps that read a run's data files without a registered command. `Train` fits the built-in booster. `Recheck`
//! scores an earlier bundle's model on this run's test window. Each runs in one process.

use super::assign::{Assigned, assign, write_leakage_report};
use super::choose::Choosing;
use super::decide::{ScoredWindows, decide};
use super::evaluate::evaluate;
use super::job::{begin, broken, read_rows, report, write, write_columns};
use crate::adapters::dataset::write_scores;
use crate::domain::contract::{BoostParameters, LeakageReport, ParityVectors, ResolvedAlgorithm, TrainPlan};
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::modelling::{Assignment, Table, canary};
use crate::training::booster::{Fitted, FittingWindow, LoadedModel, Matrix, fit, fit_to_labels, parity_vectors};
use crate::training::protocol::{DECISION_REPORT_FILE, EVALUATION_FILE, MODEL_FILE, SCORES_FILE, file_failure};
use std::path::Path;

pub(super) fn train(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let (plan, threads) = (&job.plan, job.threads);
    if !plan.intent_kind.trains() {
        return Err(broken("the plan is for a run that fits nothing"));
    }
    let ResolvedAlgorithm::BuiltIn(algorithm) = &plan.algorithm else {
        return Err(broken("the plan names a registered command, and this step is not for one"));
    };
    report("read", 0.0, "reading the rows");
    write_columns(job_dir, &job)?;
    let mut table = read_rows(&job)?;
    report("check", 0.2, "looking for leakage");
    let assigned = assign(job_dir, &mut table, plan)?;
    let Assigned { assignment, categories, report: leakage, .. } = &assigned;
    let choice = match &algorithm.choice {
        Some(choice) => Some(Choosing { table: &mut table, assignment, plan, threads }.choose(choice)?),
        None => None,
    };
    let parameters = algorithm.chosen(choice.as_ref().map(|choice| choice.chosen.as_str()));
    let validation: &[usize] = if parameters.refit { &assignment.validation } else { &[] };
    let matrix = Matrix::to_fit(&mut table, [&assignment.train, validation], &plan.features)?;
    let fitting = Fitting { matrix, assignment, parameters, threads };
    if let Some(leakage) = fitting.try_shuffled_labels(&table, plan, leakage)? {
        write_leakage_report(job_dir, &leakage)?;
    }
    let model = fitting.fit(plan.seed)?.xgboost_json(&plan.features, categories)?;
    fitting.matrix.release(&mut table);
    let matrix = Matrix::new(&table, &plan.features)?;
    write(job_dir, MODEL_FILE, &model)?;
    let parity = parity_vectors(&plan.run_id, &model, &plan.features)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    report("score", 0.85, "scoring the test window");
    let loaded = LoadedModel::read(&model)?;
    let scores = loaded.score(&matrix, &assignment.test)?;
    write_scores(&job_dir.join(SCORES_FILE), &table, &assignment.test, &scores)
        .map_err(|error| file_failure("cannot write the scores", &error))?;
    report("evaluate", 0.9, "measuring");
    let mut evaluation = evaluate(&table, &assigned, &scores, choice, &job)?;
    evaluation.rounds = Some(loaded.rounds());
    evaluation.features = loaded.effects(&matrix, &assignment.test)?;
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    let validation = loaded.score(&matrix, &assigned.chosen_on)?;
    let measured = ScoredWindows { test: &scores, validation: &validation };
    write(job_dir, DECISION_REPORT_FILE, &document_bytes(&decide(&table, &assigned, &measured, &model, plan)?))?;
    report("evaluate", 1.0, "measured");
    Ok(())
}

/// What both the fit of the model and the fits of the canary use.
struct Fitting<'a> {
    matrix: Matrix,
    assignment: &'a Assignment,
    parameters: &'a BoostParameters,
    threads: u32,
}

impl Fitting<'_> {
    /// Fits to shuffled labels if the plan asks for the shuffled-label canary. Returns the leakage report with the
    /// canary's result added, or `None` if the plan does not ask.
    fn try_shuffled_labels(
        &self,
        table: &Table,
        plan: &TrainPlan,
        leakage: &LeakageReport,
    ) -> Result<Option<LeakageReport>, Failure> {
        let Some(rule) = &plan.leakage.shuffled_label_canary else { return Ok(None) };
        report("check", 0.25, "fitting to shuffled labels");
        let (train, test) = (&self.assignment.train, &self.assignment.test);
        let parameters = BoostParameters { rounds: rule.rounds, early_stopping_rounds: 0, ..self.parameters.clone() };
        let rule = canary(table, self.assignment, rule, plan.seed, |labels| {
            let fitted = fit_to_labels(&self.matrix, train, labels, &parameters, plan.seed, self.threads)?;
            LoadedModel::read(&fitted.xgboost_json(&plan.features, &[])?)?.score(&self.matrix, test)
        })?;
        Ok(Some(leakage.clone().with(rule)))
    }

    fn fit(&self, seed: u64) -> Result<Fitted, Failure> {
        let parameters = self.parameters;
        let rounds = parameters.rounds * parameters.seeds * if parameters.refit { 2 } else { 1 };
        let every = (rounds / 20).max(1);
        let rows = FittingWindow { train: &self.assignment.train, validation: &self.assignment.validation };
        fit(&self.matrix, rows, parameters, seed, self.threads, |done| {
            if done % every == 0 {
                let fraction = 0.3 + 0.55 * f64::from(done) / f64::from(rounds);
                report("fit", fraction, &format!("{done} of {rounds} trees"));
            }
        })
    }
}

pub(super) fn recheck(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    report("read", 0.0, "reading the rows");
    write_columns(job_dir, &job)?;
    let mut table = read_rows(&job)?;
    report("check", 0.4, "looking for leakage");
    let assigned = assign(job_dir, &mut table, plan)?;
    let (Some(baseline), Some(pinned)) = (&assigned.baseline, &plan.baseline) else {
        return Err(broken("the plan names no baseline, and this step fits nothing"));
    };
    report("score", 0.6, "scoring the test window");
    let scores = baseline.scores()?;
    write_scores(&job_dir.join(SCORES_FILE), &table, &assigned.assignment.test, &scores)
        .map_err(|error| file_failure("cannot write the scores", &error))?;
    report("evaluate", 0.7, "measuring");
    let mut evaluation = evaluate(&table, &assigned, &scores, None, &job)?;
    (evaluation.rounds, evaluation.features) = (Some(baseline.rounds()), baseline.effects()?);
    write(job_dir, MODEL_FILE, &baseline.bytes)?;
    let parity = parity_vectors(&plan.run_id, &baseline.bytes, &pinned.features)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    // This run has no validation window: what an earlier bundle learned from may lie there, so no threshold is chosen.
    let measured = ScoredWindows { test: &scores, validation: &[] };
    let decision = decide(&table, &assigned, &measured, &baseline.bytes, plan)?;
    write(job_dir, DECISION_REPORT_FILE, &document_bytes(&decision))?;
    report("evaluate", 1.0, "measured");
    Ok(())
}
