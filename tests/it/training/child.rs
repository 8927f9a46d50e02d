//! The trainer's child process: the same bytes for the same job, limits, hostile files.

use crate::support::{Documents, children_in, data, document, eventually, read_document};
use bytes::Bytes;
use model_factory::domain::contract::{Limits, ParityVectors, PinnedFile, TrainPlan};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{FailureCode, Outage};
use model_factory::modelling::parse_training_profile;
use model_factory::training::{
    ChildJob, EVALUATION_FILE, Exit, LEAKAGE_REPORT_FILE, MODEL_FILE, SCORES_FILE, TrainerCommand, run,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn plan(training_profile: &str) -> TrainPlan {
    Documents::with_training(read_document(&data().folder, training_profile)).resolve().unwrap()
}

/// A job's folder with its order to the child.
fn job(plan: &TrainPlan, file: PathBuf, threads: u32) -> tempfile::TempDir {
    job_of_files(plan, vec![file], threads)
}

fn job_of_files(plan: &TrainPlan, files: Vec<PathBuf>, threads: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let job = ChildJob { plan: plan.clone(), files, limits: plan.limits.clone(), threads };
    std::fs::write(folder.path().join(ChildJob::FILE), serde_json::to_vec(&job).unwrap()).unwrap();
    folder
}

fn parquet(plan: &TrainPlan) -> PathBuf {
    data().folder.join(&plan.files[0].reference)
}

async fn train(folder: &Path, limits: &Limits, stop: impl Future<Output = ()>) -> (Exit, Vec<f64>) {
    let command = TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into());
    let mut fractions = Vec::new();
    let exit = run(&command, folder, limits, stop, |progress| fractions.push(progress.fraction)).await.unwrap();
    (exit, fractions)
}

fn code(exit: Exit) -> FailureCode {
    match exit {
        Exit::Failed(failure) => failure.code,
        Exit::Finished | Exit::Stopped => panic!("{exit:?}"),
    }
}

#[tokio::test]
async fn the_same_job_gives_the_same_bytes_on_one_two_and_eight_threads() {
    let plan = plan(&data().inputs.training_profile);
    let mut models = Vec::new();
    for threads in [1, 2, 8] {
        let folder = job(&plan, parquet(&plan), threads);
        let (exit, fractions) = train(folder.path(), &plan.limits, std::future::pending()).await;
        assert_eq!(exit, Exit::Finished);
        assert!(fractions.len() > 5 && fractions.is_sorted() && fractions.last() == Some(&1.0), "{fractions:?}");
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        models.push((read(MODEL_FILE), read(SCORES_FILE)));
    }
    assert!(models.iter().all(|of_threads| *of_threads == models[0]), "the bytes differ");
}

#[tokio::test]
async fn a_choice_falls_on_the_validation_window_and_its_parameters_are_fitted_as_if_they_stood_alone() {
    let profile = read_document(&data().folder, &data().inputs.training_profile);
    let mut profile = serde_json::to_value(parse_training_profile(&profile).unwrap().content).unwrap();
    // Thresholds cannot be chosen on a window that a refit has learned from.
    profile["evaluation"]["operating_points"] = json!([]);
    let shallow = json!({"rounds": 1, "max_depth": 1, "early_stopping_rounds": 0, "seeds": 1});
    let deep = json!({"rounds": 60, "early_stopping_rounds": 10, "refit": true, "subsample": 0.7});
    let candidates = json!([{"name": "shallow", "parameters": shallow}, {"name": "deep", "parameters": deep}]);
    let plan = |algorithm: Value| {
        let mut profile = profile.clone();
        profile["algorithm"] = algorithm;
        let bytes = serde_json::to_vec(&profile).unwrap();
        Documents::with_training(document(&data().inputs.training_profile, bytes)).resolve().unwrap()
    };
    let chosen = plan(json!({"id": "hessboost", "candidates": candidates, "choose_by": "log_loss"}));
    let alone = TrainPlan { seed: chosen.seed, ..plan(json!({"id": "hessboost", "parameters": deep})) };
    let mut found = Vec::new();
    for plan in [&chosen, &alone] {
        let folder = job(plan, parquet(plan), 2);
        assert_eq!(train(folder.path(), &plan.limits, std::future::pending()).await.0, Exit::Finished);
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        found.push((read(MODEL_FILE), serde_json::from_slice::<Value>(&read(EVALUATION_FILE)).unwrap()));
    }
    let [(model, evaluation), (alone_model, alone_evaluation)] = found.as_slice() else { unreachable!() };
    assert_eq!(Digest::of(model), Digest::of(alone_model));
    let choice = &evaluation["choice"];
    assert_eq!((&choice["chosen"], &choice["metric"]), (&json!("deep"), &json!("log_loss")));
    let loss = |index: usize| choice["tried"][index]["value"].as_f64().unwrap();
    assert!(loss(1) < loss(0) && choice["tried"][0]["rounds"] == 1, "a lower loss is better: {choice}");
    assert_eq!(evaluation["scores"], alone_evaluation["scores"]);
    assert_ne!(choice["tried"][1]["value"], evaluation["scores"]["log_loss"]["value"], "of another window");
}

