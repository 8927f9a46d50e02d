//! A world with its three loops, every record that came on its topics, and the means to plant faults in ledger and
//! store.

use crate::support::{ForeignRecord, World, confirmed_by_registry, ledger_on, request, send_foreign, turn};
use model_factory::adapters::kafka::{Inbound, KafkaSettings};
use model_factory::domain::contract::{OwnershipBoundaries, RunLifecycleEvent, SchemaName, check};
use model_factory::domain::identity::{Digest, RunId};
use model_factory::domain::run::Outcome;
use model_factory::worker::intake::{Intake, IntakeOutcome};
use model_factory::worker::relay::{Relay, RelayError};
use model_factory::worker::runner::{Runner, RunnerOutcome};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// The key under which `World::send` sends.
pub const KEY: &[u8] = b"k";

/// A record that was sent, with its outcome.
pub struct Brought {
    pub bytes: Vec<u8>,
    pub offset: i64,
    pub outcome: Outcome,
}

impl Brought {
    /// The run that the record made or joined.
    pub fn run_id(&self) -> RunId {
        match &self.outcome {
            Outcome::Admitted { run_id } | Outcome::DuplicateRequest { run_id } | Outcome::DuplicateRun { run_id } => {
                run_id.clone()
            }
            other => panic!("no run: {other:?}"),
        }
    }
}

/// The world of a family of rows.
pub struct Stage {
    pub world: World,
    pub runner: Arc<Runner>,
    pub lifecycle: Vec<Inbound>,
    pub publications: Vec<Inbound>,
    pub dead_letters: Vec<Inbound>,
    intake: Intake,
    relay: Relay,
    sql: PgConnection,
    sent: i64,
}

/// A good request with a meaning of its own, quick to train, that does not allow publication.
pub fn ask(id: &str) -> Value {
    let mut value = request(id);
    value["config_revision"] = json!(id);
    value["training_config_ref"] = json!(super::inputs::quick());
    value["publish_allowed"] = json!(false);
    value
}

/// [`ask`] with one field changed.
pub fn ask_with(id: &str, field: &str, value: Value) -> Vec<u8> {
    let mut request = ask(id);
    request[field] = value;
    bytes(&request)
}

pub fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A command of this kind (`cancel`, `publish_retry`) for a run.
pub fn command(kind: &str, id: &str, run_id: &str) -> Vec<u8> {
    bytes(&json!({
        "schema_version": format!("learning.mf_{kind}.v0"),
        "request_id": id,
        "run_id": run_id,
        "requester_principal": "tests",
        "reason": "a test",
    }))
}

impl Stage {
    pub async fn new() -> Self {
        let mut world = World::new().await;
        world.config.authority.policy = Some(super::policy::policy(world.folder.path()));
        world.ledger = ledger_on(&world.config.ledger.url, |settings| {
            // Heartbeats every two seconds, so that a cancel is soon seen.
            settings.lease_seconds = 6;
            settings.max_publish_attempts = 3;
        })
        .await;
        let intake = world.intake().await;
        let runner = Arc::new(world.runner("runner-1", 2).await);
        let sql = PgConnection::connect(&world.config.ledger.url).await.unwrap();
        Self {
            relay: world.relay("relay"),
            world,
            runner,
            lifecycle: Vec::new(),
            publications: Vec::new(),
            dead_letters: Vec::new(),
            intake,
            sql,
            sent: 0,
        }
    }

    /// Sends a record and drives intake until it has its outcome.
    pub async fn bring(&mut self, value: &[u8]) -> Brought {
        self.world.send(&[value.to_vec()]).await;
        self.brought(value.to_vec()).await
    }

    /// Brings a good request with a header whose name is not UTF-8.
    pub async fn bring_with_foreign_header(&mut self, value: Vec<u8>) -> Brought {
        let kafka = &self.world.config.kafka;
        let headers = vec![(b"\xff".to_vec(), Some(b"1".to_vec()))];
        let record = ForeignRecord { key: Some(KEY.to_vec()), value: Some(value.clone()), headers };
        send_foreign(&kafka.brokers, &kafka.topics.requests, &[record]).await;
        self.brought(value).await
    }

