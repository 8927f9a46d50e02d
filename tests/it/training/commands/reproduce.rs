//! A bundle of a registered command, built again by the same command, and by ones that are not the same.

use super::trial::{Trial, column, write_scores};
use super::whole::{profile, world_with};
use crate::support::data;
use model_factory::domain::run::State;
use model_factory::training::{ChildStep, TrainerRegistration};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Writes the scores that the trial's script may copy, one for each row of its job.
pub async fn give_scores(trial: &Trial, score: impl Fn(usize) -> f64) {
    if !trial.job_dir().exists() {
        trial.write_job(&trial.plan());
        trial.step(ChildStep::Prepare, std::future::pending()).await.unwrap();
    }
    let ids = column(&trial.work().join("score.parquet"));
    let scores = (0..ids.len()).map(score).collect();
    write_scores(&trial.folder.path().join("given/scores.parquet"), ids, scores);
}

fn reproduce(bundle: &Path, registration: Option<&TrainerRegistration>) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
    command.current_dir(elsewhere.path()).arg("reproduce").arg(bundle).args(["--work", "work", "--output", "json"]);
    command.env_clear().env("MODEL_FACTORY_INPUTS__ROOT", &data().folder);
    if let Some(registration) = registration {
        let prefix = "MODEL_FACTORY_TRAINER__COMMANDS__TRIAL__";
        let list = |value: Value| value.to_string();
        command
            .env(format!("{prefix}PROGRAM"), &registration.program)
            .env(format!("{prefix}ARGUMENTS"), list(serde_json::to_value(&registration.arguments).unwrap()))
            .env(format!("{prefix}PATH"), &registration.path)
            .env(format!("{prefix}READ"), list(serde_json::to_value(&registration.read).unwrap()))
            .env(format!("{prefix}NETWORK"), registration.network.to_string());
    }
    command.output().unwrap()
}

/// The parts of the result, and whether each came out the same.
fn parts(output: &Output) -> Vec<(String, bool)> {
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let part = |part: &Value| (part["part"].as_str().unwrap().to_owned(), part["expected"] == part["found"]);
    let parts: Vec<_> = said["parts"].as_array().unwrap().iter().map(part).collect();
    assert_eq!(said["identical"], parts.iter().all(|(_, same)| *same));
    assert_eq!(output.status.code(), Some(i32::from(said["identical"] == false)));
    parts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_of_a_command_is_built_again_by_the_same_command_and_by_no_other() {
    let trial = Trial::of("finish");
    give_scores(&trial, |row| (row % 100) as f64 / 100.0).await;
    let (world, run_id) = world_with(&trial, profile("reproduced", "")).await;
    world.run_until_idle(2).await;
    let run = world.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!(run.state, State::PublishPending, "{:?}", run.reason_message);
    let bundle = world.folder.path().join("evidence").join(&run.refs["bundle/bundle.json"].reference);
    let bundle = bundle.parent().unwrap();

    let same =
        |names: &[(&str, bool)]| names.iter().map(|(name, same)| ((*name).to_owned(), *same)).collect::<Vec<_>>();
    let again = reproduce(bundle, Some(&trial.registration));
    assert_eq!(parts(&again), same(&[("plan", true), ("model", true), ("report", true), ("bundle_id", true)]));

    // A change in what the command reads besides its pinned files shows in its scores.
    give_scores(&trial, |row| (row % 50) as f64 / 50.0).await;
    let other = reproduce(bundle, Some(&trial.registration));
    assert_eq!(parts(&other), same(&[("plan", true), ("model", true), ("report", false), ("bundle_id", false)]));

    let script = trial.registration.arguments[0].clone();
    let copy = format!("{script}.copy");
    fs::copy(&script, &copy).unwrap();
    let with = |change: &dyn Fn(&mut TrainerRegistration)| {
        let mut registration = trial.registration.clone();
        change(&mut registration);
        Some(registration)
    };
    let changed = || fs::write(&script, format!("{}\n# changed\n", fs::read_to_string(&script).unwrap())).unwrap();
    let refused = |registration: Option<TrainerRegistration>, code: &str, says: &str| {
        let output = reproduce(bundle, registration.as_ref());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains(code) && said.contains(says), "{says}: {said}");
    };
    refused(None, "TRAINING_PROFILE_INVALID", "no trainer command \"trial\" is registered here");
    refused(with(&|r| r.program = PathBuf::from("/bin/cat")), "DIGEST_MISMATCH", "its program /bin/cat has digest");
    refused(with(&|r| r.arguments = vec![copy.clone()]), "DIGEST_MISMATCH", "the plan pins its argument");
    refused(with(&|r| r.arguments.push(copy.clone())), "DIGEST_MISMATCH", "is a file that the plan does not pin");
    refused(with(&|r| r.network = true), "DIGEST_MISMATCH", "its registration (program, arguments");
    changed();
    refused(with(&|_| {}), "DIGEST_MISMATCH", &format!("{script} has digest"));
}
