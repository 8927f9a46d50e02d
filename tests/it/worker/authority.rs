//! Who may ask: signatures, quotas and links in the screening of records, on a real ledger.

use crate::support::{World, data, fresh_database, ledger_on, request, revision, write_private};
use model_factory::adapters::authority::Policy;
use model_factory::adapters::dataset::{InputSettings, Inputs};
use model_factory::adapters::ledger::{Arrival, CommandRequest, Coordinates, Ledger, RunCommand, SourceRecord};
use model_factory::adapters::signing::{PrivateKey, RequesterPrivateKey};
use model_factory::domain::contract::AllowList;
use model_factory::domain::run::{FailureCode, Outcome, State};
use model_factory::worker::intake::{BatchScreening, Screening};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use std::sync::atomic::{AtomicI64, Ordering};

const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIFMf9mjJ6D+C8GsNNYpB9t8Sst2/CNEClta1w1zgd+eE
-----END PRIVATE KEY-----
";

fn keys() -> [RequesterPrivateKey; 2] {
    [RequesterPrivateKey::from_pem(ED25519).unwrap(), RequesterPrivateKey::P256(PrivateKey::generate())]
}

/// A policy that lets the principals `tests` and `other` do everything; `more` adds keys or a quota.
fn policy(more: &str) -> Policy {
    let text = format!(
        "schema_version: platform.requester_policy.v0\nprincipals:\n  - names: [tests, other]\n    may:\n      \
         - {{intents: [baseline_train], scopes: ['*'], publish: true, inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}}\n    commands: [cancel]\n{more}"
    );
    Policy::read(text.as_bytes(), |name| Err(format!("no file {name}"))).unwrap()
}

fn screening(more: &str) -> Screening {
    let inputs = InputSettings { root: Some(data().folder.clone()), ..InputSettings::default() };
    Screening::new(&Inputs::open(&inputs).unwrap(), Some(policy(more)))
}

/// A record of this partition: records of different partitions wait for each other only at the requester's quota.
fn record(partition: i32, value: Vec<u8>) -> SourceRecord {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    let offset = NEXT.fetch_add(1, Ordering::Relaxed);
    let coordinates = Coordinates { topic: "requests".to_owned(), partition, offset };
    SourceRecord { coordinates, key: None, value, cut: None, trace: None }
}

fn arrivals(screening: &Screening, partition: i32, values: &[Value]) -> Vec<Arrival> {
    let mut batch = screening.of_batch();
    values.iter().map(|value| batch.arrival(record(partition, value.to_string().into_bytes()))).collect()
}

async fn bring(ledger: &Ledger, screening: &Screening, value: &Value) -> Outcome {
    ledger.admit(&arrivals(screening, 0, std::slice::from_ref(value)), "w").await.unwrap().remove(0)
}

fn admitted(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Admitted { .. })).count()
}

const OVER: Outcome = Outcome::Rejected { code: FailureCode::QuotaExceeded };

#[tokio::test]
async fn a_signed_request_is_the_run_of_the_unsigned_one_and_is_kept_as_it_came() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    for (index, key) in keys().into_iter().enumerate() {
        let pem = key.public().to_pem().replace('\n', "\n          ");
        let screening = screening(&format!("    keys:\n      - pem: |\n          {pem}\n"));
        let value = revision(&format!("req-signed-{index:04}"), &format!("r{index}"));
        let sealed = key.seal(value.to_string().as_bytes());
        let arrival = screening.of_batch().arrival(record(0, sealed.clone()));
        let Outcome::Admitted { run_id } = ledger.admit(&[arrival], "w").await.unwrap().remove(0) else {
            panic!("a signed request is admitted")
        };
        // Whoever reads the request from its record opens the envelope again.
        let run = ledger.run(&run_id).await.unwrap().unwrap();
        assert_eq!(run.request.run_key().run_id(), run_id);
        assert_eq!(ledger.claim("w").await.unwrap().unwrap().request.request_id, value["request_id"]);
        let unsigned = Arrival::read(record(0, value.to_string().into_bytes()), &AllowList::new([], true));
        let again = ledger.admit(&[unsigned], "w").await.unwrap().remove(0);
        assert_eq!(
            again,
            Outcome::DuplicateRequest { run_id: run_id.clone() },
            "the signature is no part of the request"
        );
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let kept: Vec<u8> = sqlx::query(
            r#"SELECT i.value FROM requests q JOIN inbox i USING (topic, partition, "offset") WHERE q.run_id = $1"#,
        )
        .bind(run_id.as_str())
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
        assert!(kept == sealed, "the record's bytes are what is kept");
    }
}

