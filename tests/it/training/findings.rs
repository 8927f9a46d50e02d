//! What the real child finds of features that say nothing, or not what the file says.

use crate::support::{Documents, data, read_document};
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, ArrayRef, Float32Array, Int64Array, RecordBatch};
use model_factory::domain::contract::{
    AucLimit, Evaluation, FeatureFinding, FindingKind, PlannedSplit, ResolvedAlgorithm, SwitchedOff, TimeWindow,
};
use model_factory::training::{ChildJob, EVALUATION_FILE, Exit, TrainerCommand, run};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::sync::Arc;

/// The generated payments with one feature of each kind, and the child's findings of them.
pub async fn one_of_each_kind() -> Vec<FeatureFinding> {
    let mut plan =
        Documents::with_training(read_document(&data().folder, &data().inputs.training_profile)).resolve().unwrap();
    let ResolvedAlgorithm::BuiltIn(booster) = &mut plan.algorithm else { panic!("{:?}", plan.algorithm) };
    booster.parameters.rounds = 5;
    let reason = "a feature is missing in one window".to_owned();
    plan.leakage.max_window_auc = Some(AucLimit::Off(SwitchedOff { reason }));
    let PlannedSplit::TimeBased(windows) = &plan.split else { panic!("{:?}", plan.split) };

    let file = File::open(data().folder.join(&plan.files[0].reference)).unwrap();
    let count = plan.files[0].rows as usize;
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().with_batch_size(count).build().unwrap();
    let rows = batches.next().unwrap().unwrap();
    let at = rows["event_time"].as_primitive::<TimestampMicrosecondType>().values();
    let within = |window: &TimeWindow, row: usize| {
        (window.start.timestamp_micros()..window.end.timestamp_micros()).contains(&at[row])
    };
    let values =
        |of: &dyn Fn(usize) -> Option<f32>| -> ArrayRef { Arc::new((0..count).map(of).collect::<Float32Array>()) };
    let lacking = |name: &str, window: &TimeWindow| {
        let column = rows[name].as_primitive::<arrow_array::types::Float32Type>();
        values(&|row| (!within(window, row) && column.is_valid(row)).then(|| column.value(row)))
    };
    // A prime number of steps, so that the numbers do not rise with the time. Every odd one is rounded.
    let beyond = (0..count as i64).map(|row| (1 << 24) + row * 7_919 % 100_003);
    let columns: [(&str, ArrayRef); 6] = [
        ("during_weekend", values(&|_| Some(1.0))),
        ("during_night", values(&|_| None)),
        ("customer_tx_count_1d", lacking("customer_tx_count_1d", &windows.train)),
        ("customer_tx_count_7d", lacking("customer_tx_count_7d", windows.validation.as_ref().unwrap())),
        ("customer_tx_count_30d", lacking("customer_tx_count_30d", &windows.test)),
        ("terminal_tx_count_1d", Arc::new(Int64Array::from_iter_values(beyond))),
    ];
    let named = rows.schema();
    let rows = RecordBatch::try_from_iter(named.fields().iter().zip(rows.columns()).map(|(field, own)| {
        let other = columns.iter().find(|(name, _)| name == field.name());
        (field.name(), other.map_or(own, |(_, column)| column).clone())
    }))
    .unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let job = ChildJob { plan: plan.clone(), files: vec![file], limits: plan.limits.clone(), threads: 2 };
    std::fs::write(folder.path().join(ChildJob::FILE), serde_json::to_vec(&job).unwrap()).unwrap();
    let command = TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into());
    let exit = run(&command, folder.path(), &plan.limits, std::future::pending(), |_| {}).await.unwrap();
    assert_eq!(exit, Exit::Finished);
    let evaluation = std::fs::read(folder.path().join(EVALUATION_FILE)).unwrap();
    let findings = serde_json::from_slice::<Evaluation>(&evaluation).unwrap().feature_findings;
    let kinds: Vec<_> = findings.iter().map(|of| (of.feature.as_str(), of.finding)).collect();
    assert_eq!(
        kinds,
        [
            ("during_weekend", FindingKind::Constant),
            ("during_night", FindingKind::AllMissing),
            ("customer_tx_count_1d", FindingKind::MissingInTrain),
            ("customer_tx_count_7d", FindingKind::MissingInValidation),
            ("customer_tx_count_30d", FindingKind::MissingInTest),
            ("terminal_tx_count_1d", FindingKind::Rounded),
        ]
    );
    findings
}
