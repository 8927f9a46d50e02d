//! What a row must leave in the inbox, in the ledger and on the topics.

use super::row::{Bring, Emitted, Leaves, Row};
use super::stage::{Brought, KEY, Stage};
use crate::support::{World, request};
use model_factory::domain::contract::EventType;
use model_factory::domain::identity::{Digest, RunId};
use model_factory::domain::run::{FailureCode, Outcome, State};
use model_factory::worker::runner::RunnerOutcome;
use serde_json::json;

/// Brings a row about and checks everything that it must leave.
pub async fn produce(stage: &mut Stage, row: &Row) {
    let brought = match row.brought {
        Bring::Record(record) => match &row.leaves {
            Leaves::Run { .. } => stage.bring_and_work(&record()).await,
            Leaves::Refusal { .. } | Leaves::Published { .. } | Leaves::NoStart => stage.bring(&record()).await,
        },
        Bring::Scenario(scenario) => scenario(stage).await,
        Bring::Boundaries(document) => return does_not_start(row, document).await,
    };
    stage.relay().await;
    match &row.leaves {
        Leaves::Refusal { outcome, pointer, says, emits } => {
            let left = Refusal { outcome, pointer, says, emits: *emits };
            check_refusal(stage, row.code, &brought, &left).await;
        }
        Leaves::Run { state, says, events } => {
            check_run(stage, row.code, &brought, (*state, says, events)).await;
            // On a slow machine its next attempt must not take the runner from the rows that follow.
            stage.set(&brought.run_id(), "available_at = now() + interval '1 day'").await;
            check_same_request_again(stage, &brought).await;
        }
        Leaves::Published { says } => {
            check_published(stage, row.code, &brought, says).await;
            check_same_request_again(stage, &brought).await;
        }
        Leaves::NoStart => panic!("only a boundaries document keeps a worker from starting"),
    }
}

struct Refusal<'a> {
    outcome: &'a str,
    pointer: &'a str,
    says: &'a str,
    emits: bool,
}

async fn check_refusal(stage: &mut Stage, code: FailureCode, brought: &Brought, left: &Refusal<'_>) {
    let recorded = stage.recorded(brought.offset).await;
    assert_eq!(recorded, serde_json::to_value(&brought.outcome).unwrap());
    assert_eq!(recorded["outcome"], left.outcome, "{recorded}");
    if !matches!(brought.outcome, Outcome::Conflict { .. }) {
        assert_eq!(recorded["code"], code.as_str(), "{recorded}");
    }
    let letters: Vec<_> = letters_of(stage, brought).collect();
    let [letter] = letters.as_slice() else { panic!("{} dead letters", letters.len()) };
    let header = |name: &str| letter.headers.get(name).map_or("", String::as_str);
    assert_eq!((header("mf_code"), header("mf_category")), (code.as_str(), code.category().as_str()));
    assert_eq!(header("mf_pointer"), left.pointer);
    assert!(header("mf_message").contains(left.says), "{}", header("mf_message"));
    assert_eq!(header("mf_source_topic"), stage.world.config.kafka.topics.requests);
    assert_eq!(header("mf_sha256"), Digest::of(&brought.bytes).to_string());
    if matches!(code, FailureCode::MessageTooLarge | FailureCode::MessageUnreadable) {
        let at = format!("kafka:{}/0/{}", stage.world.config.kafka.topics.requests, brought.offset);
        assert_eq!(
            (header("mf_value_ref"), header("mf_bytes")),
            (at.as_str(), brought.bytes.len().to_string().as_str())
        );
    } else {
        assert!(letter.value == brought.bytes, "the dead letter has other bytes than the record");
    }
    assert_eq!(letter.key.as_deref(), Some(KEY));

    let source = format!("refused:{}/0/{}", stage.world.config.kafka.topics.requests, brought.offset);
    let rejected = EventType::RequestRejected;
    let id = model_factory::domain::contract::event_id(&source, 1, rejected);
    let events = stage.events(|event| event.event_id == id);
    assert_eq!(events.len(), usize::from(left.emits), "{events:?}");
    for event in events {
        assert_eq!((event.event_type, event.seq, event.state, event.run_id), (rejected, 1, None, None));
        assert_eq!(event.reason.as_ref().map(|reason| (reason.code, reason.retryable)), Some((code, false)));
        assert!(event.reason.unwrap().message.contains(left.says));
    }
}

fn letters_of<'a>(
    stage: &'a Stage,
    brought: &Brought,
) -> impl Iterator<Item = &'a model_factory::adapters::kafka::Inbound> {
    let offset = brought.offset.to_string();
    stage.dead_letters.iter().filter(move |letter| letter.headers["mf_source_offset"] == offset)
}

