//! Dead letters: what they carry, and how they are replayed.

use crate::support::{World, request};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::{FailureCode, Outcome};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_too_large_for_the_dead_letter_topic_goes_by_reference_and_its_bytes_stay() {
    let mut world = World::new().await;
    world.config.kafka.max_value_bytes = 1_000;
    let large = format!("{{\"padding\": \"{}\"}}", "x".repeat(200_000)).into_bytes();
    world.send(&[large.clone(), b"small".to_vec()]).await;
    let outcomes = world.admit(2).await;
    assert_eq!(outcomes[0], Outcome::Rejected { code: FailureCode::SchemaInvalid });
    world.drain().await;
    let letters = world.dead_letters(2).await;
    let by_code = |code: &str| letters.iter().find(|letter| letter.headers["mf_code"] == code).unwrap();
    assert_eq!(by_code("MESSAGE_NOT_JSON").value, b"small");
    let letter = by_code("SCHEMA_INVALID");
    let source = format!("{}/0/0", world.config.kafka.topics.requests);
    assert_eq!(letter.headers["mf_value_ref"], format!("ledger:{source}"));
    assert_eq!(letter.headers["mf_sha256"], Digest::of(&large).to_string());
    let reference: Value = serde_json::from_slice(&letter.value).unwrap();
    assert_eq!(reference, json!({"ref": format!("ledger:{source}"), "bytes": large.len()}));
    assert_eq!(world.stdout(&["dead-letters", "show", &source, "--raw"]).into_bytes(), large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_an_ordinary_request_with_a_cap_and_a_dry_run() {
    let world = World::new().await;
    let outside = |id: &str| {
        let mut value = request(id);
        value["training_config_ref"] = json!("s3://elsewhere/training.yaml");
        value.to_string().into_bytes()
    };
    world.send(&[outside("req-replay-01"), outside("req-replay-02"), b"{".to_vec()]).await;
    world.admit(3).await;
    let topic = world.config.kafka.topics.requests.clone();

    let listed = world.stdout(&["dead-letters", "list", "--code", "REF_NOT_ALLOWED", "--output", "json"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    let shown = world.stdout(&["dead-letters", "show", &format!("{topic}/0/0")]);
    assert!(shown.contains("/training_config_ref") && shown.contains("req-replay-01"), "{shown}");
    assert!(shown.contains(FailureCode::RefNotAllowed.guidance().operator), "{shown}");

    let replay = ["dead-letters", "replay", "--code", "REF_NOT_ALLOWED", "--reason", "allow-list mended"];
    let too_many = world.command(&[&replay[..], &["--limit", "1"]].concat()).output().unwrap();
    assert!(!too_many.status.success(), "a cap that is exceeded sends nothing");
    let dry = world.stdout(&[&replay[..], &["--dry-run"]].concat());
    assert!(dry.contains("would be sent again"), "{dry}");
    let none = world.stdout(&["dead-letters", "replay", "--code", "QUOTA_EXCEEDED", "--reason", "a new day"]);
    assert!(none.contains("no rejected record has this code"), "{none}");
    world.stdout(&replay);
    world.stdout(&["dead-letters", "replay", &format!("{topic}/0/2"), "--reason", "once more"]);

    // The group has settled the first three records; cap and dry run have sent none.
    let mut again = world.admit(3).await;
    again.sort_by_key(|outcome| format!("{outcome:?}"));
    assert_eq!(
        again,
        [FailureCode::MessageNotJson, FailureCode::RefNotAllowed, FailureCode::RefNotAllowed]
            .map(|code| Outcome::Rejected { code })
    );
    let nowhere = world.command(&["dead-letters", "show", &format!("{topic}/0/77")]).output().unwrap();
    assert!(!nowhere.status.success());
}
