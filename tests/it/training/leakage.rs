//! The real child finds one planted row among a hundred thousand clean ones, by rule and by row id.

use crate::support::{Documents, read_document};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, Float32Array, Int64Array, PrimitiveArray, RecordBatch};
use chrono::{DateTime, Utc};
use model_factory::domain::contract::{
    AucLimit, CanarySpec, Feature, FeatureKind, LeakageReport, LeakageSpec, Monotone, PlannedSplit, ResolvedAlgorithm,
    SwitchedOff, TrainPlan, Windows,
};
use model_factory::domain::run::FailureCode;
use model_factory::modelling::unasked_rules;
use model_factory::tools::dev::transactions::{TransactionSpec, write};
use model_factory::training::{ChildJob, Exit, LEAKAGE_REPORT_FILE, TrainerCommand, run};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::{Arc, LazyLock};

const SECOND: i64 = 1_000_000;

struct Clean {
    rows: RecordBatch,
    plan: TrainPlan,
}

static CLEAN: LazyLock<Clean> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let inputs = write(&TransactionSpec::demo(), folder.path(), |_| {}).unwrap();
    let read = |reference: &str| read_document(folder.path(), reference);
    let mut documents = Documents::with_training(read(&inputs.training_profile));
    documents.manifests = vec![read(&inputs.manifest)];
    documents.governance = read(&inputs.governance_profile);
    let mut plan = documents.resolve().unwrap();
    let ResolvedAlgorithm::BuiltIn(booster) = &mut plan.algorithm else { panic!("{:?}", plan.algorithm) };
    booster.parameters.rounds = 5;
    assert_eq!(plan.leakage.max_single_feature_auc, Some(AucLimit::AtMost(0.95)), "nothing was said about it");
    let file = std::fs::File::open(folder.path().join(&plan.files[0].reference)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(1 << 20).build().unwrap();
    let rows = reader.map(Result::unwrap).next().unwrap();
    assert!(rows.num_rows() > 90_000 && rows.num_rows() as u64 == plan.files[0].rows);
    Clean { rows, plan }
});

fn windows(plan: &mut TrainPlan) -> &mut Windows {
    match &mut plan.split {
        PlannedSplit::TimeBased(windows) => windows,
        other => panic!("{other:?}"),
    }
}

fn replaced(rows: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[rows.schema().index_of(name).unwrap()] = column;
    RecordBatch::try_new(rows.schema(), columns).unwrap()
}

fn times(rows: &RecordBatch, name: &str) -> Vec<i64> {
    rows.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn at(micros: Vec<i64>) -> ArrayRef {
    Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from(micros).with_timezone("UTC"))
}

/// A copy of a row with an id of its own and its times in order.
fn planted(row: usize, event: i64) -> RecordBatch {
    let one = CLEAN.rows.slice(row, 1);
    let one = replaced(&one, "transaction_id", Arc::new(Int64Array::from(vec![9_000_000])));
    let one = replaced(&one, "event_time", at(vec![event]));
    replaced(&one, "feature_time", at(vec![event]))
}

/// The first row at or after an instant.
fn row_from(micros: i64) -> usize {
    times(&CLEAN.rows, "event_time").iter().position(|at| *at >= micros).unwrap()
}

/// The rules that these rows violate in the child's report, each with count and witnesses.
async fn found(plan: &TrainPlan, rows: &[&RecordBatch]) -> Vec<(String, u64, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.parquet");
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&file).unwrap(), rows[0].schema(), None).unwrap();
    for batch in rows {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    let mut plan = plan.clone();
    plan.files[0].rows = rows.iter().map(|batch| batch.num_rows() as u64).sum();
    let job = ChildJob { plan: plan.clone(), files: vec![file], limits: plan.limits.clone(), threads: 1 };
    std::fs::write(folder.path().join(ChildJob::FILE), serde_json::to_vec(&job).unwrap()).unwrap();
    let command = TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into());
    let exit = run(&command, folder.path(), &plan.limits, std::future::pending(), |_| {}).await.unwrap();
    let report = std::fs::read(folder.path().join(LEAKAGE_REPORT_FILE)).unwrap_or_else(|_| panic!("{exit:?}"));
    let report: LeakageReport = serde_json::from_slice(&report).unwrap();
    match exit {
        Exit::Finished => assert!(report.clean),
        Exit::Failed(failure) => assert_eq!(failure.code, FailureCode::LeakageGuardViolation, "{failure:?}"),
        Exit::Stopped => panic!("stopped"),
    }
    report
        .rules
        .into_iter()
        .filter(|rule| rule.violations > 0)
        .map(|rule| (rule.rule, rule.violations, rule.witnesses))
        .collect()
}