    /// Drives intake until the record that was just sent has its outcome.
    async fn brought(&mut self, bytes: Vec<u8>) -> Brought {
        let offset = self.sent;
        self.sent += 1;
        for _ in 0..120 {
            if let IntakeOutcome::Admitted(mut outcomes) = self.intake.admit_once().await.unwrap() {
                assert_eq!(outcomes.len(), 1, "records are brought one by one");
                return Brought { bytes, offset, outcome: outcomes.remove(0) };
            }
        }
        panic!("the record at offset {offset} never came");
    }

    /// One turn of the runner.
    pub async fn work(&self) -> RunnerOutcome {
        work(&self.runner).await
    }

    /// Brings a record and runs its run once.
    pub async fn bring_and_work(&mut self, value: &[u8]) -> Brought {
        let brought = self.bring(value).await;
        let outcome = self.work().await;
        assert!(
            matches!(&outcome, RunnerOutcome::Settled { run_id, .. } if *run_id == brought.run_id()),
            "{outcome:?}"
        );
        brought
    }

    /// A new runner with the configuration as it is now.
    pub async fn restart_runner(&mut self) {
        self.runner = Arc::new(self.world.runner("runner-1", 2).await);
    }

    /// Sends the whole outbox and reads every sent record.
    pub async fn relay(&mut self) {
        let sent = self.relay.drain().await.unwrap();
        let [lifecycle, publications, dead_letters] = self.world.received(sent).await;
        self.lifecycle.extend(lifecycle);
        self.publications.extend(publications);
        self.dead_letters.extend(dead_letters);
    }

    /// Sends the outbox to an address without a broker, until the client library gives up.
    pub async fn relay_cut_off(&mut self) {
        let nowhere = KafkaSettings { brokers: "127.0.0.1:1".to_owned(), ..self.world.config.kafka.clone() };
        let boundaries = OwnershipBoundaries::shipped();
        let cut_off = Relay::new(&nowhere, self.world.ledger.clone(), boundaries, "cut-off".to_owned()).unwrap();
        std::mem::replace(&mut self.relay, cut_off).close().await;
        let sent = self.relay.relay_once().await;
        assert!(matches!(sent, Err(RelayError::Kafka(_))), "{sent:?}");
        std::mem::replace(&mut self.relay, self.world.relay("relay")).close().await;
    }

    /// Sends the outbox as a worker whose publications wait so long for the registry. Takes the publications out of
    /// what was read, and returns them.
    pub async fn relay_to_registry(&mut self, patience_seconds: u32) -> Vec<Inbound> {
        let ledger = self.world.ledger.clone().publishing(&confirmed_by_registry(patience_seconds));
        let boundaries = OwnershipBoundaries::shipped();
        let asking = Relay::new(&self.world.config.kafka, ledger, boundaries, "asking".to_owned()).unwrap();
        std::mem::replace(&mut self.relay, asking).close().await;
        self.relay().await;
        std::mem::replace(&mut self.relay, self.world.relay("relay")).close().await;
        std::mem::take(&mut self.publications)
    }

    /// The events that `concerns` picks, in the order of the topic; each must fit its schema.
    pub fn events(&self, concerns: impl Fn(&RunLifecycleEvent) -> bool) -> Vec<RunLifecycleEvent> {
        let read = |record: &Inbound| -> RunLifecycleEvent {
            let value: Value = serde_json::from_slice(&record.value).unwrap();
            check(SchemaName::RunLifecycle, &value).unwrap();
            serde_json::from_value(value).unwrap()
        };
        self.lifecycle.iter().map(read).filter(concerns).collect()
    }

