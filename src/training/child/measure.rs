//! After a registered command: what it left is foreign, and is checked before it is believed.
//!
//! Labels are read again from the data files, whose digests are checked again: the command could not
//! reach them, and if it could have, it would show.

use super::{Assigned, assign, begin, broken, decoding, read, tell, write};
use crate::adapters::dataset::{read_scores, write_scores};
use crate::domain::contract::{BootstrapSpec, SchemaName, read_json};
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::metrics::{self, Differences, Measured, Resampling, Scored};
use crate::modelling::{
    Evaluation, FeatureCategories, ModelFormat, ParityCase, ParityOrigin, ParityRow, ParityValue, ParityVectors, RowId,
    RowIds, Table, TrainPlan, slicings,
};
use crate::training::{
    AcceptedModel, CommandOrder, EVALUATION_FILE, Job, SCORES_FILE, SavedModel, TrainerResult, digest_of,
};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Checks model and scores, measures, and puts all of it where the worker takes it from.
pub(super) fn measure(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    tell("check", 0.0, "looking at what the command left");
    let (format, model) = accept_model(job_dir)?;
    verify_data(&job)?;
    let mut table = read(&job)?;
    let assigned = assign(job_dir, &mut table, plan)?;
    let test = &assigned.assignment.test;
    let scores = accept_scores(&CommandOrder::work(job_dir), &table, test)?;
    write_scores(&job_dir.join(SCORES_FILE), &table, test, &scores).map_err(broken)?;
    tell("evaluate", 0.5, "measuring");
    let given = scores;
    let (measured, champion) = measured(&table, &assigned, &given, &job)?;
    let Measured { scores, confusion, curves, slices } = measured;
    let Assigned { assignment, split, dataset, categories, .. } = assigned;
    // What is inside the model is the command's business: no trees to count, no effects to read off.
    let (rounds, features) = (None, Vec::new());
    let evaluation = Evaluation { scores, confusion, curves, slices, dataset, split, rounds, features, champion };
    let parity = returned(&table, &assignment.test, &given, plan, &model, categories);
    write(job_dir, format.file_name(), &model)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    write(job_dir, AcceptedModel::FILE, &document_bytes(&AcceptedModel { format }))?;
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    tell("evaluate", 1.0, "measured");
    Ok(())
}

/// Rows of the test window with the scores that the command returned for them. Its model is foreign and is
/// not run, so no other rows can be scored.
fn returned(
    table: &Table,
    rows: &[usize],
    scores: &[f32],
    plan: &TrainPlan,
    model: &[u8],
    categories: Vec<FeatureCategories>,
) -> ParityVectors {
    const ROWS: usize = 64;
    let shown = |row: usize, feature: usize| {
        let value = table.features.value(row, feature);
        let known = table.features.vocabulary(feature);
        (!value.is_nan()).then(|| match known {
            Some(known) => ParityValue::from(&known[value as usize]),
            None => ParityValue::Number(value),
        })
    };
    let vectors = rows.iter().zip(scores).step_by(rows.len().div_ceil(ROWS).max(1)).map(|(&row, &score)| {
        let values = (0..plan.features.len()).map(|feature| shown(row, feature)).collect();
        (ParityRow { case: ParityCase::TestRow, values }, score)
    });
    ParityVectors::new(&plan.run_id, model, ParityOrigin::Trainer, &plan.features, categories, vectors)
}

/// What the profile asks for of these scores of the test window, and how far they are from the champion's
/// where there is one.
pub(super) fn measured(
    table: &Table,
    assigned: &Assigned,
    scores: &[f32],
    job: &Job,
) -> Result<(Measured, Option<Differences>), Failure> {
    const DAY: i64 = 86_400_000_000;
    let (plan, threads, rows) = (&job.plan, job.threads, &assigned.assignment.test);
    let wide = |scores: &[f32]| -> Vec<f64> { scores.iter().map(|&score| f64::from(score)).collect() };
    let scores = wide(scores);
    let labels: Vec<bool> = rows.iter().map(|&row| table.label[row]).collect();
    let at = table.event_time.as_deref();
    let days: Vec<i64> = rows.iter().map(|&row| at.map_or(0, |at| at[row].div_euclid(DAY))).collect();
    let of_rows = |ids: &[u32]| -> Vec<u32> { rows.iter().map(|&row| ids[row]).collect() };
    // Without time there are no days to look at the best cards of.
    let cards = table.entities.first().filter(|_| at.is_some()).map(|column| of_rows(&column.ids));
    let of_test = Scored { scores: &scores, labels: &labels, days: &days, cards: cards.as_deref() };
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
    tell("evaluate", 0.9, "comparing with the champion");
    let theirs = wide(&champion.scores()?);
    let spec = BootstrapSpec { confidence: compared.confidence, ..bootstrap.cloned().unwrap_or_default() };
    let resampling = Resampling { spec: &spec, clusters, seed: plan.seed, threads };
    let differences = metrics::differences(&of_test, &theirs, &compared.metrics, &plan.evaluation, &resampling);
    Ok((measured, Some(differences)))
}