/// Deals the rows of the plan's file out to two files, shuffled, in small row groups and with the columns reversed.
fn shuffled(plan: &mut TrainPlan, folder: &Path) -> Vec<PathBuf> {
    let file = std::fs::File::open(parquet(plan)).unwrap();
    let rows = plan.files[0].rows as usize;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(rows).build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let [batch] = batches.as_slice() else { panic!("one batch holds all rows") };
    let batch = batch.project(&(0..batch.num_columns()).rev().collect::<Vec<_>>()).unwrap();
    // A prime number takes each row once, unless it divides their number.
    let order: Vec<usize> = (0..rows).map(|row| (row * 7_919 + 17) % rows).collect();
    assert_eq!(order.iter().collect::<HashSet<_>>().len(), rows, "each row once");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(500)).build();
    let (pinned, parts) = (plan.files[0].clone(), order.split_at(rows / 4));
    plan.files.clear();
    let parts = [parts.0, parts.1].into_iter().enumerate().map(|(index, part)| {
        plan.files.push(PinnedFile { rows: part.len() as u64, ..pinned.clone() });
        let path = folder.join(format!("{index}.parquet"));
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.clone())).unwrap();
        for &row in part {
            writer.write(&batch.slice(row, 1)).unwrap();
        }
        writer.close().unwrap();
        path
    });
    parts.collect()
}

#[tokio::test]
async fn the_same_rows_in_another_order_and_other_files_give_the_same_bytes() {
    let mut plan = plan(&data().inputs.training_profile);
    let files = tempfile::tempdir().unwrap();
    let mut found = Vec::new();
    for other_order in [false, true] {
        let files = if other_order { shuffled(&mut plan, files.path()) } else { vec![parquet(&plan)] };
        let folder = job_of_files(&plan, files, 2);
        let (exit, _) = train(folder.path(), &plan.limits, std::future::pending()).await;
        assert_eq!(exit, Exit::Finished);
        let made = [MODEL_FILE, ParityVectors::FILE, SCORES_FILE, EVALUATION_FILE, LEAKAGE_REPORT_FILE];
        found.push(made.map(|name| (name, Digest::of(&std::fs::read(folder.path().join(name)).unwrap()))));
    }
    assert_eq!(found[0], found[1]);
}

#[tokio::test]
async fn a_truncated_file_is_an_invalid_dataset_and_not_a_crash() {
    let plan = plan(&data().inputs.training_profile);
    let bytes = std::fs::read(parquet(&plan)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cut.parquet");
    for length in [0, 4, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&file, &bytes[..length]).unwrap();
        let folder = job(&plan, file.clone(), 1);
        let (exit, _) = train(folder.path(), &plan.limits, std::future::pending()).await;
        assert_eq!(code(exit), FailureCode::DatasetInvalid, "{length} bytes");
    }
}