    /// Changes rows by hand; returns how many.
    pub async fn sql(&mut self, statement: &str) -> u64 {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut self.sql).await.unwrap().rows_affected()
    }

    /// Changes one run's row by hand.
    pub async fn set(&mut self, run_id: &RunId, columns: &str) {
        assert_eq!(self.sql(&format!("UPDATE runs SET {columns} WHERE run_id = '{run_id}'")).await, 1);
    }

    /// Ends the pause before a run's next attempt.
    pub async fn due(&mut self, run_id: &RunId) {
        self.set(run_id, "available_at = now()").await;
    }

    /// Whether the last write of a run's row set a pause before the next attempt.
    pub async fn waits(&mut self, run_id: &RunId) -> bool {
        let statement = format!("SELECT available_at > updated_at FROM runs WHERE run_id = '{run_id}'");
        sqlx::query(AssertSqlSafe(statement)).fetch_one(&mut self.sql).await.unwrap().get(0)
    }

    /// The outcome in the inbox of the record at this offset.
    pub async fn recorded(&mut self, offset: i64) -> Value {
        let statement = r#"SELECT outcome FROM inbox WHERE partition = 0 AND "offset" = $1"#;
        sqlx::query(statement).bind(offset).fetch_one(&mut self.sql).await.unwrap().get(0)
    }

    /// The path of a run's document in the evidence store.
    pub fn evidence(&self, run_id: &RunId, document: &str) -> PathBuf {
        let platform_run = &crate::support::data().inputs.platform_run_id;
        let root = self.world.folder.path().join("evidence").join(platform_run).join("mf");
        root.join("train_runs").join(run_id.as_str()).join(document)
    }

    /// Puts foreign bytes where a document of a run belongs.
    pub fn plant(&self, run_id: &RunId, document: &str) {
        let path = self.evidence(run_id, document);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "not what this run writes").unwrap();
    }

    /// Changes a document in the store and its digest in the ledger; returns the new digest.
    pub async fn forge(
        &mut self,
        run_id: &RunId,
        role: &str,
        document: &str,
        change: impl FnOnce(&mut Value),
    ) -> Digest {
        let path = self.evidence(run_id, document);
        let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        let forged = bytes(&value);
        std::fs::write(&path, &forged).unwrap();
        let digest = Digest::of(&forged);
        self.set(run_id, &format!("refs = jsonb_set(refs, '{{{role},sha256}}', '\"{digest}\"')")).await;
        digest
    }

    /// A run at PASS whose requests do not allow publication.
    pub async fn passed(&mut self, id: &str) -> Brought {
        let brought = self.bring_and_work(&bytes(&ask(id))).await;
        let run = self.world.ledger.run(&brought.run_id()).await.unwrap().unwrap();
        assert_eq!(run.state, model_factory::domain::run::State::Pass, "{id}: {:?}", run.reason_message);
        brought
    }

    /// A second request of the same meaning allows publication; then the runner takes one turn.
    pub async fn permit_and_work(&mut self, id: &str) {
        let mut later = ask(id);
        later["request_id"] = json!(format!("{id}-permitted"));
        later["publish_allowed"] = json!(true);
        let joined = self.bring(&bytes(&later)).await;
        assert!(matches!(joined.outcome, Outcome::DuplicateRun { .. }), "{:?}", joined.outcome);
        let outcome = self.work().await;
        assert!(matches!(&outcome, RunnerOutcome::Settled { run_id, .. } if *run_id == joined.run_id()), "{outcome:?}");
    }

    /// A worker claims a run and dies: its lease expires at once.
    pub async fn claim_and_die(&mut self) {
        let lease = self.world.ledger.claim("lost").await.unwrap().expect("a run that waits");
        self.set(&lease.run_id, "lease_expires_at = now() - interval '1 second'").await;
    }

    pub async fn close(self) {
        self.intake.close().await;
        self.relay.close().await;
    }
}

/// One turn of a runner.
pub async fn work(runner: &Runner) -> RunnerOutcome {
    let (_stop, shutdown) = watch::channel(false);
    turn(runner, &shutdown).await
}
