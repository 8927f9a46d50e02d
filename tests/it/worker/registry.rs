//! A worker that waits for the registry's confirmation: a run is PUBLISHED when the registry holds its bundle.

use crate::checker::{check, collect};
use crate::support::{World, committed, confirmed_by_registry, end_backoff, ledger_on, registry_event, request};
use model_factory::adapters::kafka::{KafkaSettings, TopicNames};
use model_factory::adapters::ledger::{CommandRequest, Guarded, RunCommand, RunRecord, Step};
use model_factory::domain::run::{FailureCode, RegistryReply, State, Transition};
use model_factory::worker::registry::RegistryOutcome;
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

const ID: &str = "req-registry-0001";

/// A world whose publications wait so long for the registry.
async fn world(patience_seconds: u32) -> World {
    let mut world = World::new().await;
    world.ledger = world.ledger.publishing(&confirmed_by_registry(patience_seconds));
    world
}

/// A run that passed, with its publication in the outbox.
async fn passed(world: &World) {
    world.send(&[request(ID).to_string().into_bytes()]).await;
    world.admit(1).await;
    world.run_until_idle(2).await;
}

async fn run(world: &World) -> RunRecord {
    world.run(ID).await
}

/// The value of the first publication in the outbox.
async fn publication(world: &World) -> Vec<u8> {
    let mut connection = PgConnection::connect(&world.config.ledger.url).await.unwrap();
    let row = sqlx::query("SELECT value FROM outbox WHERE kind = 'PUBLICATION' ORDER BY id LIMIT 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    row.get(0)
}

async fn reply(world: &World, event_type: &str, id: &str) {
    world
        .send_registry_events(&[registry_event(&publication(world).await, event_type, id).to_string().into_bytes()])
        .await;
}

/// Sends the rest of the outbox; so many publications were announced, and every guarantee holds.
async fn ends_well(world: &World, announcements: usize) {
    world.drain().await;
    let history = collect(world).await;
    assert_eq!(history.publications.len(), announcements);
    assert_eq!(history.runs[0].full_attempts, 1, "it was trained once");
    assert_eq!(check(&history), []);
    // What the registry refers to is no evidence of the run.
    let verdict = world.ledger.verify_audit_log(None, None, |_, _| {}).await.unwrap();
    assert!(verdict.holds(), "{verdict:?}");
    let evidence = world.ledger.evidence_of(&run(world).await.run_id).await.unwrap();
    assert!(!evidence.refs.is_empty() && evidence.unlogged.is_empty(), "{evidence:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_waits_for_the_registrys_reply_and_a_replay_of_the_topic_changes_nothing() {
    let world = world(900).await;
    passed(&world).await;
    world.drain().await;
    let waiting = run(&world).await;
    assert_eq!((waiting.state, waiting.reason_code.as_deref()), (State::PublishPending, None));
    assert!(waiting.published.is_some() && waiting.answer_due_at.is_some(), "acknowledged, and not confirmed");
    let shown = world.stdout(&["runs", "show", ID]);
    assert!(shown.contains("the registry may answer until"), "{shown}");
    end_backoff(&world.config.ledger.url).await;
    let order = CommandRequest { command: RunCommand::RetryPublish, actor: "ann", why: "it takes long" };
    world.ledger.command(&waiting.run_id, order).await.unwrap().unwrap().unwrap();
    world.run_until_idle(2).await;
    assert_eq!(run(&world).await.publish_retry_attempts, 0, "nobody announces it again while the registry may answer");

    let value = publication(&world).await;
    let about = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut event = registry_event(&value, "BUNDLE_PUBLISHED", "reg-1");
        change(&mut event);
        event.to_string().into_bytes()
    };
    let events = [
        b"no event".to_vec(),
        about(&|event| event["more"] = json!("than the schema knows")),
        about(&|event| event["event_type"] = json!("BUNDLE_ACTIVATED")),
        about(&|event| event["bundle_ref"] = json!("somebody/else's/bundle")),
        about(&|event| event["bundle_ref"] = json!(format!("p/{}/bundle", "tr_".to_owned() + &"0".repeat(32)))),
        about(&|event| event["bundle_ref"] = json!(format!("other/{}/bundle", waiting.run_id))),
        about(&|event| event["scope_key"] = json!("another/scope/key")),
        about(&|_| {}),
        about(&|_| {}),
        about(&|event| event["registry_event_id"] = json!("reg-2")),
    ];
    world.send_registry_events(&events).await;
    let unknown = RegistryReply::Unknown;
    let noise =
        [RegistryReply::Malformed, RegistryReply::Malformed, RegistryReply::Other, unknown, unknown, unknown, unknown];
    let (repeated, late) = (RegistryReply::Repeated, RegistryReply::Late);
    let replies = world.read_registry_events(events.len()).await;
    assert_eq!(replies, [&noise[..], &[RegistryReply::Published, repeated, late]].concat());
    let published = run(&world).await;
    assert_eq!(
        (published.state, published.published, published.answer_due_at),
        (State::Published, waiting.published, None)
    );
    assert_eq!(published.confirmed_by.as_deref(), Some("reg-1"));

    let steps = world.ledger.transitions(&waiting.run_id).await.unwrap().len();
    let mut anew = world;
    anew.config.kafka.group_id += "-anew";
    assert_eq!(anew.read_registry_events(events.len()).await, [&noise[..], &[repeated; 3]].concat());
    assert_eq!(anew.ledger.transitions(&waiting.run_id).await.unwrap().len(), steps);
    anew.config.kafka.group_id.truncate(anew.config.kafka.group_id.len() - "-anew".len());
    ends_well(&anew, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_that_comes_before_the_relays_mark_is_remembered() {
    let world = world(900).await;
    passed(&world).await;
    reply(&world, "BUNDLE_PUBLISHED", "reg-1").await;
    assert_eq!(world.read_registry_events(1).await, [RegistryReply::Remembered]);
    assert_eq!(run(&world).await.state, State::PublishPending);
    world.drain().await;
    let published = run(&world).await;
    assert_eq!((published.state, published.publish_retry_attempts), (State::Published, 0));
    ends_well(&world, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_parks_the_run_until_an_operator_retries_and_counts_once() {
    let world = world(900).await;
    passed(&world).await;
    world.drain().await;
    let mut event = registry_event(&publication(&world).await, "BUNDLE_REJECTED", "reg-1");
    event["reason"] = json!("a digest\ndiffers");
    world.send_registry_events(&[event.to_string().into_bytes()]).await;
    assert_eq!(world.read_registry_events(1).await, [RegistryReply::Rejected]);
    end_backoff(&world.config.ledger.url).await;
    world.run_until_idle(2).await;
    let parked = run(&world).await;
    assert_eq!((parked.state, parked.publish_retry_attempts), (State::PublishPending, 0));
    assert_eq!(parked.reason_code.as_deref(), Some("PUBLISH_REJECTED"));
    let message = parked.reason_message.unwrap();
    assert!(message.contains("tests says BUNDLE_REJECTED in event reg-1: a digest\\ndiffers"), "{message}");

    let order = CommandRequest { command: RunCommand::RetryPublish, actor: "ann", why: "the registry is mended" };
    world.ledger.command(&parked.run_id, order).await.unwrap().unwrap().unwrap();
    world.run_until_idle(2).await;
    world.drain().await;
    world.send_registry_events(&[event.to_string().into_bytes()]).await;
    reply(&world, "BUNDLE_PUBLISHED", "reg-2").await;
    let replies = world.read_registry_events(2).await;
    assert_eq!(replies, [RegistryReply::Repeated, RegistryReply::Published]);
    assert_eq!(run(&world).await.state, State::Published);
    ends_well(&world, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publication_without_a_reply_is_announced_again_and_a_late_reply_takes_it_from_the_worker() {
    let world = world(0).await;
    passed(&world).await;
    world.drain().await;
    // In one more turn the wait for the reply ends.
    world.run_until_idle(2).await;
    let waiting = run(&world).await;
    assert_eq!(waiting.reason_code.as_deref(), Some("PUBLISH_UNAVAILABLE"));
    assert!(waiting.reason_message.unwrap().contains("the registry did not answer"));
    end_backoff(&world.config.ledger.url).await;
    world.run_until_idle(2).await;
    world.drain().await;
    assert_eq!(run(&world).await.publish_retry_attempts, 1, "announced again");

    world.run_until_idle(2).await;
    end_backoff(&world.config.ledger.url).await;
    let lease = world.ledger.claim("about to announce it once more").await.unwrap().unwrap();
    reply(&world, "BUNDLE_PUBLISHED", "reg-1").await;
    assert_eq!(world.read_registry_events(1).await, [RegistryReply::Published]);
    let step = Step::with_reason(Transition::DeferPublish, FailureCode::EvidenceUnresolved, "it came too late");
    assert_eq!(world.ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Lost);
    assert_eq!(run(&world).await.state, State::Published);
    ends_well(&world, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_no_event_of_the_registrys_topic_is_settled() {
    let mut world = world(900).await;
    passed(&world).await;
    world.drain().await;
    reply(&world, "BUNDLE_PUBLISHED", "reg-1").await;
    let topics = &world.config.kafka.topics;
    let registry = KafkaSettings {
        group_id: format!("{}-registry", world.config.kafka.group_id),
        topics: TopicNames { requests: topics.registry_lifecycle.clone(), ..topics.clone() },
        ..world.config.kafka.clone()
    };
    let mut listener = world.listener().await;
    world.ledger.close().await;
    let mut turns = 0;
    while listener.listen_once().await.unwrap() != RegistryOutcome::Waiting {
        turns += 1;
        assert!(turns < 120, "the event never came");
    }
    assert_eq!(listener.listen_once().await.unwrap(), RegistryOutcome::Waiting, "the listener keeps the event");
    listener.close().await;
    assert_eq!(committed(&registry, 0).await, 0);

    world.ledger = ledger_on(&world.config.ledger.url, |_| {}).await;
    assert_eq!(world.read_registry_events(1).await, [RegistryReply::Published]);
    assert_eq!(committed(&registry, 0).await, 1);
    ends_well(&world, 1).await;
}