/// The model that `result.json` names, if it is what it is said to be and may be taken.
fn accept_model(job_dir: &Path) -> Result<(ModelFormat, Vec<u8>), Failure> {
    const RESULT_CAP: u64 = 64 * 1024;
    let order = fs::read(job_dir.join(CommandOrder::FILE)).map_err(broken)?;
    let order: CommandOrder = serde_json::from_slice(&order).map_err(broken)?;
    let work = CommandOrder::work(job_dir);
    let result = fs::read(own_file(&work, TrainerResult::FILE, RESULT_CAP)?).map_err(broken)?;
    let result: TrainerResult = read_json(SchemaName::TrainerResult, &result)
        .map_err(|error| broken(format!("the command's result.json: {error}")))?;
    let SavedModel { format, path } = result.model;
    if format.runs_code() && !order.registration.allow_pickle {
        return Err(broken(format!(
            "the command saved its model as {format}, which runs code when it is loaded; its registration does not \
             set allow_pickle"
        )));
    }
    let bytes = fs::read(own_file(&work, &path, u64::MAX)?).map_err(broken)?;
    format.check(&bytes).map_err(|why| broken(format!("the command's {path} is no {format} model: {why}")))?;
    Ok((format, bytes))
}

/// The scores of these rows, in their order.
fn accept_scores(work: &Path, table: &Table, rows: &[usize]) -> Result<Vec<f32>, Failure> {
    let path = own_file(work, TrainerResult::SCORES, u64::MAX)?;
    let reading = || read_scores(&path, rows.len());
    let (ids, given) = decoding("the command's scores.parquet", FailureCode::TrainerFailed, reading)?;
    let places: HashMap<RowId<'_>, usize> =
        rows.iter().enumerate().map(|(place, &row)| (table.row_id.show(row), place)).collect();
    let mut scores = vec![f32::NAN; rows.len()];
    let length = match &ids {
        RowIds::Numbers(ids) => ids.len(),
        RowIds::Texts(ids) => ids.len(),
    };
    if length != given.len() {
        return Err(broken("the command's scores.parquet has fewer ids than scores"));
    }
    for (row, score) in given.into_iter().enumerate() {
        let id = ids.show(row);
        let Some(&place) = places.get(&id) else {
            return Err(broken(format!("the command scored row {id}, which it was not asked for")));
        };
        if !scores[place].is_nan() {
            return Err(broken(format!("the command scored row {id} twice")));
        }
        scores[place] = score;
    }
    Ok(scores)
}

/// A file in the command's folder, if it is one: no link to elsewhere, no pipe, no device.
fn own_file(work: &Path, name: &str, cap: u64) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let refuse = |why: String| broken(format!("the command's {name}: {why}"));
    let mut path = work.to_owned();
    for part in name.split('/') {
        path.push(part);
        let found = fs::symlink_metadata(&path).map_err(|error| refuse(error.to_string()))?;
        if found.is_symlink() {
            return Err(refuse("it is a link".to_owned()));
        }
    }
    let found = fs::metadata(&path).map_err(|error| refuse(error.to_string()))?;
    if !found.is_file() || found.nlink() != 1 {
        return Err(refuse("it is no regular file of its own".to_owned()));
    }
    if found.len() > cap {
        return Err(refuse(format!("it holds {} bytes, at most {cap} are read", found.len())));
    }
    Ok(path)
}

fn verify_data(job: &Job) -> Result<(), Failure> {
    for (path, pinned) in job.files.iter().zip(&job.plan.files) {
        let found = digest_of(path).map_err(broken)?;
        if found != pinned.sha256 {
            let message = format!("{} was changed while the command ran: its digest is {found} now", pinned.reference);
            return Err(broken(message));
        }
    }
    Ok(())
}