#[tokio::test]
async fn a_full_disk_is_the_matter_of_the_worker_whichever_file_meets_it() {
    let plan = plan(&data().inputs.training_profile);
    for file in [MODEL_FILE, SCORES_FILE, EVALUATION_FILE, ".result"] {
        let folder = job(&plan, parquet(&plan), 2);
        // Each write to this device fails with ENOSPC.
        std::os::unix::fs::symlink("/dev/full", folder.path().join(file)).unwrap();
        let (exit, _) = train(folder.path(), &plan.limits, std::future::pending()).await;
        let Exit::Failed(failure) = exit else { panic!("{file}: {exit:?}") };
        assert_eq!(
            (failure.code, failure.outage),
            (FailureCode::WorkerUnable, Some(Outage::Worker)),
            "{file}: {failure}"
        );
    }
}

/// The good rows four times over, each column chunk as one page.
fn in_large_pages(good: &Path) -> Vec<u8> {
    let open = || std::fs::File::open(good).unwrap();
    let reader = || ParquetRecordBatchReaderBuilder::try_new(open()).unwrap().build().unwrap().map(Result::unwrap);
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(64 << 20)
        .set_data_page_row_count_limit(1 << 30)
        .set_compression(Compression::SNAPPY)
        .build();
    let schema = reader().next().unwrap().schema();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    for batch in (0..4).flat_map(|_| reader()) {
        writer.write(&batch).unwrap();
    }
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn a_page_that_claims_more_than_there_is_memory_is_an_invalid_dataset_and_its_column_is_named() {
    let mut plan = plan(&data().inputs.training_profile);
    plan.files[0].rows *= 4;
    let mut bytes = in_large_pages(&parquet(&plan));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&Bytes::from(bytes.clone())).unwrap();
    let columns = metadata.row_group(0).columns();
    let column = columns.iter().find(|column| column.column_path().string() == "customer_id").unwrap();
    let page = column.data_page_offset() as usize;
    // Thrift's compact protocol: the page's type, then its uncompressed size as a varint of four bytes.
    let size = &mut bytes[page + 3..page + 7];
    assert!(size[..3].iter().all(|byte| *byte >= 0x80) && size[3] < 0x80, "{size:?}");
    size[3] = 0x7f;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hostile.parquet");
    std::fs::write(&file, bytes).unwrap();
    plan.limits.memory_mib = 160;
    let folder = job(&plan, file, 1);
    let (exit, _) = train(folder.path(), &plan.limits, std::future::pending()).await;
    let Exit::Failed(failure) = exit else { panic!("{exit:?}") };
    assert_eq!(failure.code, FailureCode::DatasetInvalid, "{}", failure.message);
    assert!(failure.message.contains("column \"customer_id\": a page at byte"), "{}", failure.message);
}

#[tokio::test]
async fn a_file_with_flipped_bytes_never_takes_the_worker_with_it() {
    let plan = plan(&data().inputs.training_profile);
    let good = std::fs::read(parquet(&plan)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flipped.parquet");
    // Twelve in the footer, twenty in the pages.
    let in_footer = (1..=12).map(|step| good.len() - 1 - step * 37);
    let in_pages = (0..20).map(|step| 4 + step * (good.len() / 20));
    for at in in_footer.chain(in_pages) {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        std::fs::write(&file, &bytes).unwrap();
        let folder = job(&plan, file.clone(), 1);
        let (exit, _) = train(folder.path(), &plan.limits, std::future::pending()).await;
        // Where only values changed, the file is read and its rows are judged.
        use FailureCode::{DatasetInvalid, LabelsInsufficient, LeakageGuardViolation};
        let expected = |code| matches!(code, DatasetInvalid | LabelsInsufficient | LeakageGuardViolation);
        assert!(
            exit == Exit::Finished || matches!(&exit, Exit::Failed(why) if expected(why.code)),
            "byte {at}: {exit:?}"
        );
    }
}

#[tokio::test]
async fn a_trainer_that_takes_too_long_is_killed() {
    let plan = plan("profiles/long_training.yaml");
    let folder = job(&plan, parquet(&plan), 1);
    let limits = Limits { wall_seconds: 1, ..plan.limits };
    let (exit, _) = train(folder.path(), &limits, std::future::pending()).await;
    assert_eq!(code(exit), FailureCode::TrainerTimeout);
    assert!(children_in(folder.path()).is_empty());
}

#[tokio::test]
async fn what_a_trainer_leaves_behind_does_not_hold_up_its_worker_by_writing_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("leaves-a-writer");
    let line = r#"{"step":"fit","fraction":0.5,"message":"on and on"}"#;
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin setsid /bin/sh -c 'while echo '\\''{line}'\\''; do /bin/sleep 0.1; done' &\n\
         /bin/sleep 0.3\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (command, mut lines) = (TrainerCommand::binary(program), 0);
    let limits = Limits::default();
    let ended = run(&command, folder.path(), &limits, std::future::pending(), |_| lines += 1);
    // The writer ends when nobody reads the pipe any more.
    let exit = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the run ends").unwrap();
    assert!(matches!(exit, Exit::Failed(_)) && lines > 1, "{exit:?} after {lines} lines");
}

