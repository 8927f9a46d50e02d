//! Trains again in the trainer's child processes, by the registered command that the plan pins or by the booster.

use super::Rebuilder;
use super::fetch::{parse, unresolved};
use crate::domain::contract::{
    DecisionReport, Evaluation, GrantedLimits, ModelFormat, ParityVectors, PinnedBundle, PinnedCommand,
    PlannedChampion, ResolvedAlgorithm, TrainPlan,
};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::EarlierRole;
use crate::training::{
    self, ChildJob, DECISION_REPORT_FILE, EVALUATION_FILE, Exit, LEAKAGE_REPORT_FILE, SCORES_FILE, TrainerRegistrations,
};
use std::collections::BTreeMap;
use std::path::Path;

/// Returns a map from the name of the command that trained to its digests on this machine. Empty for the built-in booster.
/// Returns an error if the command is not registered, is not the one that the plan pins, or must be confined and cannot
/// be.
pub(super) fn checked_command(
    plan: &TrainPlan,
    commands: &TrainerRegistrations,
    allow_unconfined: bool,
) -> Result<BTreeMap<String, PinnedCommand>, Failure> {
    let ResolvedAlgorithm::Process(algorithm) = &plan.algorithm else { return Ok(BTreeMap::new()) };
    let (name, registration) = training::registered(algorithm, commands)?;
    let differs = |why: String| Failure::new(FailureCode::DigestMismatch, format!("trainer command {name:?}: {why}"));
    let found = registration
        .pin()
        .map_err(|error| differs(format!("{} or a script of it: {error}", registration.program.display())))?;
    let pinned = &algorithm.command;
    if found.program_sha256 != pinned.program_sha256 {
        let (program, found, pinned) = (registration.program.display(), found.program_sha256, pinned.program_sha256);
        return Err(differs(format!("its program {program} has digest {found}, the plan pins {pinned}")));
    }
    for (script, expected) in &pinned.files {
        match found.files.get(script) {
            Some(digest) if digest == expected => {}
            Some(digest) => return Err(differs(format!("{script} has digest {digest}, the plan pins {expected}"))),
            None => return Err(differs(format!("the plan pins its argument {script}, which is no file of it here"))),
        }
    }
    if let Some(script) = found.files.keys().find(|script| !pinned.files.contains_key(*script)) {
        return Err(differs(format!("its argument {script} is a file that the plan does not pin")));
    }
    if found.registration_sha256 != pinned.registration_sha256 {
        let (found, pinned) = (found.registration_sha256, pinned.registration_sha256);
        return Err(differs(format!(
            "its registration (program, arguments, path, read, write, network, allow_pickle) has digest {found}, the \
             plan pins {pinned}"
        )));
    }
    training::check_confinement(allow_unconfined).map_err(|why| Failure::new(FailureCode::TrainerFailed, why))?;
    Ok(BTreeMap::from([(name.to_owned(), found)]))
}

/// What the last step of the training wrote.
pub(super) struct Retrained {
    pub(super) evaluation: Evaluation,
    /// The decision report, as a value and as bytes.
    pub(super) decision: (DecisionReport, Vec<u8>),
    pub(super) model: Vec<u8>,
    pub(super) model_format: ModelFormat,
    pub(super) parity_vectors: Vec<u8>,
    pub(super) scores: Digest,
    pub(super) leakage_report: Digest,
}

pub(super) async fn train(rebuilder: &Rebuilder, plan: &TrainPlan, work: &Path) -> Result<Retrained, Failure> {
    let broken = |error: std::io::Error| Failure::new(FailureCode::TrainerFailed, error.to_string());
    let data = work.join("data");
    tokio::fs::create_dir(&data).await.map_err(broken)?;
    let mut files = Vec::with_capacity(plan.files.len());
    for (index, file) in plan.files.iter().enumerate() {
        let into = data.join(format!("{index}.parquet"));
        rebuilder.inputs.file(&parse(&file.reference)?, file.sha256, file.bytes, &into).await.map_err(unresolved)?;
        files.push(into);
    }
    if let Some(PlannedChampion { bundle: PinnedBundle { model, .. }, .. }) = &plan.champion {
        let into = ChildJob::earlier_model(work, EarlierRole::Champion);
        rebuilder.inputs.file(&parse(&model.reference)?, model.sha256, model.bytes, &into).await.map_err(unresolved)?;
    }
    let granted = GrantedLimits { limits: rebuilder.ceiling.over(&plan.limits), threads: rebuilder.threads };
    let job = ChildJob { plan: plan.clone(), files, limits: granted.limits.clone(), threads: rebuilder.threads };
    job.write(work, &rebuilder.commands).await?;
    for &(step, ..) in training::steps(plan) {
        let ended =
            training::run(&rebuilder.trainer.to(step), work, &granted.limits, std::future::pending(), |_| {}).await;
        match ended.map_err(|error| Failure::new(FailureCode::TrainerFailed, error.to_string()))? {
            Exit::Finished => {}
            Exit::Failed(failure) => return Err(granted.explain(&plan.limits, failure)),
            Exit::Stopped => return Err(Failure::new(FailureCode::TrainerFailed, "the trainer was stopped")),
        }
    }
    let model_format = training::model_format(plan, work).await?;
    let read = |name: &str| std::fs::read(work.join(name)).map_err(broken);
    let evaluation = serde_json::from_slice(&read(EVALUATION_FILE)?).map_err(unresolved)?;
    let decision = read(DECISION_REPORT_FILE)?;
    let decision = (serde_json::from_slice(&decision).map_err(unresolved)?, decision);
    Ok(Retrained {
        evaluation,
        decision,
        model: read(model_format.file_name())?,
        model_format,
        parity_vectors: read(ParityVectors::FILE)?,
        scores: Digest::of(&read(SCORES_FILE)?),
        leakage_report: Digest::of(&read(LEAKAGE_REPORT_FILE)?),
    })
}
