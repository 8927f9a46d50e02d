//! What a worker logs: every line fits its schema, and a line that belongs to a run has the run's id; also while the
//! receiver of its traces does not respond.

use crate::support::{World, request};
use model_factory::domain::contract::{SchemaName, check};
use model_factory::domain::run::State;
use serde_json::{Value, json};
use std::net::TcpListener;

/// A requester that turns the direction of writing, and tries to forge a log line.
const HOSTILE: &str = "eve\u{202e}drow \\n{\"level\":\"ERROR\"}";
/// The trace of requests that `World::send` sends.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_as_its_schema_says_and_a_silent_receiver_of_traces_holds_nothing_up() {
    let world = World::new().await;
    // This receiver takes connections and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut worker = world.worker("worker").set("TELEMETRY__OTLP_ENDPOINT", endpoint).start();
    let good = request("req-logs-0001");
    let mut failing = request("req-logs-0002");
    failing["requester_principal"] = json!(HOSTILE);
    failing["training_config_ref"] = json!("profiles/\u{202e}lmay.nowhere.yaml");
    let mut hostile = request("req-logs-0003");
    hostile["policy_revision"] = json!(format!("\u{1b}[2J{}", "x".repeat(3_000)));
    world.send(&[good, failing, hostile].map(|value| value.to_string().into_bytes())).await;
    world.dead_letters(1).await;
    let run = world.reaches("req-logs-0001", State::Published).await;
    worker.logs("TRAINING_PROFILE_UNRESOLVED").await;
    worker.logs("spans cannot be sent").await;
    worker.stop().await;

    let log = worker.log();
    assert!(!log.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n')), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
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
    assert_eq!(lines.iter().filter(|line| line["message"].as_str().unwrap().contains("spans")).count(), 1, "{log}");
}
