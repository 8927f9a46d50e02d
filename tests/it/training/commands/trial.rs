//! A shell script as a registered trainer command, taken through the three steps of a run.

use crate::support::{Documents, data, document};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use model_factory::domain::contract::{Limits, TrainPlan};
use model_factory::domain::run::{Failure, FailureCode};
use model_factory::training::{
    ChildJob, ChildStep, CommandSpec, Enforcement, Exit, Layer, TrainerCommand, TrainerRegistration, enforcement, run,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether this kernel confines so far; prints where it does not, since the test then shows less.
pub fn confined(by: Enforcement) -> bool {
    let has = enforcement() >= by;
    if !has {
        eprintln!("this kernel confines {:?} only; what needs {by:?} was not tried", enforcement());
    }
    has
}

/// A script with its job and its limits.
pub struct Trial {
    pub folder: tempfile::TempDir,
    /// For the command alone: our own steps get ample limits, so that only the command can hit one.
    pub limits: Limits,
    pub registration: TrainerRegistration,
    /// Layers of the sandbox that are left out.
    pub without: Vec<Layer>,
    /// What runs the steps, in place of our own binary.
    pub binary: PathBuf,
}

impl Trial {
    /// `$GIVEN` in the script is a folder that it may read; `finish` leaves a good result.
    pub fn of(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().join("given");
        fs::create_dir(&given).unwrap();
        let path = folder.path().join("trainer.sh");
        let finish = "finish() {\n  mkdir -p model\n  cp \"$GIVEN/scores.parquet\" scores.parquet\n  \
                      echo '{\"learner\": {}}' >model/model.json\n  result xgboost_json model/model.json\n}\n\
                      result() {\n  echo \"{\\\"schema_version\\\": \\\"learning.trainer_result.v0\\\", \\\"model\\\": \
                      {\\\"format\\\": \\\"$1\\\", \\\"path\\\": \\\"$2\\\"}}\" >result.json\n}\n";
        let given = given.display();
        fs::write(&path, format!("GIVEN='{given}'\n{finish}set -eu\n{script}\n")).unwrap();
        let registration = TrainerRegistration {
            program: "/bin/sh".into(),
            arguments: vec![path.to_str().unwrap().to_owned()],
            path: "/usr/bin:/bin".to_owned(),
            read: vec![folder.path().join("given")],
            write: vec![],
            network: false,
            unix_sockets: false,
            allow_pickle: false,
        };
        let limits = Limits { wall_seconds: 300, memory_mib: 1_024, processes: 32, ..Limits::default() };
        Self { folder, limits, registration, without: Vec::new(), binary: env!("CARGO_BIN_EXE_model-factory").into() }
    }

    #[must_use]
    pub fn with_limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.limits);
        self
    }

    pub fn job_dir(&self) -> PathBuf {
        self.folder.path().join("job")
    }

    pub fn work(&self) -> PathBuf {
        CommandSpec::work(&self.job_dir())
    }

    /// Runs prepare, command and measure. The script may copy one score for each id that it is to score, after `change`.
    pub async fn run(&self, change: impl FnOnce(&mut Vec<i64>, &mut Vec<f64>)) -> Result<(), Failure> {
        self.run_plan(&self.plan(), change).await
    }

    pub async fn run_plan(
        &self,
        plan: &TrainPlan,
        change: impl FnOnce(&mut Vec<i64>, &mut Vec<f64>),
    ) -> Result<(), Failure> {
        self.write_job(plan);
        self.step(ChildStep::Prepare, std::future::pending()).await?;
        let mut ids = column(&self.work().join("score.parquet"));
        let mut scores = (0..ids.len()).map(|row| (row % 100) as f64 / 100.0).collect();
        change(&mut ids, &mut scores);
        write_scores(&self.folder.path().join("given/scores.parquet"), ids, scores);
        self.step(ChildStep::Command, std::future::pending()).await?;
        self.step(ChildStep::Measure, std::future::pending()).await
    }

    /// The failure of a script that must fail, and leaves no process.
    pub async fn fails(&self) -> (FailureCode, String) {
        let failure = self.run(|_, _| {}).await.expect_err("the trainer must fail");
        assert!(self.processes().is_empty(), "{:?} are left", self.processes());
        (failure.code, failure.message)
    }

    pub async fn step(&self, step: ChildStep, until: impl Future<Output = ()>) -> Result<(), Failure> {
        let command = TrainerCommand::binary(self.binary.clone()).to(step);
        let ample = Limits::default();
        let limits = if step == ChildStep::Command { &self.limits } else { &ample };
        match run(&command, &self.job_dir(), limits, until, |_| {}).await.unwrap() {
            Exit::Finished => Ok(()),
            Exit::Failed(failure) => Err(failure),
            Exit::Stopped => Err(Failure::new(FailureCode::Cancelled, "stopped")),
        }
    }

    /// Command lines of the processes that work in the trial's folder.
    pub fn processes(&self) -> Vec<String> {
        let work = self.work();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let ours = processes.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == work));
        ours.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok()).collect()
    }

    pub fn plan(&self) -> TrainPlan {
        let pinned = self.registration.pin().unwrap();
        let profile = fs::read_to_string(data().folder.join(&data().inputs.training_profile)).unwrap();
        let start = profile.find("algorithm:").unwrap();
        let end = start + profile[start..].find("split:").unwrap();
        let algorithm = "algorithm: {id: 'process:trial', parameters: {depth: 3}}\n";
        let profile = format!("{}{algorithm}{}", &profile[..start], &profile[end..]);
        let mut documents = Documents::with_training(document("profile", profile.into_bytes()));
        documents.commands.insert("trial".to_owned(), pinned);
        documents.resolve().unwrap()
    }

    pub fn write_job(&self, plan: &TrainPlan) {
        let job_dir = self.job_dir();
        fs::create_dir_all(job_dir.join("data")).unwrap();
        fs::create_dir_all(self.work()).unwrap();
        let file = job_dir.join("data/0.parquet");
        fs::copy(data().folder.join(&plan.files[0].reference), &file).unwrap();
        let pinned = self.registration.pin().unwrap();
        let mut spec = CommandSpec::new(self.registration.clone(), pinned, self.limits.clone());
        spec.without.clone_from(&self.without);
        fs::write(job_dir.join(CommandSpec::FILE), serde_json::to_vec(&spec).unwrap()).unwrap();
        let job = ChildJob { plan: plan.clone(), files: vec![file], limits: plan.limits.clone(), threads: 1 };
        fs::write(job_dir.join(ChildJob::FILE), serde_json::to_vec(&job).unwrap()).unwrap();
    }
}

pub fn column(path: &Path) -> Vec<i64> {
    use arrow_array::cast::AsArray as _;
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let ids = |batch: RecordBatch| batch["row_id"].as_primitive::<arrow_array::types::Int64Type>().values().to_vec();
    reader.flat_map(|batch| ids(batch.unwrap())).collect()
}

pub fn write_scores(path: &Path, ids: Vec<i64>, scores: Vec<f64>) {
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    let scores: ArrayRef = Arc::new(Float64Array::from(scores));
    let batch = RecordBatch::try_from_iter([("row_id", ids), ("score", scores)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
