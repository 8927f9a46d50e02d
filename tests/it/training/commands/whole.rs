//! A registered command through the whole worker, watched from outside.

use super::trial::{Trial, column, write_scores};
use crate::support::{World, data, eventually, request};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use model_factory::domain::contract::{EventType, RunLifecycleEvent, SchemaName, TrainerJob, check};
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{Outcome, State};
use model_factory::training::CommandSpec;
use model_factory::worker::runner::ProgressRate;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// A profile that names the trial, with a categorical feature, and `more` at its end.
pub fn profile(name: &str, more: &str) -> String {
    let text = fs::read_to_string(data().folder.join(&data().inputs.training_profile)).unwrap();
    let (before, rest) = text.split_once("algorithm:").unwrap();
    let (_, after) = rest.split_once("split:").unwrap();
    let feature = "  - {name: merchant_category, type: categorical}\n";
    let profile = format!("{before}{feature}algorithm: {{id: 'process:trial'}}\nsplit:{after}{more}");
    let reference = format!("profiles/{name}.yaml");
    fs::write(data().folder.join(&reference), profile).unwrap();
    reference
}

/// A world with the trial as a command, and an admitted run of this profile.
pub async fn world_with(trial: &Trial, profile: String) -> (World, RunId) {
    let mut world = World::new().await;
    world.config.trainer.commands.insert("trial".to_owned(), trial.registration.clone());
    let mut request = request("req-whole-001");
    request["training_config_ref"] = profile.into();
    // Made-up scores would not pass a real gate.
    let gate =
        "policy_id: any\nrevision: r1\ncontrols: {require_pass_gate: true}\neval_thresholds: {min_auc_roc: 0.0}\n";
    fs::write(data().folder.join("profiles/any_gate.yaml"), gate).unwrap();
    request["governance_profile_ref"] = "profiles/any_gate.yaml".into();
    world.send(&[request.to_string().into_bytes()]).await;
    match world.admit(1).await.remove(0) {
        Outcome::Admitted { run_id } => (world, run_id),
        other => panic!("{other:?}"),
    }
}

