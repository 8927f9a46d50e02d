//! What a command leaves: a good result is measured, each bad one is refused by its name.

use super::trial::{Trial, confined};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use model_factory::domain::contract::{DecisionReport, Evaluation, ModelFormat, PlannedSplit, TrainerJob};
use model_factory::domain::run::FailureCode;
use model_factory::training::{
    AcceptedModel, ChildStep, DECISION_REPORT_FILE, EVALUATION_FILE, Enforcement, SCORES_FILE,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::HashMap;
use std::fs;

#[tokio::test]
async fn a_good_command_is_measured_with_labels_that_it_never_saw() {
    let script = "test ! -e ../data/0.parquet || cat ../data/0.parquet >/dev/null && exit 7\nfinish";
    let script = if confined(Enforcement::Files) { script } else { "finish" };
    let trial = Trial::of(script);
    trial.run(|_, _| {}).await.unwrap();
    let read = |name: &str| fs::read(trial.job_dir().join(name)).unwrap();
    let accepted: AcceptedModel = serde_json::from_slice(&read(AcceptedModel::FILE)).unwrap();
    assert_eq!(accepted.format, ModelFormat::XgboostJson);
    assert_eq!(read(accepted.format.file_name()), b"{\"learner\": {}}\n");
    let evaluation: Evaluation = serde_json::from_slice(&read(EVALUATION_FILE)).unwrap();
    assert!(evaluation.scores["auc_roc"].value.is_some() && !evaluation.curves.roc.is_empty());
    assert!(evaluation.rounds.is_none() && evaluation.features.is_empty(), "the model is the command's business");
    let job: TrainerJob = serde_json::from_slice(&fs::read(trial.work().join(TrainerJob::FILE)).unwrap()).unwrap();
    assert_eq!(job.parameters["depth"], 3);
    assert!(job.rows.train > 0 && job.rows.score > 0 && job.files.validation.is_some());
}

#[tokio::test]
async fn a_command_scores_the_whole_test_window_and_the_rows_that_thresholds_are_chosen_on() {
    let trial = Trial::of("finish");
    let mut plan = trial.plan();
    let PlannedSplit::TimeBased(windows) = &mut plan.split else { panic!("{:?}", plan.split) };
    windows.exclude_known_entity = Some("customer_id".to_owned());
    let mut given = HashMap::new();
    let keep =
        |ids: &mut Vec<i64>, scores: &mut Vec<f64>| given.extend(ids.iter().copied().zip(scores.iter().copied()));
    trial.run_plan(&plan, keep).await.unwrap();
    let evaluation: Evaluation =
        serde_json::from_slice(&fs::read(trial.job_dir().join(EVALUATION_FILE)).unwrap()).unwrap();
    let (measured, left) = (evaluation.dataset.test.rows as usize, evaluation.dataset.excluded_rows as usize);
    assert!(measured > 100 && left > 100, "{measured} rows stay, {left} leave");
    let decision: DecisionReport =
        serde_json::from_slice(&fs::read(trial.job_dir().join(DECISION_REPORT_FILE)).unwrap()).unwrap();
    let chosen_on = decision.windows.validation.unwrap().rows as usize;
    assert!(
        chosen_on > 100 && given.len() == measured + left + chosen_on,
        "{} rows, {chosen_on} of validation",
        given.len()
    );
    let file = fs::File::open(trial.job_dir().join(SCORES_FILE)).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap);
    let mut compared = 0;
    for batch in batches {
        let ids = batch["row_id"].as_primitive::<Int64Type>().values().iter();
        for (id, score) in ids.zip(batch["score"].as_primitive::<Float32Type>().values()) {
            assert_eq!(score.to_bits(), (given[id] as f32).to_bits(), "row {id}");
            compared += 1;
        }
    }
    assert_eq!(compared, measured);
}

#[tokio::test]
async fn scores_that_are_not_one_for_each_row_are_refused() {
    let trial = |change: fn(&mut Vec<i64>, &mut Vec<f64>)| async move {
        let failure = Trial::of("finish").run(change).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::TrainerFailed);
        failure.message
    };
    for (found, expected) in [
        (trial(|ids, _| ids[3] = -1).await, "scored row -1, which it was not asked for"),
        (trial(|ids, _| ids[3] = ids[4]).await, "twice"),
        (
            trial(|ids, scores| {
                ids.pop();
                scores.pop();
            })
            .await,
            "were to be scored",
        ),
        (trial(|_, scores| scores[5] = f64::NAN).await, "the score in row 5 is NaN"),
        (trial(|_, scores| scores[5] = 1.5).await, "not from 0 to 1"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[tokio::test]
async fn a_result_that_is_not_there_or_not_what_it_says_is_refused() {
    for (script, expected) in [
        ("true", "result.json: No such file"),
        ("finish; echo '{}' >result.json", "is required"),
        ("finish; rm scores.parquet", "scores.parquet: No such file"),
        ("finish; echo x >scores.parquet", "scores.parquet: "),
        ("finish; rm scores.parquet; ln -s ../data/0.parquet scores.parquet", "scores.parquet: it is a link"),
        ("finish; rm scores.parquet; mkfifo scores.parquet", "no regular file"),
        ("finish; rm -r model; ln -s /etc model; result xgboost_json model/passwd", "it is a link"),
        ("finish; result xgboost_json model/../../job.json", "does not match"),
        ("finish; echo text >model/model.json", "no xgboost_json model: its content is of another kind"),
        ("finish; printf '\\200\\004' >model/m; result skops model/m", "no skops model: it is a pickle"),
        ("finish; result pickle model/model.json", "does not set allow_pickle"),
        ("echo why it failed >&2; exit 3", "exit status 3: why it failed"),
        ("kill -SEGV $$", "died of SIGSEGV"),
    ] {
        let (code, message) = Trial::of(script).fails().await;
        assert_eq!(code, FailureCode::TrainerFailed, "{script}");
        assert!(message.contains(expected), "{script}: {message}");
    }
}

#[tokio::test]
async fn a_pickle_is_taken_where_the_operator_allows_it() {
    let mut trial = Trial::of("finish; result pickle model/model.json");
    trial.registration.allow_pickle = true;
    trial.run(|_, _| {}).await.unwrap();
    assert!(trial.job_dir().join("model.pkl").exists());
}

#[tokio::test]
async fn a_program_that_changed_since_the_plan_is_not_started() {
    let trial = Trial::of("finish");
    trial.write_job(&trial.plan());
    let script = &trial.registration.arguments[0];
    fs::write(script, "touch ran").unwrap();
    let failure = trial.step(ChildStep::Command, std::future::pending()).await.unwrap_err();
    assert!(failure.message.contains("has changed since the plan was made"), "{failure:?}");
    assert!(!trial.work().join("ran").exists());
}
