//! `score`: a file gets the evaluation's own scores whatever else it holds, or no scores are written.

use super::verify::Tampered;
use crate::support::{World, data, request};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use model_factory::domain::contract::{Limits, ParityOrigin, ParityVectors, TrainPlan};
use model_factory::domain::identity::{Digest, document_bytes};
use model_factory::domain::run::FailureCode;
use model_factory::modelling::IdColumn;
use model_factory::tools::score::{BundleScorer, Refusal, ScoreOrder};
use model_factory::tools::verify::Expected;
use model_factory::training::{self, ChildJob, ChildStep, Exit, MODEL_FILE, SCORES_FILE, ScoringJob, TrainerCommand};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::sync::OnceCell;

const CATEGORY: &str = "merchant_category";
const DATA: &str = "ofs/data/cards.parquet";

/// A bundle of a model with a categorical feature, and its evaluation's scores by row id.
struct Built {
    bundle: PathBuf,
    run_id: String,
    evaluated: BTreeMap<i64, f32>,
    _world: World,
}

async fn built() -> &'static Built {
    static BUILT: OnceCell<Built> = OnceCell::const_new();
    BUILT.get_or_init(build).await
}

async fn build() -> Built {
    const PROFILE: &str = "profiles/categorical_training.yaml";
    let profile = fs::read_to_string(data().folder.join(&data().inputs.training_profile)).unwrap();
    let added = profile.replace("algorithm:", &format!("  - {{name: {CATEGORY}, type: categorical}}\nalgorithm:"));
    fs::write(data().folder.join(PROFILE), added).unwrap();
    let world = World::new().await;
    let mut request = request("req-score-0001");
    request["training_config_ref"] = json!(PROFILE);
    world.send(&[request.to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
    let run = world.run("req-score-0001").await;
    let at = world.folder.path().join("evidence").join(&run.refs["bundle/bundle.json"].reference);
    let bundle = at.parent().unwrap().to_owned();
    let (ids, scores) = scores_in(&bundle.parent().unwrap().join("model/scores.parquet"));
    Built { bundle, run_id: run.run_id.to_string(), evaluated: ids.into_iter().zip(scores).collect(), _world: world }
}

fn batch_in(path: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let rows = reader.metadata().file_metadata().num_rows() as usize;
    let mut batches: Vec<_> = reader.with_batch_size(rows.max(1)).build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1, "one batch holds every row");
    batches.remove(0)
}

fn scores_in(path: &Path) -> (Vec<i64>, Vec<f32>) {
    let batch = batch_in(path);
    let ids = batch["row_id"].as_primitive::<Int64Type>().values().to_vec();
    (ids, batch["score"].as_primitive::<Float32Type>().values().to_vec())
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

type Columns = Vec<(String, ArrayRef)>;

fn columns() -> Columns {
    let batch = batch_in(&data().folder.join(DATA));
    let names = batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    names.into_iter().zip(batch.columns().iter().cloned()).collect()
}

fn with(name: &str, array: impl Array + 'static) -> Columns {
    let mut columns = columns();
    columns.retain(|(known, _)| known != name);
    columns.push((name.to_owned(), Arc::new(array)));
    columns
}

/// A Parquet file in a folder of its own.
struct Rows(tempfile::TempDir);

impl Rows {
    fn of(columns: Columns) -> Self {
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let rows = Self::bytes(&[]);
        // Row groups that end in the middle of a decoded batch.
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(5_000)).build();
        let file = File::create(rows.path()).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        rows
    }

    fn bytes(bytes: &[u8]) -> Self {
        let rows = Self(tempfile::tempdir().unwrap());
        fs::write(rows.path(), bytes).unwrap();
        rows
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("rows.parquet")
    }

    fn scores(&self) -> PathBuf {
        self.0.path().join("rows.scores.parquet")
    }

    fn names(&self) -> Vec<String> {
        fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn score(bundle: &Path, file: &Path, more: &[&str]) -> Output {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
    command
        .current_dir(elsewhere.path())
        .args(["score", "--allow-unsigned"])
        .arg(bundle)
        .arg(file)
        .args(more)
        .env_clear();
    command.output().unwrap()
}

/// The JSON that `score` prints; fails the test if the command fails.
fn scored(bundle: &Path, file: &Path, more: &[&str]) -> Value {
    let output = score(bundle, file, &[&["--output", "json"], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_file_gets_the_evaluations_own_scores_bit_for_bit() {
    let built = built().await;
    let rows = Rows::bytes(&fs::read(data().folder.join(DATA)).unwrap());
    let said = scored(&built.bundle, &rows.path(), &[]);
    let (ids, scores) = scores_in(&rows.scores());
    assert_eq!(ids.len(), data().inputs.payments);
    assert_eq!(said["rows"], json!(ids.len()));
    assert_eq!((&said["id_column"], &said["unknown_categories"]), (&json!("transaction_id"), &json!({})));
    assert_eq!((&said["run_id"], &said["out"]), (&json!(built.run_id), &json!(rows.scores())));
    let found: BTreeMap<i64, f32> = ids.into_iter().zip(scores).collect();
    assert!(built.evaluated.len() > 1_000, "too little to compare");
    for (id, score) in &built.evaluated {
        assert_eq!(found[id].to_bits(), score.to_bits(), "row {id}");
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(rows.scores()).unwrap()).unwrap();
    let about = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let of = |key: &str| about.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone()).unwrap();
    assert_eq!(of("model_factory.run_id"), built.run_id);
    assert_eq!(json!(of("model_factory.bundle_id")), said["bundle_id"]);
    assert_eq!(rows.names().len(), 2, "{:?}", rows.names());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_are_found_by_name_and_rows_without_ids_go_by_their_numbers() {
    let built = built().await;
    let usual = Rows::of(columns());
    scored(&built.bundle, &usual.path(), &[]);
    let (_, expected) = scores_in(&usual.scores());

    let mut bare = columns();
    let not_features = ["transaction_id", "event_time", "fraud", "label_observed_time", "feature_time"];
    bare.retain(|(name, _)| !not_features.contains(&name.as_str()));
    bare.reverse();
    let texts: StringArray = (0..expected.len()).map(|row| Some(format!("p{row}"))).collect();
    bare.insert(3, ("payment_no".to_owned(), Arc::new(texts)));
    let bare = Rows::of(bare);
    let said = scored(&built.bundle, &bare.path(), &[]);
    assert_eq!(said["id_column"], Value::Null);
    let (ids, found) = scores_in(&bare.scores());
    assert!(ids.into_iter().eq(0..expected.len() as i64));
    assert_eq!(bits(&found), bits(&expected));

    let out = bare.0.path().join("named.parquet");
    let said = scored(&built.bundle, &bare.path(), &["--row-id", "payment_no", "--out", out.to_str().unwrap()]);
    assert_eq!(said["id_column"], "payment_no");
    let named = batch_in(&out);
    let last = format!("p{}", expected.len() - 1);
    let ids = named["row_id"].as_string::<i32>();
    assert_eq!((ids.value(0), ids.value(expected.len() - 1)), ("p0", last.as_str()));
    assert_eq!(bits(named["score"].as_primitive::<Float32Type>().values()), bits(&expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_category_that_the_model_never_saw_is_missing_and_is_counted() {
    let built = built().await;
    let before = batch_in(&data().folder.join(DATA));
    let known = before[CATEGORY].as_string::<i32>();
    // Rows of three batches that have a category.
    let chosen: Vec<usize> =
        [100, 9_000, 20_000].map(|from| (from..known.len()).find(|&row| known.is_valid(row)).unwrap()).to_vec();
    let instead = |value: Option<&str>| -> StringArray {
        let at = |row: usize| if chosen.contains(&row) { value } else { known.is_valid(row).then(|| known.value(row)) };
        (0..known.len()).map(at).collect()
    };
    let unknown = Rows::of(with(CATEGORY, instead(Some("never seen"))));
    let missing = Rows::of(with(CATEGORY, instead(None)));
    let said = scored(&built.bundle, &unknown.path(), &[]);
    assert_eq!(said["unknown_categories"], json!({CATEGORY: 3}));
    assert_eq!(scored(&built.bundle, &missing.path(), &[])["unknown_categories"], json!({}));
    assert_eq!(bits(&scores_in(&unknown.scores()).1), bits(&scores_in(&missing.scores()).1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_scored_is_refused_by_name_and_leaves_no_file() {
    let built = built().await;
    let count = data().inputs.payments;
    let numbers = |change: fn(&mut Vec<f32>)| {
        let mut values = vec![1.0_f32; count];
        change(&mut values);
        Float32Array::from(values)
    };
    let without = |name: &str| columns().into_iter().filter(|(known, _)| known != name).collect::<Columns>();
    let whole = fs::read(data().folder.join(DATA)).unwrap();
    let mut null_id: Vec<Option<i64>> = (0..count as i64).map(Some).collect();
    null_id[count - 1] = None;
    let texts = |row: usize| Some(row.to_string());
    // The last row is decoded after the scores of others are written.
    let another = format!("--bundle-id {}", "0".repeat(64));
    let cases = [
        (Rows::of(without("amount")), "", "DATASET_INVALID: there is no column \"amount\""),
        (Rows::of(with("amount", (0..count).map(texts).collect::<StringArray>())), "", "cannot be read from Utf8"),
        (
            Rows::of(with("amount", numbers(|values| *values.last_mut().unwrap() = f32::INFINITY))),
            "",
            "column \"amount\": the value in row ",
        ),
        (
            Rows::of(with(CATEGORY, Int64Array::from_iter_values(0..count as i64))),
            "",
            "holds numbers, and the model learned from text",
        ),
        (Rows::of(with("transaction_id", Int64Array::from(null_id))), "", "\"transaction_id\": a row id is null"),
        (Rows::of(columns()), "--row-id payment_no", "there is no column \"payment_no\""),
        (Rows::bytes(b"amount,fraud\n1,0\n"), "", "DATASET_INVALID: it is no Parquet file"),
        (Rows::bytes(&whole[..whole.len() / 2]), "", "DATASET_INVALID: it is no Parquet file"),
        (Rows::bytes(&whole), "--public-key /dev/null", "/dev/null"),
        (Rows::bytes(&whole), another.as_str(), "NOT VERIFIED: it is false that the bundle has the id"),
    ];
    for (rows, more, says) in cases {
        let more: Vec<&str> = more.split_whitespace().collect();
        refused(&rows, &score(&built.bundle, &rows.path(), &more), says);
    }
    let tampered = Tampered::copy(&built.bundle);
    tampered.flip("model.json");
    let rows = Rows::bytes(&whole);
    refused(&rows, &score(tampered.path(), &rows.path(), &[]), "NOT VERIFIED: it is false that the folder holds");
    refused(
        &rows,
        &score(&built.bundle, &rows.path().with_file_name("absent.parquet"), &[]),
        "absent.parquet: No such",
    );
    refused(&rows, &score(&built.bundle, rows.0.path(), &[]), "it is no file");
}

fn refused(rows: &Rows, output: &Output, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{says}: {said}");
    assert!(said.contains(says) && output.stdout.is_empty(), "{says:?} is not in {said:?}");
    assert_eq!(rows.names(), ["rows.parquet"], "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_there_is_replaced_only_with_force_and_the_rows_never_are() {
    let built = built().await;
    let rows = Rows::of(columns());
    fs::write(rows.scores(), "somebody's").unwrap();
    let output = score(&built.bundle, &rows.path(), &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("exists already"), "{output:?}");
    assert_eq!((output.status.code(), fs::read(rows.scores()).unwrap()), (Some(1), b"somebody's".to_vec()));
    scored(&built.bundle, &rows.path(), &["--force"]);
    assert_eq!(scores_in(&rows.scores()).0.len(), data().inputs.payments);
    let before = fs::read(rows.path()).unwrap();
    let output = score(&built.bundle, &rows.path(), &["--force", "--out", rows.path().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is what is to be scored"), "{output:?}");
    assert!(fs::read(rows.path()).unwrap() == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_that_of_the_operating_point_and_what_the_bundle_lacks_is_refused() {
    let built = built().await;
    let report: Value = serde_json::from_slice(&fs::read(built.bundle.join("decision_report.json")).unwrap()).unwrap();
    let point = &report["operating_points"][0];
    let threshold = point["threshold"].as_f64().unwrap();
    let rows = Rows::of(columns());
    let said = scored(&built.bundle, &rows.path(), &["--operating-point", "review"]);
    let batch = batch_in(&rows.scores());
    let decisions = batch["decision"].as_boolean();
    let (ids, scores) = scores_in(&rows.scores());
    assert!(scores.iter().zip(decisions).all(|(score, flags)| flags == Some(f64::from(*score) >= threshold)));
    let flagged = decisions.true_count();
    assert_eq!((&said["flagged"], &said["threshold"]), (&json!(flagged), &json!(threshold)));
    let of_test =
        ids.iter().zip(decisions).filter(|(id, flags)| *flags == Some(true) && built.evaluated.contains_key(id));
    assert_eq!(json!(of_test.count()), point["test"]["alerts"], "the report counts the same alerts");
    for (more, says) in [
        (["--operating-point", "nobody"], "no operating point \"nobody\"; it has review, block"),
        (["--calibrated-to", "champion"], "has no map to a champion"),
    ] {
        let rows = Rows::of(columns());
        refused(&rows, &score(&built.bundle, &rows.path(), &more), says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_command_leaves_nothing() {
    let built = built().await;
    let rows = Rows::of(columns());
    let trainer = TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into());
    let order = ScoreOrder {
        bundle: built.bundle.clone(),
        expected: Expected { allow_unsigned: true, ..Expected::default() },
        file: rows.path(),
        row_id: None,
        operating_point: None,
        on_champions_scale: false,
        out: rows.scores(),
        replace: false,
    };
    let scorer = BundleScorer { trainer, limits: Limits::default() };
    let ended = Box::pin(scorer.score(&order, std::future::ready(()), |_| {})).await;
    assert!(matches!(ended, Err(Refusal::Stopped)), "{ended:?}");
    assert_eq!(rows.names(), ["rows.parquet"]);
}

/// A registered command leaves a model without the codes of its categories.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commands_model_scores_by_the_codes_of_its_job_if_it_gives_the_commands_scores() {
    let built = built().await;
    let read = |name: &str| fs::read(built.bundle.join(name)).unwrap();
    let plan: TrainPlan = serde_json::from_slice(&read("resolved_train_plan.json")).unwrap();
    let mut model: Value = serde_json::from_slice(&read("model.json")).unwrap();
    assert!(model["learner"].as_object_mut().unwrap().remove("attributes").is_some());
    let model = serde_json::to_vec(&model).unwrap();
    let mut parity: ParityVectors = serde_json::from_slice(&read(ParityVectors::FILE)).unwrap();
    parity.origin = ParityOrigin::Trainer;

    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join(MODEL_FILE), &model).unwrap();
    let ended = async |change: f32| {
        let mut parity = parity.clone();
        parity.vectors[7].score += change;
        let job = ScoringJob {
            model_sha256: Digest::of(&model),
            features: plan.features.clone(),
            parity,
            file: data().folder.join(DATA),
            ids: IdColumn { name: "transaction_id".to_owned(), required: true },
            threshold: None,
            knots: None,
            about: BTreeMap::new(),
            limits: Limits::default(),
        };
        fs::write(work.path().join(ChildJob::FILE), document_bytes(&job)).unwrap();
        let command = TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into()).to(ChildStep::Score);
        training::run(&command, work.path(), &job.limits, std::future::pending(), |_| {}).await.unwrap()
    };
    // Another library's exponential function differs by so little; other trees differ by more.
    assert_eq!(ended(5e-7).await, Exit::Finished);
    let (ids, scores) = scores_in(&work.path().join(SCORES_FILE));
    let found: BTreeMap<i64, f32> = ids.into_iter().zip(scores).collect();
    assert!(built.evaluated.iter().all(|(id, score)| found[id].to_bits() == score.to_bits()));
    match ended(0.01).await {
        Exit::Failed(failure) => {
            assert_eq!(failure.code, FailureCode::TrainerFailed);
            assert!(failure.message.contains("not those of its parity vectors: vector 7"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}