#[tokio::test]
async fn a_trainer_that_is_stopped_is_gone_at_once() {
    let plan = plan("profiles/long_training.yaml");
    let folder = job(&plan, parquet(&plan), 1);
    let path = folder.path().to_owned();
    let stop =
        eventually("the child", Duration::from_secs(20), || async { (!children_in(&path).is_empty()).then_some(()) });
    let (exit, _) = train(folder.path(), &plan.limits, stop).await;
    assert_eq!(exit, Exit::Stopped);
    assert!(children_in(folder.path()).is_empty());
}

#[tokio::test]
async fn a_trainer_that_takes_too_much_memory_says_so() {
    let mut plan = plan(&data().inputs.training_profile);
    // The limit allows what the rows are estimated to take, but not the program beside them.
    plan.limits.memory_mib = 96;
    plan.files = vec![plan.files[0].clone(); 20];
    let folder = tempfile::tempdir().unwrap();
    let job = ChildJob { files: vec![parquet(&plan); 20], limits: plan.limits.clone(), plan: plan.clone(), threads: 1 };
    std::fs::write(folder.path().join(ChildJob::FILE), serde_json::to_vec(&job).unwrap()).unwrap();
    let (exit, _) = train(folder.path(), &plan.limits, std::future::pending()).await;
    assert_eq!(code(exit), FailureCode::TrainerOutOfMemory);
}

#[tokio::test]
async fn rows_that_only_this_worker_has_no_memory_for_do_not_make_the_dataset_invalid() {
    let mut plan = plan(&data().inputs.training_profile);
    plan.files = vec![plan.files[0].clone(); 40];
    plan.limits.max_rows = u64::MAX;
    let given = Limits { memory_mib: 140, ..plan.limits.clone() };
    let folder = tempfile::tempdir().unwrap();
    let with = async |plan: &TrainPlan, limits: &Limits| {
        let job = ChildJob { files: vec![parquet(plan); 40], limits: limits.clone(), plan: plan.clone(), threads: 1 };
        std::fs::write(folder.path().join(ChildJob::FILE), serde_json::to_vec(&job).unwrap()).unwrap();
        match train(folder.path(), limits, std::future::pending()).await {
            (Exit::Failed(failure), _) => (failure.code, failure.message),
            (exit, _) => panic!("{exit:?}"),
        }
    };
    let (code, why) = with(&plan, &given).await;
    assert_eq!(code, FailureCode::TrainerOutOfMemory);
    assert!(why.contains("and there are 140 MiB for the trainer"), "{why}");
    // Against the profile's own limit the same rows are too many.
    plan.limits = given.clone();
    let (code, why) = with(&plan, &given).await;
    assert_eq!(code, FailureCode::DatasetInvalid);
    assert!(why.contains("more than the 140 MiB of limits.memory_mib"), "{why}");
}