async fn check_run(stage: &mut Stage, code: FailureCode, brought: &Brought, left: (State, &str, &[Emitted])) {
    let (stands, says, expected) = left;
    let run_id = brought.run_id();
    let recorded = stage.recorded(brought.offset).await;
    assert_eq!(recorded, json!({"outcome": "ADMITTED", "run_id": run_id}));
    let run = stage.world.ledger.run(&run_id).await.unwrap().unwrap();
    let last = expected.last().and_then(|(_, reason)| *reason);
    let message = run.reason_message.clone().unwrap_or_default();
    assert_eq!(run.reason_code.as_deref(), last.map(FailureCode::as_str), "{message}");
    assert_eq!(run.state, stands, "{message}");
    let events = stage.events(|event| event.run_id.as_ref() == Some(&run_id));
    let emitted: Vec<Emitted> =
        events.iter().map(|event| (event.event_type, event.reason.as_ref().map(|reason| reason.code))).collect();
    assert_eq!(emitted, expected, "{message}");
    assert!(events.iter().map(|event| event.seq).eq(1..=events.len() as u64), "{events:?}");
    assert_eq!(events.last().unwrap().state, Some(stands));
    let reasons: Vec<_> = events.iter().filter_map(|event| event.reason.as_ref()).collect();
    for reason in &reasons {
        assert_eq!((reason.category, reason.retryable), (reason.code.category(), reason.code.is_retryable()));
    }
    let about = reasons.iter().rev().find(|reason| reason.code == code).expect("an event that carries the code");
    assert!(about.message.contains(says), "{}", about.message);
    let retried = last.is_some_and(FailureCode::is_retryable);
    let open = matches!(stands, State::Queued | State::PublishPending);
    assert_eq!(retried, open && stage.waits(&run_id).await, "what is tried again waits, what is not does not");
    assert_eq!(letters_of(stage, brought).count(), 0, "a run that goes wrong is no dead letter");
    assert_eq!(announced(stage, &run_id), 0, "nothing may be announced");
}

fn announced(stage: &Stage, run_id: &RunId) -> usize {
    stage.publications.iter().filter(|record| record.headers["ce_subject"] == run_id.as_str()).count()
}

/// A failure after the publication withdraws nothing, and no event has its reason.
async fn check_published(stage: &Stage, code: FailureCode, brought: &Brought, says: &str) {
    let run_id = brought.run_id();
    let run = stage.world.ledger.run(&run_id).await.unwrap().unwrap();
    let message = run.reason_message.unwrap_or_default();
    assert_eq!((run.state, run.reason_code.as_deref()), (State::Published, Some(code.as_str())), "{message}");
    assert!(message.contains(says), "{message}");
    assert_eq!(announced(stage, &run_id), 1);
    let events = stage.events(|event| event.run_id.as_ref() == Some(&run_id));
    assert_eq!(events.last().unwrap().event_type, EventType::PublishPublished);
    assert!(events.iter().all(|event| event.reason.is_none()), "{events:?}");
}

/// The same record again: at most one more event, the same verdict, no work for a runner.
async fn check_same_request_again(stage: &mut Stage, brought: &Brought) {
    let run_id = brought.run_id();
    let before = stage.world.ledger.run(&run_id).await.unwrap().unwrap();
    let announcements = announced(stage, &run_id);
    let again = stage.bring(&brought.bytes).await;
    assert_eq!(again.outcome, Outcome::DuplicateRequest { run_id: run_id.clone() });
    assert_eq!(stage.work().await, RunnerOutcome::Idle, "the same request again is no new work");
    stage.relay().await;
    let after = stage.world.ledger.run(&run_id).await.unwrap().unwrap();
    let verdict = |run: &model_factory::adapters::ledger::RunRecord| {
        (run.state, run.reason_code.clone(), run.reason_message.clone(), run.full_run_attempts, run.fence)
    };
    assert_eq!(verdict(&after), verdict(&before), "the same request again must not change the verdict");
    assert_eq!(announced(stage, &run_id), announcements);
}

/// Under such a document neither worker nor `submit` does anything, and both print why.
async fn does_not_start(row: &Row, document: &str) {
    let world = World::new().await;
    let file = world.folder.path().join("boundaries.yaml");
    std::fs::write(&file, document).unwrap();
    let request = request("req-boundary-1").to_string();
    std::fs::write(world.folder.path().join("request.json"), &request).unwrap();
    world.send(&[request.into_bytes()]).await;
    for arguments in [&["worker", "--from", "earliest"][..], &["submit", "request.json"]] {
        let mut command = world.command(arguments);
        let output = command.env("MODEL_FACTORY_WORKER__OWNERSHIP_BOUNDARIES", &file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{arguments:?} did something");
        assert!(said.contains(row.code.as_str()), "{arguments:?}: {said}");
    }
    let counts = world.ledger.counts().await.unwrap();
    assert_eq!((counts.inbox, counts.outbox_unsent), (0, 0), "nothing is admitted and nothing emitted");
    // The record is still there for a worker under a document that gives Model Factory its outputs.
    assert!(matches!(world.admit(1).await[0], Outcome::Admitted { .. }));
}
