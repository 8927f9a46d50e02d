//! What a command may do, and how one ends that does more.

use super::trial::{Trial, confined};
use crate::support::eventually;
use model_factory::domain::run::FailureCode;
use model_factory::training::{ChildStep, Enforcement};
use std::fs;
use std::time::Duration;

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
    for folder in [outside.path().to_owned(), std::env::temp_dir(), "/dev/shm".into()] {
        let file = folder.join("left-by-a-trainer");
        let (code, message) = Trial::of(&format!("echo x >'{}'\nfinish", file.display())).fails().await;
        assert_eq!(code, FailureCode::TrainerFailed);
        assert!(message.contains("ermission denied") && !file.exists(), "{message}");
    }
    let (_, message) = Trial::of("mv job.json ../job.json; finish").fails().await;
    assert!(message.contains("exit status"), "{message}");
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
async fn a_command_that_is_stopped_is_gone_with_all_that_it_started() {
    let trial = Trial::of("setsid sleep 1000 & sleep 1000 & wait");
    trial.write_job(&trial.plan());
    let stop = eventually("the command's processes", Duration::from_secs(20), || async {
        (trial.processes().len() >= 3).then_some(())
    });
    let ended = trial.step(ChildStep::Command, stop).await.unwrap_err();
    assert_eq!(ended.code, FailureCode::Cancelled);
    assert!(trial.processes().is_empty(), "{:?}", trial.processes());
}

#[tokio::test]
async fn a_command_that_forks_without_end_is_ended() {
    // Bounded, so that a defect of ours does not exhaust the machine.
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
