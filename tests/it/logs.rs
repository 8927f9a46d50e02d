//! What a worker says: every line as its schema has it, each that belongs to a run with the run's id, also while
//! whoever collects its traces is silent.

use crate::support::{Worker, World, eventually, request};
use model_factory::domain::contract::{SchemaName, check};
use model_factory::domain::run::State;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::future::ready;
use std::net::TcpListener;
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(3);
/// A requester that turns the direction of writing, and tries a line of its own.
const HOSTILE: &str = "eve\u{202e}drow \\n{\"level\":\"ERROR\"}";
/// Of the requests that `World::send` sends.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_as_its_schema_says_and_a_silent_receiver_of_traces_holds_nothing_up() {
    let world = World::new().await;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = world.command(&["worker", "--from", "earliest"]);
    command
        .env("MODEL_FACTORY_WORKER__LOG_FORMAT", "json")
        .env("MODEL_FACTORY_TELEMETRY__OTLP_ENDPOINT", format!("http://{}", silent.local_addr().unwrap()));
    let mut worker = Worker::start(command, &world.folder.path().join("worker.log"));
    let good = request("req-logs-0001");
    let mut failing = request("req-logs-0002");
    failing["requester_principal"] = json!(HOSTILE);
    failing["training_config_ref"] = json!("profiles/\u{202e}lmay.nowhere.yaml");
    let mut hostile = request("req-logs-0003");
    hostile["policy_revision"] = json!(format!("\u{1b}[2J{}", "x".repeat(3_000)));
    world.send(&[good, failing, hostile].map(|value| value.to_string().into_bytes())).await;
    world.dead_letters(1).await;
    let run = eventually("a published run", BOUND, || async {
        let run = world.ledger.run_of_request("req-logs-0001").await.unwrap()?;
        (run.state == State::Published).then_some(run)
    })
    .await;
    let says = |text: &'static str| {
        let worker = &worker;
        eventually(text, BOUND, move || ready(worker.said().contains(text).then_some(())))
    };
    says("TRAINING_PROFILE_UNRESOLVED").await;
    says("spans cannot be sent").await;
    worker.signal(Signal::SIGTERM);
    let status = eventually("the worker's end", BOUND, || ready(worker.ended())).await;
    assert!(status.success(), "{}", worker.said());

    let said = worker.said();
    assert!(!said.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n')), "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        check(SchemaName::LogLine, line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let target = line["target"].as_str().unwrap();
        if target.starts_with("model_factory::worker::runner") {
            assert!(line["run.id"].is_string(), "{line}");
        }
    }
    let of_run: Vec<&Value> = lines.iter().filter(|line| line["run.id"] == run.run_id.as_str()).collect();
    assert!(of_run.iter().all(|line| line["trace_id"] == TRACE && line["span_id"].is_string()), "{of_run:?}");
    for message in ["admitted", "started", "settled"] {
        assert!(of_run.iter().any(|line| line["message"] == message), "{message}: {of_run:?}");
    }
    assert!(of_run.iter().any(|line| line["run.stage"] == "train" && line["progress.percent"].is_u64()), "{of_run:?}");
    assert_eq!(lines.iter().filter(|line| line["message"].as_str().unwrap().contains("spans")).count(), 1, "{said}");
}