fn rows(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// The codes of the categorical feature in the command's files stand for the values of the data, row by row.
fn check_categories(work: &Path) {
    let job: TrainerJob = serde_json::from_slice(&fs::read(work.join(TrainerJob::FILE)).unwrap()).unwrap();
    let [of_feature] = &job.categories[..] else { panic!("{:?}", job.categories) };
    assert_eq!(of_feature.feature, "merchant_category");
    let values = serde_json::to_value(&of_feature.values).unwrap();
    let mut meant = HashMap::new();
    for batch in rows(&data().folder.join("ofs/data/cards.parquet")) {
        let ids = batch["transaction_id"].as_primitive::<Int64Type>().values();
        let texts = batch["merchant_category"].as_string::<i32>();
        meant.extend(ids.iter().zip(texts.iter()).map(|(id, text)| (*id, text.map(str::to_owned))));
    }
    let (mut coded, mut missing) = (0, 0);
    for name in ["train.parquet", "validation.parquet", "score.parquet"] {
        for batch in rows(&work.join(name)) {
            assert_eq!(batch.column_by_name("label").is_none(), name == "score.parquet");
            let ids = batch["row_id"].as_primitive::<Int64Type>().values();
            for (id, code) in ids.iter().zip(batch["merchant_category"].as_primitive::<Float32Type>().iter()) {
                let value = code.map(|code| values[code as usize].as_str().unwrap().to_owned());
                assert_eq!(value, meant[id], "row {id} of {name}");
                if code.is_some() { coded += 1 } else { missing += 1 }
            }
        }
    }
    assert!(coded > 1_000 && missing > 100, "{coded} coded, {missing} missing");
}

fn work_folder(scratch: &Path, run_id: &RunId) -> Option<PathBuf> {
    let mut jobs = fs::read_dir(scratch).ok()?.flatten().map(|entry| entry.path());
    let job =
        jobs.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(run_id.as_str())));
    job.map(|job| CommandSpec::work(&job))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_watched_from_its_first_progress_to_its_publication() {
    const BOUND: Duration = Duration::from_mins(1);
    let line = r#"{"step": "fit", "fraction": 0.5, "message": "half of it"}"#;
    // Bounded, so that a defect of ours ends the test.
    let wait = "for i in $(seq 2400); do test -e \"$GIVEN/go\" && break; sleep 0.05; done";
    let trial = Trial::of(&format!("echo '{line}'\n{wait}\nfinish"));
    let (world, run_id) = world_with(&trial, profile("whole", "")).await;
    let mut runner = world.runner("runner-1", 2).await;
    runner.progress_rate = ProgressRate { report_every: Duration::from_millis(10), event_every: Duration::ZERO };
    let (_stop, shutdown) = tokio::sync::watch::channel(false);
    let seen = world.folder.path().join("watched.jsonl");
    let mut watching = world
        .command(&["runs", "watch", "req-whole-001", "--output", "json"])
        .stdout(fs::File::create(&seen).unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let meanwhile = async {
        let reported = || async {
            let progress = world.ledger.run(&run_id).await.unwrap().unwrap().progress?;
            (progress.message == "half of it").then_some(progress)
        };
        let progress = eventually("the command's progress in the ledger", BOUND, reported).await;
        // Our own steps before and after the command have their share of the percentage.
        assert_eq!((progress.step.as_str(), progress.percent), ("fit", 55));
        assert!(world.stdout(&["runs", "show", run_id.as_str()]).contains("55% fit: half of it"));
        let watched = || async { fs::read_to_string(&seen).unwrap().contains("half of it").then_some(()) };
        eventually("the command's progress on the screen", BOUND, watched).await;
        let work = work_folder(&world.config.trainer.scratch, &run_id).unwrap();
        check_categories(&work);
        let ids = column(&work.join("score.parquet"));
        let scores = (0..ids.len()).map(|row| (row % 100) as f64 / 100.0).collect();
        write_scores(&trial.folder.path().join("given/scores.parquet"), ids, scores);
        fs::write(trial.folder.path().join("given/go"), "").unwrap();
    };
    let (settled, ()) = tokio::join!(runner.run_once(&shutdown), meanwhile);
    let run = world.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!(run.state, State::PublishPending, "{settled:?}: {:?}", run.reason_message);
    let sent = world.drain().await;
    let [lifecycle, publications, _] = world.received(sent).await;
    assert_eq!(publications.len(), 1);

    let mut of_command = 0;
    for (index, record) in lifecycle.iter().enumerate() {
        let value: Value = serde_json::from_slice(&record.value).unwrap();
        check(SchemaName::RunLifecycle, &value).unwrap();
        let event: RunLifecycleEvent = serde_json::from_value(value).unwrap();
        assert_eq!(event.seq, index as u64 + 1);
        assert_eq!(event.event_type == EventType::RunProgress, event.progress.is_some());
        let of_fit = event.progress.filter(|progress| progress.message == "half of it" && progress.percent == 55);
        of_command += usize::from(of_fit.is_some());
    }
    assert_eq!(of_command, 1, "of {} events", lifecycle.len());

    let ended = eventually("the end of runs watch", BOUND, || std::future::ready(watching.try_wait().unwrap())).await;
    assert!(ended.success());
    let seen = fs::read_to_string(&seen).unwrap();
    let lines: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<&str> = lines.iter().filter_map(|line| line["step"]["transition"].as_str()).collect();
    assert_eq!(steps, ["START", "FINISH_EVALUATION", "PASS_GATE", "REQUEST_PUBLISH", "PUBLISH"]);
    let last = lines.last().unwrap();
    assert_eq!((&last["kind"], &last["state"], &last["good"]), (&"end".into(), &"PUBLISHED".into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_for_a_command_is_refused_before_anything_runs() {
    let trial = Trial::of("touch ran; finish");
    let canary = "leakage: {shuffled_label_canary: {fits: 20, rounds: 5}}\n";
    let (world, run_id) = world_with(&trial, profile("command_canary", canary)).await;
    world.run_until_idle(1).await;
    let run = world.ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!((run.state, run.reason_code.as_deref()), (State::Fail, Some("TRAINING_PROFILE_INVALID")));
    let why = run.reason_message.unwrap();
    assert!(why.contains("leakage.shuffled_label_canary fits the built-in booster"), "{why}");
    let watched = world.command(&["runs", "watch", run_id.as_str()]).output().unwrap();
    assert_eq!(watched.status.code(), Some(1));
    let said = String::from_utf8(watched.stdout).unwrap();
    assert!(said.contains("TRAINING_PROFILE_INVALID: ") && said.ends_with("ended badly: FAIL\n"), "{said}");
}
