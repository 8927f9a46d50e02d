//! Every way to prove who we are, against a real broker: a request comes in, its event goes out.

use super::secure::SecureKafka;
use crate::support::{World, eventually, fresh_database, request};
use model_factory::adapters::kafka::{KafkaSettings, Mechanism, Outlet, Record, SecuritySettings, Topics};
use model_factory::domain::run::State;
use std::time::{Duration, SystemTime};

const BOUND: Duration = Duration::from_mins(2);

/// Every kind of client connects: the admin client, producers and consumers of a request and its event, the group that
/// commits the offset.
async fn admits_and_emits(kafka: &SecureKafka, listener: &str, security: SecuritySettings) {
    let settings = kafka.topics(listener, security).await;
    Topics::check(&settings, &settings.topics.with_registry()).await.unwrap();
    let world = World::between(settings, fresh_database().await).await;
    world.send(&[request("req-secure-0001").to_string().into_bytes()]).await;
    world.admit(1).await;
    assert_eq!(world.drain().await, 1);
    let events = world.events(1).await;
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn names_and_passwords_are_taken_by_plain_and_scram() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
        admits_and_emits(&kafka, "SASL", kafka.sasl(mechanism)).await;
    }
}

#[tokio::test]
async fn a_certificate_of_ours_is_taken_where_the_broker_wants_one() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    admits_and_emits(&kafka, "MTLS", kafka.mutual_tls()).await;
}

#[tokio::test]
async fn a_token_is_taken() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, kafka.token("token.key", Duration::from_hours(1))).unwrap();
    admits_and_emits(&kafka, "SASL", kafka.by_token(&file)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_knows_its_password_from_a_file_publishes_over_tls() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let settings = kafka.topics("SASL", kafka.sasl(Mechanism::ScramSha512)).await;
    let world = World::between(settings, fresh_database().await).await;
    let password = world.folder.path().join("password");
    std::fs::write(&password, "secret-of-worker\n").unwrap();
    let settings = [
        ("KAFKA__SECURITY__PROTOCOL", "sasl_ssl"),
        ("KAFKA__SECURITY__MECHANISM", "SCRAM-SHA-512"),
        ("KAFKA__SECURITY__USERNAME", "worker"),
    ];
    let worker = world.worker("worker").set_all(&settings).set("KAFKA__SECURITY__PASSWORD_FILE", &password);
    let worker = worker.set("KAFKA__SECURITY__CA_FILE", kafka.file("ca.pem")).start();
    world.send(&[request("req-secure-0001").to_string().into_bytes()]).await;
    world.reaches("req-secure-0001", State::Published).await;
    assert_eq!(world.publications(1).await.len(), 1);
    assert!(!worker.log().contains("secret-of-worker"), "a password is never logged");
}

async fn send(outlet: &Outlet, settings: &KafkaSettings) -> Result<(), String> {
    let record = Record { topic: &settings.topics.requests, key: None, value: b"x", headers: &[] };
    outlet.send(record).await.map(|_| ()).map_err(|error| error.to_string())
}

/// The broker wants a valid token again every four seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_runs_takes_up_the_token_that_its_file_holds_now() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let settings = kafka.topics("SASL", kafka.by_token(&file)).await;
    // The broker's first check of a token takes longer than all that follow.
    std::fs::write(&file, kafka.token("token.key", Duration::from_hours(1))).unwrap();
    send(&Outlet::open(&settings).unwrap(), &settings).await.unwrap();
    let valid = Duration::from_secs(15);
    std::fs::write(&file, kafka.token("token.key", valid)).unwrap();
    let until = SystemTime::now() + valid;
    let outlet = Outlet::open(&settings).unwrap();
    send(&outlet, &settings).await.unwrap();
    let why = eventually("a refusal", BOUND, || async { send(&outlet, &settings).await.err() }).await;
    assert!(SystemTime::now() >= until, "not before it has expired: {why}");
    assert!(why.contains("has expired") && why.contains("token_file"), "{why}");

    std::fs::write(&file, kafka.token("token.key", Duration::from_hours(1))).unwrap();
    eventually("the new token", BOUND, || async { send(&outlet, &settings).await.ok() }).await;
}
