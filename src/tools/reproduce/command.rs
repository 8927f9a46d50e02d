//! The registered command that trained a bundle's model, compared with the one that is registered here.

use crate::domain::contract::{PinnedCommand, ResolvedAlgorithm, TrainPlan};
use crate::domain::run::{Failure, FailureCode};
use crate::training::{self, TrainerRegistrations};
use std::collections::BTreeMap;

/// The plan's command by its name, pinned as it is here; empty for the built-in booster. An error where it is not
/// registered, is not the one that the plan pins, or cannot be confined.
pub(super) fn of_plan(
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
    training::check_confinement(allow_unconfined)
        .map_err(|why| Failure::new(FailureCode::TrainerFailed, why.to_owned()))?;
    Ok(BTreeMap::from([(name.to_owned(), found)]))
}