#[tokio::test]
async fn without_a_policy_a_signature_decides_nothing() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let screening = Screening::from(AllowList::new([], true));
    let sealed = keys()[0].seal(request("req-nopolicy-1").to_string().as_bytes());
    let arrival = screening.of_batch().arrival(record(0, sealed));
    assert_eq!(admitted(&ledger.admit(&[arrival], "w").await.unwrap()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intakes_side_by_side_keep_a_quota_exactly() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.max_connections = 10).await;
    let screening = screening("    quota: {in_flight: 7}\n");
    let bring = |worker: i32| {
        let values: Vec<Value> =
            (0..6).map(|n| revision(&format!("req-side-{worker}-{n}"), &format!("r{worker}-{n}"))).collect();
        let (ledger, arrivals) = (ledger.clone(), arrivals(&screening, worker, &values));
        async move { ledger.admit(&arrivals, "w").await.unwrap() }
    };
    let outcomes = futures::future::join_all((0..8).map(bring)).await.concat();
    assert_eq!(admitted(&outcomes), 7);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == OVER).count(), 48 - 7);
}

#[tokio::test]
async fn what_is_known_counts_nothing_and_each_name_counts_for_itself() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let screening = screening("    quota: {in_flight: 2, per_day: 3}\n");
    let mut renamed = revision("req-known-0002", "a");
    renamed["publish_allowed"] = json!(false);
    let batch = [
        revision("req-known-0001", "a"),
        revision("req-known-0001", "a"),
        renamed,
        revision("req-known-0003", "b"),
        revision("req-known-0004", "c"),
        revision("req-known-0001", "d"),
    ];
    let outcomes = ledger.admit(&arrivals(&screening, 0, &batch), "w").await.unwrap();
    assert!(
        matches!(
            &outcomes[..],
            [
                Outcome::Admitted { .. },
                Outcome::DuplicateRequest { .. },
                Outcome::DuplicateRun { .. },
                Outcome::Admitted { .. },
                Outcome::Rejected { code: FailureCode::QuotaExceeded },
                Outcome::Conflict { .. }
            ]
        ),
        "{outcomes:?}"
    );
    // With the quota used up, a known request still gets its outcome.
    assert!(matches!(bring(&ledger, &screening, &batch[0]).await, Outcome::DuplicateRequest { .. }));
    assert!(matches!(bring(&ledger, &screening, &revision("req-known-0005", "b")).await, Outcome::DuplicateRun { .. }));
    assert_eq!(bring(&ledger, &screening, &revision("req-known-0006", "e")).await, OVER);
    let mut other = revision("req-known-0007", "f");
    other["requester_principal"] = json!("other");
    assert_eq!(admitted(&[bring(&ledger, &screening, &other).await]), 1);

    // A run that ends frees its place in flight, and the rejected request may come again under its id; the day's count stays.
    let Outcome::Admitted { run_id } = &outcomes[0] else { unreachable!() };
    let order = CommandRequest { command: RunCommand::Cancel, actor: "tests", why: "room" };
    assert_eq!(ledger.command(run_id, order).await.unwrap().unwrap().unwrap(), State::Fail);
    let Outcome::Admitted { run_id } = bring(&ledger, &screening, &batch[4]).await else { panic!("there is room") };
    assert_eq!(ledger.command(&run_id, order).await.unwrap().unwrap().unwrap(), State::Fail);
    assert_eq!(bring(&ledger, &screening, &revision("req-known-0008", "g")).await, OVER);
}

#[tokio::test]
async fn a_refusal_by_quota_is_dead_lettered_once_and_leaves_no_request() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let screening = screening("    quota: {per_day: 1}\n");
    let batch = arrivals(&screening, 0, &[revision("req-quota-0001", "a"), revision("req-quota-0002", "b")]);
    let outcomes = ledger.admit(&batch, "w").await.unwrap();
    assert_eq!((admitted(&outcomes), &outcomes[1]), (1, &OVER));
    assert_eq!(ledger.admit(&batch, "w").await.unwrap(), outcomes, "a redelivery gets the same outcome");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM runs), (SELECT count(*) FROM inbox),
                (SELECT count(*) FROM outbox WHERE kind = 'DEAD_LETTER')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let found: Vec<i64> = (0..4).map(|index| row.get(index)).collect();
    assert_eq!(found, [1, 1, 2, 1]);
}