fn once(rule: &str, witness: &str) -> (String, u64, Vec<String>) {
    (rule.to_owned(), 1, vec![witness.to_owned()])
}

const PLANTED: &str = "9000000";

#[tokio::test]
async fn clean_rows_break_no_rule_and_the_canary_is_silent() {
    let mut plan = CLEAN.plan.clone();
    plan.leakage.shuffled_label_canary = Some(CanarySpec { fits: 14, rounds: 5, max_above_chance: None });
    assert_eq!(found(&plan, &[&CLEAN.rows]).await, []);
}

#[test]
fn what_is_not_checked_is_listed_with_its_reason() {
    let listed = |plan: &TrainPlan| {
        unasked_rules(plan).into_iter().map(|rule| format!("{}: {}", rule.rule, rule.because)).collect::<Vec<_>>()
    };
    let mut plan = CLEAN.plan.clone();
    let canary = "shuffled_label_canary: the profile sets no shuffled_label_canary";
    plan.leakage = LeakageSpec { disjoint_entities: vec!["card_id".to_owned()], ..plan.leakage };
    plan.leakage.allow_repeated_content = false;
    assert_eq!(listed(&plan), [canary]);

    let reason = "AMOUNT finds test cards by itself".to_owned();
    plan.leakage.max_single_feature_auc = Some(AucLimit::Off(SwitchedOff { reason }));
    plan.leakage.disjoint_entities.clear();
    plan.columns.label_observed_time = None;
    assert_eq!(
        listed(&plan),
        [
            "label_observed_after_asof: the manifests name no column label_observed_time",
            "label_observed_after_test_start: the manifests name no column label_observed_time; train_not_before_test takes \
             every label for known delay_days after its event",
            "entity_on_both_sides: the profile names no disjoint_entities",
            "single_feature_separates: the profile switches it off: AMOUNT finds test cards by itself",
            canary,
        ]
    );
    // The report of an earlier release had no list, and is reproduced byte by byte.
    plan.leakage.max_single_feature_auc = None;
    assert_eq!(listed(&plan), [""; 0]);
}

