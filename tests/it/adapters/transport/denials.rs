//! Brokers that refuse us, and brokers that we refuse: each error names its cause, and what to do next.

use super::secure::SecureKafka;
use crate::support::{World, fresh_database};
use model_factory::adapters::kafka::{
    BrokerDenial, Error, KafkaSettings, Mechanism, Outlet, Protocol, Record, SecuritySettings, Topics,
};
use model_factory::secret::Secret;
use std::time::Duration;

async fn denied(settings: &KafkaSettings) -> BrokerDenial {
    match Topics::check(settings, &settings.topics.all()).await {
        Err(Error::Denied(denial)) => denial,
        other => panic!("{other:?}"),
    }
}

fn connected_by(brokers: String, security: SecuritySettings) -> KafkaSettings {
    KafkaSettings { brokers, security, ..KafkaSettings::default() }
}

fn wrong_password(kafka: &SecureKafka, mechanism: Mechanism) -> SecuritySettings {
    SecuritySettings { password: Some(Secret::new("guessed".to_owned())), ..kafka.sasl(mechanism) }
}

#[tokio::test]
async fn wrong_passwords_and_forged_tokens_are_refused_as_credentials() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
        let denial = denied(&connected_by(kafka.listener("SASL"), wrong_password(&kafka, mechanism))).await;
        assert!(matches!(denial, BrokerDenial::Credentials(_)), "{mechanism:?}: {denial:?}");
        assert!(!denial.to_string().contains("guessed"), "{denial}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    // Signed by a key that the identity provider does not have.
    std::fs::write(&file, kafka.token("client.key", Duration::from_hours(1))).unwrap();
    let denial = denied(&connected_by(kafka.listener("SASL"), kafka.by_token(&file))).await;
    assert!(matches!(denial, BrokerDenial::Credentials(_)), "{denial:?}");
}

#[tokio::test]
async fn a_broker_that_cannot_prove_who_it_is_gets_nothing() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let sasl = kafka.sasl(Mechanism::Plain);
    let port = kafka.listener("SASL").replace("localhost", "127.0.0.1");
    let another_authority = SecuritySettings { ca_file: Some(kafka.file("other-ca.pem")), ..sasl.clone() };
    let system_authorities = SecuritySettings { ca_file: None, ..sasl.clone() };
    let expired = SecuritySettings { certificate_file: None, key_file: None, ..kafka.mutual_tls() };
    let denial = denied(&connected_by(kafka.listener("SASL"), another_authority)).await;
    assert!(matches!(denial, BrokerDenial::Untrusted(_)), "{denial:?}");
    let denial = denied(&connected_by(kafka.listener("SASL"), system_authorities)).await;
    assert!(matches!(denial, BrokerDenial::Certificate(_)), "{denial:?}");
    let denial = denied(&connected_by(port.clone(), sasl.clone())).await;
    assert!(matches!(denial, BrokerDenial::WrongName(_)), "{denial:?}");
    let denial = denied(&connected_by(kafka.listener("EXPIRED"), expired)).await;
    assert!(matches!(denial, BrokerDenial::Expired(_)), "{denial:?}");
    // This turns off the check of the name alone: the certificate is still verified.
    let any_name = SecuritySettings { allow_any_host_name: true, ..sasl };
    let settings = connected_by(port, any_name);
    let checked = Topics::check(&settings, &[]).await;
    assert!(checked.is_ok(), "{checked:?}");
}

#[tokio::test]
async fn a_listener_with_another_protocol_gets_an_error_that_names_it() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let in_the_clear = connected_by(kafka.listener("SASL"), SecuritySettings::default());
    let denial = denied(&in_the_clear).await;
    assert!(matches!(denial, BrokerDenial::ListenerWantsTls(_)), "{denial:?}");

    let tls = SecuritySettings { protocol: Protocol::Ssl, ca_file: Some(kafka.file("ca.pem")), ..Default::default() };
    let denial = denied(&connected_by(kafka.listener("PLAINTEXT"), tls.clone())).await;
    assert!(matches!(denial, BrokerDenial::ListenerHasNoTls(_)), "{denial:?}");

    let denial = denied(&connected_by(kafka.listener("SASL"), tls.clone())).await;
    assert!(matches!(denial, BrokerDenial::ListenerWantsSasl(_)), "{denial:?}");

    let denial = denied(&connected_by(kafka.listener("MTLS"), tls)).await;
    assert!(matches!(denial, BrokerDenial::ClientCertificate(_)), "{denial:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_not_let_in_ends_and_says_why() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let settings = kafka.topics("SASL", kafka.sasl(Mechanism::Plain)).await;
    let world = World::between(settings, fresh_database().await).await;
    let settings = [
        ("KAFKA__SECURITY__PROTOCOL", "sasl_ssl"),
        ("KAFKA__SECURITY__MECHANISM", "PLAIN"),
        ("KAFKA__SECURITY__USERNAME", "worker"),
        ("KAFKA__SECURITY__PASSWORD", "guessed"),
    ];
    let worker = world.worker("worker").set_all(&settings);
    let mut worker = worker.set("KAFKA__SECURITY__CA_FILE", kafka.file("ca.pem")).start();
    assert!(!worker.exit().await.success());
    let log = worker.log();
    assert!(log.contains("the broker refuses our credentials") && log.contains("[kafka.security]"), "{log}");
    assert!(!log.contains("guessed"), "{log}");
}

#[tokio::test]
async fn a_producer_that_runs_says_that_it_is_refused_and_not_only_that_nothing_comes() {
    let Some(kafka) = SecureKafka::shared().await else { return };
    let settings = connected_by(kafka.listener("SASL"), wrong_password(&kafka, Mechanism::ScramSha256));
    let outlet = Outlet::open(&settings).unwrap();
    let record = Record { topic: "any", key: None, value: b"x", headers: &[] };
    let error = outlet.send(record).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("the broker refuses our credentials"), "{error}");
}