#[tokio::test]
async fn a_link_that_leads_out_is_refused_before_it_waits_in_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("in");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(folder.path().join("outside.yaml"), "").unwrap();
    let link = root.join("link.yaml");
    std::os::unix::fs::symlink("../outside.yaml", &link).unwrap();
    let settings = InputSettings { root: Some(root.clone()), ..InputSettings::default() };
    let screening = Screening::new(&Inputs::open(&settings).unwrap(), None);
    let mut value = request("req-linked-001");
    value["training_config_ref"] = json!("link.yaml");
    let judged = |batch: &mut BatchScreening<'_>| batch.judge("t", value.to_string().as_bytes()).0;
    let mut batch = screening.of_batch();
    let refused = judged(&mut batch).unwrap_err();
    assert_eq!((refused.code, refused.pointer.as_str()), (FailureCode::RefNotAllowed, "/training_config_ref"));
    assert_eq!(refused.ids.request_id.as_deref(), Some("req-linked-001"));
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "").unwrap();
    judged(&mut screening.of_batch()).unwrap();
}

#[tokio::test]
async fn submit_signs_and_prints_what_the_policy_decides() {
    let mut world = World::new().await;
    let key = &keys()[0];
    let at = |name: &str| world.folder.path().join(name);
    write_private(&at("key.pem"), ED25519);
    std::fs::write(at("key.pub"), key.public().to_pem()).unwrap();
    std::fs::write(at("request.json"), request("req-submit-001").to_string()).unwrap();
    let text = "schema_version: platform.requester_policy.v0\nprincipals:\n- names: [tests]\n  keys: [{file: key.pub}]\n  \
                may: [{intents: [baseline_train], scopes: [test], publish: true, inputs: ['*'], training_profiles: ['*'], governance_profiles: ['*']}]\n";
    let policy = at("policy.yaml");
    std::fs::write(&policy, text).unwrap();
    world.config.authority.policy = Some(policy);
    let dry = |more: &[&str]| {
        let arguments = [&["submit", "request.json", "--dry-run", "--output", "json"], more].concat();
        let output = world.command(&arguments).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.success(), said)
    };
    let (good, unsigned) = dry(&[]);
    assert!(!good && unsigned["code"] == "SIGNATURE_INVALID", "{unsigned}");
    let (good, signed) = dry(&["--sign-with", "key.pem"]);
    assert!(good && signed["run_id"].as_str().unwrap().starts_with("tr_"), "{signed}");
    world.stdout(&["submit", "request.json", "--sign-with", "key.pem"]);
    assert_eq!(admitted(&world.admit(1).await), 1);
    let mut other = request("req-submit-002");
    other["target_scope"]["environment"] = json!("production");
    std::fs::write(world.folder.path().join("request.json"), other.to_string()).unwrap();
    let (good, refused) = dry(&["--sign-with", "key.pem"]);
    assert!(!good && refused["code"] == "REQUESTER_NOT_ALLOWED" && refused["pointer"] == "/target_scope", "{refused}");
}

#[tokio::test]
async fn no_process_starts_under_a_policy_that_cannot_be_used_and_it_names_every_error() {
    let mut world = World::new().await;
    let policy = world.folder.path().join("policy.yaml");
    let text = "schema_version: platform.requester_policy.v0\nprincipals:\n- {names: [a], keys: [{file: gone.pub}]}\n\
                - {names: [a], commands: [cancel]}\n";
    std::fs::write(&policy, text).unwrap();
    world.config.authority.policy = Some(policy);
    std::fs::write(world.folder.path().join("request.json"), request("req-start-0001").to_string()).unwrap();
    for arguments in [&["worker", "--from", "earliest"][..], &["submit", "request.json", "--dry-run"]] {
        let output = world.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} did something");
        for pointer in ["/principals/0/keys/0", "/principals/1/commands", "/principals/1/names/0"] {
            assert!(said.contains(pointer), "{arguments:?}: {pointer} is not in {said}");
        }
    }
}
