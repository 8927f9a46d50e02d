//! Registered trainer commands: what a good one leaves, and how each bad one ends.

mod reproduce;
mod trial;
mod whole;

pub use trial::{Trial, write_scores};

use model_factory::domain::run::FailureCode;
use model_factory::modelling::{Evaluation, ModelFormat};
use model_factory::training::{AcceptedModel, ChildStep, EVALUATION_FILE, Enforcement, TrainerJob, enforcement};
use std::fs;
use std::time::Duration;

/// Says loudly where this kernel cannot show it.
fn confined(by: Enforcement) -> bool {
    let has = enforcement() >= by;
    if !has {
        eprintln!("this kernel confines {:?} only; what needs {by:?} was not tried", enforcement());
    }
    has
}

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
    let told: TrainerJob = serde_json::from_slice(&fs::read(trial.work().join(TrainerJob::FILE)).unwrap()).unwrap();
    assert_eq!(told.parameters["depth"], 3);
    assert!(told.rows.train > 0 && told.rows.score > 0 && told.files.validation.is_some());
}

#[tokio::test]
async fn a_command_sees_a_clean_environment_and_no_descriptor_of_the_worker() {
    let trial = Trial::of("env >seen; ls -l /proc/self/fd >open; finish");
    trial.run(|_, _| {}).await.unwrap();
    let seen = fs::read_to_string(trial.work().join("seen")).unwrap();
    let mut names: Vec<&str> = seen.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    // The shell itself adds these.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TMPDIR", "TZ"]);
    let open = fs::read_to_string(trial.work().join("open")).unwrap();
    let beyond: Vec<&str> = open.lines().filter(|line| line.contains("->")).skip(3).collect();
    assert!(beyond.len() <= 1 && beyond.iter().all(|line| line.contains("/proc/")), "{open}");
}

#[tokio::test]
async fn a_command_that_writes_outside_its_folder_is_refused_and_fails() {
    if !confined(Enforcement::Files) {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    for place in [outside.path().to_owned(), std::env::temp_dir(), "/dev/shm".into()] {
        let file = place.join("left-by-a-trainer");
        let (code, message) = Trial::of(&format!("echo x >'{}'\nfinish", file.display())).fails().await;
        assert_eq!(code, FailureCode::TrainerFailed);
        assert!(message.contains("ermission denied") && !file.exists(), "{message}");
    }
    let (_, message) = Trial::of("mv job.json ../job.json; finish").fails().await;
    assert!(message.contains("exit status"), "{message}");
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
async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let script = "sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & wait";
    let (code, message) = Trial::of(script).with_limits(|limits| limits.wall_seconds = 1).fails().await;
    assert_eq!(code, FailureCode::TrainerTimeout, "{message}");
}

#[tokio::test]
async fn a_daemon_does_not_outlive_a_command_that_is_done() {
    let trial = Trial::of("(setsid sh -c 'trap \"\" TERM; sleep 1000; true' &) ; finish");
    trial.run(|_, _| {}).await.unwrap();
    assert!(trial.processes().is_empty(), "{:?}", trial.processes());
}

#[tokio::test]
async fn a_command_that_is_told_to_stop_is_gone_with_all_that_it_started() {
    let trial = Trial::of("setsid sleep 1000 & sleep 1000 & wait");
    trial.write_job(&trial.plan());
    let stop = crate::support::eventually("the command's processes", Duration::from_secs(20), || async {
        (trial.processes().len() >= 3).then_some(())
    });
    let ended = trial.step(ChildStep::Command, stop).await.unwrap_err();
    assert_eq!(ended.code, FailureCode::Cancelled);
    assert!(trial.processes().is_empty(), "{:?}", trial.processes());
}

#[tokio::test]
async fn a_command_that_forks_without_end_is_ended() {
    // Bounded, so that a defect of ours ends the test and not the machine.
    let bomb = "for i in $(seq 300); do sleep 60 & done; wait";
    let (code, message) = Trial::of(bomb).with_limits(|limits| limits.processes = 24).fails().await;
    assert_eq!(code, FailureCode::TrainerFailed);
    assert!(message.contains("processes at a time, 24 are allowed"), "{message}");
}

#[tokio::test]
async fn a_command_that_eats_memory_is_out_of_memory_alone_or_together() {
    let alone = "head -c 100M /dev/zero | tail -c 100M; finish";
    let together = "for i in 1 2 3 4; do (head -c 20M /dev/zero; sleep 1000) | tail -c 20M & done; wait; finish";
    for script in [alone, together] {
        let (code, message) = Trial::of(script).with_limits(|limits| limits.memory_mib = 48).fails().await;
        assert_eq!(code, FailureCode::TrainerOutOfMemory, "{script}: {message}");
        assert!(message.contains("the command"), "{message}");
    }
}

#[tokio::test]
async fn a_command_that_fills_the_disk_is_ended() {
    let one = "head -c 100M /dev/zero >big; finish";
    let many = "i=0; while true; do head -c 500K /dev/zero >big$i; i=$((i + 1)); done";
    for (script, expected) in [(one, "File size limit exceeded"), (many, "more than 8 MiB into its folder")] {
        let (code, message) = Trial::of(script).with_limits(|limits| limits.file_mib = 8).fails().await;
        assert_eq!(code, FailureCode::TrainerFailed);
        assert!(message.contains(expected), "{script}: {message}");
    }
}

#[tokio::test]
async fn a_command_that_burns_its_processor_time_is_a_timeout() {
    let script = "(while :; do :; done) & (while :; do :; done) & wait";
    let (code, message) = Trial::of(script).with_limits(|limits| limits.cpu_seconds = 1).fails().await;
    assert_eq!(code, FailureCode::TrainerTimeout);
    assert!(message.contains("used up its 1 seconds of processor time"), "{message}");
}

#[tokio::test]
async fn a_command_can_neither_signal_the_worker_nor_call_home() {
    if !confined(Enforcement::Full) {
        return;
    }
    let worker = std::process::id();
    let trial = Trial::of(&format!("if kill -0 {worker} || kill -9 $PPID; then exit 7; fi 2>/dev/null\nfinish"));
    trial.run(|_, _| {}).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let call = format!("bash -c 'echo >/dev/tcp/127.0.0.1/{}'; finish", listener.local_addr().unwrap().port());
    let (_, message) = Trial::of(&call).fails().await;
    assert!(message.contains("ermission denied"), "{message}");
    let mut allowed = Trial::of(&call);
    allowed.registration.network = true;
    allowed.run(|_, _| {}).await.unwrap();
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