#[tokio::test]
async fn a_model_that_knows_the_labels_without_having_learned_them_makes_the_canary_sing() {
    let mut plan = CLEAN.plan.clone();
    let reason = "a copy of the label, which the canary has to find".to_owned();
    plan.leakage.max_single_feature_auc = Some(AucLimit::Off(SwitchedOff { reason }));
    plan.leakage.allow_repeated_content = true;
    let labels = CLEAN.rows.column_by_name("fraud").unwrap().as_boolean().values().iter();
    // Wrong in the first row of the train window, so that it is no exact copy.
    let wrong = row_from(windows(&mut plan).train.start.timestamp_micros());
    let copied = labels.enumerate().map(|(row, fraud)| f32::from(u8::from(fraud != (row == wrong))));
    let copied = Float32Array::from_iter_values(copied);
    let rows = replaced(&CLEAN.rows, "during_night", Arc::new(copied));
    // A copy of the label under a monotone constraint: however the labels are shuffled, the model can only rise with it.
    let feature = "during_night".to_owned();
    plan.features = vec![Feature { name: feature, kind: FeatureKind::Numeric, monotone: Some(Monotone::Increasing) }];
    assert_eq!(found(&plan, &[&rows]).await, [], "nothing else finds it");
    plan.leakage.shuffled_label_canary = Some(CanarySpec { fits: 40, rounds: 5, max_above_chance: None });
    let found = found(&plan, &[&rows]).await;
    let [(rule, 1, witnesses)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(rule, "shuffled_label_canary");
    assert!(witnesses[0].contains("of 40 fits"), "{witnesses:?}");
}

#[tokio::test]
async fn an_event_after_the_label_asof_is_found() {
    let mut plan = CLEAN.plan.clone();
    let asof = plan.label_basis.label_asof_utc;
    windows(&mut plan).test.end = asof + chrono::TimeDelta::days(1);
    let row = planted(row_from(windows(&mut plan).test.start.timestamp_micros()), asof.timestamp_micros() + 1);
    let row = replaced(&row, "label_observed_time", at(vec![asof.timestamp_micros()]));
    // Its label is immature as well.
    let expected = [once("event_after_label_asof", PLANTED), once("immature_label", PLANTED)];
    assert_eq!(
        found(&plan, &[&CLEAN.rows, &replaced(&row, "amount", Arc::new(Float32Array::from(vec![1.0])))]).await,
        expected
    );
}

#[tokio::test]
async fn an_immature_label_is_found() {
    let mut plan = CLEAN.plan.clone();
    let mature = windows(&mut plan).test.end;
    windows(&mut plan).test.end = mature + chrono::TimeDelta::days(1);
    let row = planted(row_from(windows(&mut plan).test.start.timestamp_micros()), mature.timestamp_micros() + 1);
    let row = replaced(&row, "amount", Arc::new(Float32Array::from(vec![1.0])));
    assert_eq!(found(&plan, &[&CLEAN.rows, &row]).await, [once("immature_label", PLANTED)]);
}

#[tokio::test]
async fn a_label_observed_after_the_asof_is_found() {
    let mut plan = CLEAN.plan.clone();
    let start = windows(&mut plan).test.start.timestamp_micros();
    let late = plan.label_basis.label_asof_utc.timestamp_micros() + 1;
    let row = replaced(&planted(row_from(start), start), "label_observed_time", at(vec![late]));
    let row = replaced(&row, "amount", Arc::new(Float32Array::from(vec![1.0])));
    assert_eq!(found(&plan, &[&CLEAN.rows, &row]).await, [once("label_observed_after_asof", PLANTED)]);
}

#[tokio::test]
async fn a_learned_label_that_was_observed_after_the_test_window_started_is_found() {
    let mut plan = CLEAN.plan.clone();
    let Windows { train, validation, test, .. } = windows(&mut plan).clone();
    let start = test.start.timestamp_micros();
    let observed_at = |event: DateTime<Utc>, observed: i64| {
        let event = event.timestamp_micros();
        replaced(&planted(row_from(event), event), "label_observed_time", at(vec![observed]))
    };
    assert_eq!(found(&plan, &[&CLEAN.rows, &observed_at(train.start, start)]).await, [], "known when it starts");
    for learned in [train.start, validation.unwrap().start] {
        let found = found(&plan, &[&CLEAN.rows, &observed_at(learned, start + 1)]).await;
        assert_eq!(found, [once("label_observed_after_test_start", PLANTED)]);
    }
}

#[tokio::test]
async fn features_computed_after_the_event_are_found() {
    let mut plan = CLEAN.plan.clone();
    let start = windows(&mut plan).train.start.timestamp_micros();
    let row = replaced(&planted(row_from(start), start), "feature_time", at(vec![start + SECOND]));
    assert_eq!(found(&plan, &[&CLEAN.rows, &row]).await, [once("feature_time_after_event", PLANTED)]);
}

#[tokio::test]
async fn a_row_that_is_learned_from_too_close_to_the_test_window_is_found() {
    let mut plan = CLEAN.plan.clone();
    // Without observed times the delay alone says when labels are known.
    plan.columns.label_observed_time = None;
    // A wrong plan, whose validation window reaches into the delay before the test window.
    let first = times(&CLEAN.rows, "event_time")[row_from(windows(&mut plan).test.start.timestamp_micros())];
    let close = first - 7 * 86_400 * SECOND + 1;
    let validation = windows(&mut plan).validation.as_mut().unwrap();
    let last = validation.end.timestamp_micros();
    assert!(close > last, "the first test row comes right at the start");
    validation.end = chrono::DateTime::from_timestamp_micros(close + 1).unwrap();
    // No clean row lies in between.
    let between = times(&CLEAN.rows, "event_time").iter().filter(|at| (last..=close).contains(*at)).count();
    let row = planted(row_from(last - 3_600 * SECOND), close);
    let found = found(&plan, &[&CLEAN.rows, &row]).await;
    assert_eq!(found, [once("train_not_before_test", PLANTED)], "{between} clean rows between");
}

#[tokio::test]
async fn a_row_id_that_is_used_twice_is_found() {
    let mut plan = CLEAN.plan.clone();
    let start = windows(&mut plan).train.start.timestamp_micros();
    let row = row_from(start);
    let id = CLEAN.rows.column_by_name("transaction_id").unwrap().as_primitive::<Int64Type>().value(row);
    let again = replaced(&planted(row, start), "transaction_id", Arc::new(Int64Array::from(vec![id])));
    assert_eq!(found(&plan, &[&CLEAN.rows, &again]).await, [once("row_used_twice", &id.to_string())]);
}

#[tokio::test]
async fn a_row_that_comes_again_under_another_id_in_another_window_is_found() {
    let mut plan = CLEAN.plan.clone();
    let (train, test) = (windows(&mut plan).train.start, windows(&mut plan).test.start);
    let row = planted(row_from(train.timestamp_micros()), test.timestamp_micros() + 3_600 * SECOND);
    assert_eq!(found(&plan, &[&CLEAN.rows, &row]).await, [once("same_content_in_two_windows", PLANTED)]);
    plan.leakage.allow_repeated_content = true;
    assert_eq!(found(&plan, &[&CLEAN.rows, &row]).await, []);
}

#[tokio::test]
async fn an_entity_on_both_sides_is_found() {
    let mut plan = CLEAN.plan.clone();
    plan.leakage.disjoint_entities = vec!["customer_id".to_owned()];
    let (train, test) = (windows(&mut plan).train.start, windows(&mut plan).test.start.timestamp_micros());
    let customers = CLEAN.rows.column_by_name("customer_id").unwrap().as_primitive::<Int64Type>();
    let apart = customers.values().iter().zip(times(&CLEAN.rows, "event_time"));
    let apart: Vec<i64> = apart.map(|(id, at)| if at >= test { id + 1_000_000 } else { *id }).collect();
    let rows = replaced(&CLEAN.rows, "customer_id", Arc::new(Int64Array::from(apart)));
    assert_eq!(found(&plan, &[&rows]).await, []);
    let row = planted(row_from(train.timestamp_micros()), test + 3_600 * SECOND);
    let row = replaced(&row, "amount", Arc::new(Float32Array::from(vec![12.345])));
    assert_eq!(found(&plan, &[&rows, &row]).await, [once("entity_on_both_sides:customer_id", PLANTED)]);
}

#[tokio::test]
async fn a_role_column_among_the_features_is_found() {
    let mut plan = CLEAN.plan.clone();
    plan.features.push(Feature { name: "customer_id".to_owned(), kind: FeatureKind::Numeric, monotone: None });
    assert_eq!(found(&plan, &[&CLEAN.rows]).await, [once("role_column_among_features", "customer_id")]);
}

#[tokio::test]
async fn a_feature_that_separates_alone_is_found() {
    let labels = CLEAN.rows.column_by_name("fraud").unwrap().as_boolean();
    // The opposite of the label, and missing in every second row of fraud.
    let opposite = labels.values().iter().enumerate();
    let opposite =
        opposite.map(|(row, fraud)| if fraud && row % 2 == 0 { f32::NAN } else { f32::from(u8::from(!fraud)) });
    let rows = replaced(&CLEAN.rows, "during_night", Arc::new(Float32Array::from_iter_values(opposite)));
    assert_eq!(found(&CLEAN.plan, &[&rows]).await, [once("single_feature_separates", "during_night")]);
}
