//! Runs the step `Inspect`, which looks at the model of a bundle that is verified. Never: loads a model of another format
//! than XGBoost's, or runs code of a bundle.

use super::job::{broken, decode, read_job, unread, write};
use crate::domain::contract::{ModelFormat, ParityVectors, parse_strict};
use crate::domain::identity::{Digest, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::training::booster::{LoadedModel, parity_vectors};
use crate::training::protocol::{CountedModel, InspectedModel, InspectionJob, MODEL_FILE};
use crate::training::sandbox::limit_this_process;
use std::fs;
use std::path::Path;

pub(super) fn inspect(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job: InspectionJob = read_job(job_dir)?;
    limit_this_process(&job.limits, worker).map_err(broken)?;
    let model = fs::read(job_dir.join(MODEL_FILE)).map_err(|error| unread(&error))?;
    let found = Digest::of(&model);
    if found != job.model_sha256 {
        return Err(broken(format!("the model was changed in the job: its digest is {found} now")));
    }
    let counted = decode("the model", FailureCode::TrainerFailed, || {
        check_format(&model, job.format)?;
        if !job.is_built_in {
            return Ok(None);
        }
        let counted = written_by_the_booster(&model, &job)?;
        let vectors = parity_vectors(&job.run_id, &model, &job.features)?;
        write(job_dir, ParityVectors::FILE, &document_bytes(&vectors))?;
        Ok(Some(counted))
    })?;
    write(job_dir, InspectedModel::FILE, &document_bytes(&InspectedModel { counted }))
}

/// Checks that the bytes are of this format. A model in JSON must read the same to every reader.
fn check_format(model: &[u8], format: ModelFormat) -> Result<(), Failure> {
    /// The deepest documents of XGBoost have about ten levels.
    const MAX_DEPTH: usize = 64;
    let name = format.file_name();
    format.check(model).map_err(|why| broken(format!("{name} is no {format} model: {why}")))?;
    if format == ModelFormat::XgboostJson {
        parse_strict(model, MAX_DEPTH).map_err(|error| broken(format!("{name} is no strict JSON: {error}")))?;
    }
    Ok(())
}

/// Checks that the built-in booster would write the model that it reads with these bytes.
fn written_by_the_booster(model: &[u8], job: &InspectionJob) -> Result<CountedModel, Failure> {
    let (loaded, categories) = LoadedModel::open(model, &job.features).map_err(broken)?;
    if !loaded.is_written_as(model, &job.features, &categories)? {
        let name = job.format.file_name();
        return Err(broken(format!("{name} holds more, or in another form, than the booster writes for its trees")));
    }
    Ok(CountedModel { rounds: loaded.rounds(), features: loaded.counted(&job.features) })
}
