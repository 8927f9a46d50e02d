//! Resolves the algorithm of a profile: the built-in booster with every parameter, or a registered command.

use crate::domain::contract::{
    BoostParameters, BuiltInAlgorithm, PinnedCommand, ProcessAlgorithm, ResolvedAlgorithm, SplitSpec, TrainingProfile,
};
use crate::domain::run::{Failure, FailureCode};
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn resolve_algorithm(
    profile: &TrainingProfile,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<ResolvedAlgorithm, Failure> {
    let invalid = |why: String| Failure::new(FailureCode::TrainingProfileInvalid, format!("algorithm: {why}"));
    let algorithm = &profile.algorithm;
    if let Some(name) = algorithm.id.strip_prefix(ResolvedAlgorithm::PROCESS) {
        return resolve_process(profile, name, commands).map(ResolvedAlgorithm::Process).map_err(invalid);
    }
    if algorithm.id != ResolvedAlgorithm::HESSBOOST {
        let id = &algorithm.id;
        return Err(invalid(format!("id {id:?} is not known; this release offers hessboost and process:<name>")));
    }
    let named = Value::Object(algorithm.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect());
    let parameters: BoostParameters =
        serde_json::from_value(named).map_err(|error| invalid(format!("parameters: {error}")))?;
    parameters.check().map_err(invalid)?;
    let validated = match &profile.split {
        SplitSpec::TimeBased { validation, .. } => validation.is_some(),
        SplitSpec::StratifiedRandom { validation, .. } => validation.is_some(),
    };
    if parameters.early_stopping_rounds > 0 && !validated {
        return Err(invalid("early_stopping_rounds needs a validation window".to_owned()));
    }
    Ok(ResolvedAlgorithm::BuiltIn(BuiltInAlgorithm { id: algorithm.id.clone(), parameters }))
}

/// The columns that a command's files have besides the features.
const COLUMNS_OF_OURS: [&str; 3] = ["row_id", "event_time", "label"];

fn resolve_process(
    profile: &TrainingProfile,
    name: &str,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<ProcessAlgorithm, String> {
    let Some(command) = commands.get(name) else {
        return Err(format!("no trainer command {name:?} is registered with this worker, or its program is not there"));
    };
    if let Some(feature) = profile.features.iter().find(|feature| COLUMNS_OF_OURS.contains(&feature.name.as_str())) {
        return Err(format!("a trainer command cannot be given a feature by the name {:?}", feature.name));
    }
    if profile.leakage.shuffled_label_canary.is_some() {
        return Err("leakage.shuffled_label_canary fits the built-in booster; a trainer command has none".to_owned());
    }
    Ok(ProcessAlgorithm {
        id: profile.algorithm.id.clone(),
        parameters: profile.algorithm.parameters.clone(),
        command: command.clone(),
    })
}
