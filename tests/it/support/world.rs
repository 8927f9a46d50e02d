//! What a worker works on, with topics and a database of the test's own, and its loops to be driven by hand.

use super::{BOUND, as_worker, children_in, data, eventually, fresh_database, ledger_on, own_topics};
use model_factory::adapters::dataset::Inputs;
use model_factory::adapters::kafka::{Follower, Inbound, Inbox, KafkaSettings, Outlet, Record};
use model_factory::adapters::ledger::{Ledger, RunRecord};
use model_factory::config::Config;
use model_factory::domain::contract::{OwnershipBoundaries, RunLifecycleEvent};
use model_factory::domain::run::{Outcome, State};
use model_factory::training::TrainerCommand;
use model_factory::worker::intake::{Intake, IntakeOutcome, Screening};
use model_factory::worker::liveness::{Heartbeat, Watchdog};
use model_factory::worker::maintenance::Maintenance;
use model_factory::worker::relay::Relay;
use model_factory::worker::runner::{Runner, RunnerOutcome};
use serde_json::{Value, json};
use std::future::ready;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::sync::watch;

pub struct World {
    /// `ledger.url` is the database owner's, for statements by hand; loops and processes connect as a worker.
    pub config: Config,
    pub ledger: Ledger,
    pub folder: tempfile::TempDir,
    lifecycle: Follower,
    publications: Follower,
    dead_letters: Follower,
}

/// A good request on the generated data.
pub fn request(request_id: &str) -> Value {
    let inputs = &data().inputs;
    json!({
        "schema_version": "learning.mf_train_build_request.v0",
        "request_id": request_id,
        "intent_kind": "baseline_train",
        "platform_run_id": inputs.platform_run_id,
        "dataset_manifest_refs": [inputs.manifest],
        "training_config_ref": inputs.training_profile,
        "governance_profile_ref": "profiles/easy_gate.yaml",
        "requester_principal": "tests",
        "target_scope": {"environment": "test", "mode": "fraud", "bundle_slot": "primary"},
        "policy_revision": "p1",
        "config_revision": "c1",
        "mf_code_release_id": "git:abc",
        "publish_allowed": true,
    })
}

impl World {
    pub async fn new() -> Self {
        Self::on(fresh_database().await).await
    }

    /// On an empty database of the test's own.
    pub async fn on(database: String) -> Self {
        Self::between(own_topics(1).await, database).await
    }

    /// With topics and an empty database of the test's own.
    pub async fn between(kafka: KafkaSettings, database: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { kafka, ..Config::default() };
        config.ledger.url = database;
        config.ledger.max_connections = 4;
        config.evidence.url = format!("file://{}/evidence", folder.path().display());
        config.inputs.root = Some(data().folder.clone());
        config.trainer.scratch = folder.path().join("scratch");
        config.signing.allow_unsigned = true;
        let ledger = ledger_on(&config.ledger.url, |_| {}).await;
        let topics = &config.kafka.topics;
        let follow = |topic: &str| {
            let (kafka, topic) = (config.kafka.clone(), topic.to_owned());
            // A broker that has just made a topic may not know its leader yet.
            async move {
                let opened = || async { Follower::at_end(&kafka, &topic).await.ok() };
                eventually("the leader of a new topic", Duration::from_secs(30), opened).await
            }
        };
        Self {
            lifecycle: follow(&topics.lifecycle).await,
            publications: follow(&topics.publications).await,
            dead_letters: follow(&topics.dead_letters).await,
            config,
            ledger,
            folder,
        }
    }

    /// The binary with these arguments and this world's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let config = &self.config;
        let topics = &config.kafka.topics;
        std::fs::create_dir_all(&config.trainer.scratch).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_model-factory"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("MODEL_FACTORY_WORKER__HTTP", "127.0.0.1:0")
            .env("MODEL_FACTORY_WORKER__DRAIN_SECONDS", "0")
            .env("MODEL_FACTORY_KAFKA__BROKERS", &config.kafka.brokers)
            .env("MODEL_FACTORY_KAFKA__GROUP_ID", &config.kafka.group_id)
            .env("MODEL_FACTORY_KAFKA__TOPICS__REQUESTS", &topics.requests)
            .env("MODEL_FACTORY_KAFKA__TOPICS__LIFECYCLE", &topics.lifecycle)
            .env("MODEL_FACTORY_KAFKA__TOPICS__PUBLICATIONS", &topics.publications)
            .env("MODEL_FACTORY_KAFKA__TOPICS__DEAD_LETTERS", &topics.dead_letters)
            .env("MODEL_FACTORY_KAFKA__TOPICS__REGISTRY_LIFECYCLE", &topics.registry_lifecycle)
            .env("MODEL_FACTORY_KAFKA__TOPICS__LINEAGE", &topics.lineage)
            .env("MODEL_FACTORY_LINEAGE__ENABLED", config.lineage.enabled.to_string())
            .env("MODEL_FACTORY_LEDGER__URL", as_worker(&config.ledger.url))
            .env("MODEL_FACTORY_LEDGER__LEASE_SECONDS", "3")
            .env("MODEL_FACTORY_EVIDENCE__URL", &config.evidence.url)
            .env("MODEL_FACTORY_INPUTS__ROOT", config.inputs.root.as_ref().unwrap())
            .env("MODEL_FACTORY_TRAINER__SCRATCH", &config.trainer.scratch)
            .env("MODEL_FACTORY_SIGNING__ALLOW_UNSIGNED", "true")
            .stdin(Stdio::null());
        if let Some(policy) = &config.authority.policy {
            command.env("MODEL_FACTORY_AUTHORITY__POLICY", policy);
        }
        command
    }

    /// What the binary prints with these arguments; fails the test if the command fails.
    pub fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub async fn run(&self, request_id: &str) -> RunRecord {
        self.ledger.run_of_request(request_id).await.unwrap().unwrap()
    }

    /// Waits until the run of a request has this state; fails the test if the run fails meanwhile.
    pub async fn reaches(&self, request_id: &str, state: State) -> RunRecord {
        eventually(state.as_str(), BOUND, || async {
            let run = self.ledger.run_of_request(request_id).await.unwrap()?;
            assert_ne!(run.state, State::Fail, "{:?}", run.reason_message);
            (run.state == state).then_some(run)
        })
        .await
    }

    /// Waits until the inbox has an outcome for so many records.
    pub async fn decided(&self, records: usize) {
        eventually(&format!("{records} decisions"), BOUND, || async {
            (self.ledger.counts().await.ok()?.inbox >= records as i64).then_some(())
        })
        .await;
    }

    /// Waits until a worker of this world trains.
    pub async fn trains(&self) {
        let scratch = &self.config.trainer.scratch;
        eventually("a trainer", BOUND, || ready((!children_in(scratch).is_empty()).then_some(()))).await;
    }

    /// Waits until no trainer of this world is left.
    pub async fn trainers_gone(&self) {
        let scratch = &self.config.trainer.scratch;
        eventually("the trainer's end", BOUND, || ready(children_in(scratch).is_empty().then_some(()))).await;
    }

    pub async fn send(&self, values: &[Vec<u8>]) {
        self.send_with(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")], values).await;
    }

    pub async fn send_with(&self, headers: &[(&str, &str)], values: &[Vec<u8>]) {
        let outlet = Outlet::open(&self.config.kafka).unwrap();
        let headers: Vec<(String, Vec<u8>)> =
            headers.iter().map(|&(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
        let topic = &self.config.kafka.topics.requests;
        // All in flight at once; the client library keeps their order.
        let sending =
            values.iter().map(|value| outlet.send(Record { topic, key: Some(b"k"), value, headers: &headers }));
        futures::future::try_join_all(sending).await.unwrap();
    }

    pub async fn intake(&self) -> Intake {
        let inbox = Inbox::subscribe(&self.config.kafka).await.unwrap();
        let screening = Screening::new(&Inputs::open(&self.config.inputs).unwrap(), self.config.policy().unwrap());
        Intake::new(inbox, self.ledger.clone(), screening, "intake-1".to_owned())
    }

    /// Drives intake until so many records have an outcome.
    pub async fn admit(&self, records: usize) -> Vec<Outcome> {
        let mut intake = self.intake().await;
        let mut outcomes = Vec::new();
        for _ in 0..120 {
            if let IntakeOutcome::Admitted(more) = intake.admit_once().await.unwrap() {
                outcomes.extend(more);
            }
            if outcomes.len() >= records {
                break;
            }
        }
        intake.close().await;
        assert_eq!(outcomes.len(), records);
        outcomes
    }

    pub async fn runner(&self, worker: &str, threads: u32) -> Runner {
        let policy = self.config.policy().unwrap();
        let mut runner =
            Runner::open(&self.config, policy.into(), self.ledger.clone(), worker.to_owned(), &unwatched())
                .await
                .unwrap();
        runner.trainer = TrainerCommand::binary(env!("CARGO_BIN_EXE_model-factory").into());
        runner.threads = threads;
        // How many events a run has must not depend on the machine's speed.
        runner.progress_rate.event_every = Duration::from_hours(1);
        runner
    }

    /// Works until nothing is left to claim.
    pub async fn run_until_idle(&self, threads: u32) {
        let runner = self.runner("runner-1", threads).await;
        let (_stop, shutdown) = watch::channel(false);
        while turn(&runner, &shutdown).await != RunnerOutcome::Idle {}
    }

    pub fn relay(&self, name: &str) -> Relay {
        let boundaries = OwnershipBoundaries::shipped();
        Relay::new(&self.config.kafka, self.ledger.clone(), boundaries, name.to_owned()).unwrap()
    }

    /// Sends all that the outbox holds.
    pub async fn drain(&self) -> usize {
        let mut relay = self.relay("relay-1");
        let sent = relay.drain().await.unwrap();
        relay.close().await;
        sent
    }

    /// The next records of lifecycle, publications and dead letters: `sent` in all, as the relay counted them.
    pub async fn received(&self, sent: usize) -> [Vec<Inbound>; 3] {
        let followers = [&self.lifecycle, &self.publications, &self.dead_letters];
        let mut received = [const { Vec::new() }; 3];
        let since = std::time::Instant::now();
        while received.iter().map(Vec::len).sum::<usize>() < sent {
            assert!(since.elapsed() < Duration::from_secs(30), "{sent} records were sent, {received:?} came");
            for (follower, records) in followers.into_iter().zip(&mut received) {
                while let Some(record) = follower.next(Duration::from_millis(20)).await.unwrap() {
                    records.push(record);
                }
            }
        }
        received
    }

    pub async fn events(&self, count: usize) -> Vec<(RunLifecycleEvent, Inbound)> {
        let records = take(&self.lifecycle, count).await;
        records.into_iter().map(|record| (serde_json::from_slice(&record.value).unwrap(), record)).collect()
    }

    /// The next lifecycle event, if one comes within this time.
    pub async fn next_event(&self, patience: Duration) -> Option<Inbound> {
        self.lifecycle.next(patience).await.unwrap()
    }

    pub async fn publications(&self, count: usize) -> Vec<Inbound> {
        take(&self.publications, count).await
    }

    pub async fn dead_letters(&self, count: usize) -> Vec<Inbound> {
        take(&self.dead_letters, count).await
    }
}

/// One scan of maintenance, then one turn of the runner.
pub async fn turn(runner: &Runner, give_back: &watch::Receiver<bool>) -> RunnerOutcome {
    let maintenance = Maintenance::new(runner.ledger.clone(), runner.store.clone(), runner.worker.clone());
    maintenance.scan_once(&Heartbeat::default()).await.unwrap();
    runner.run_once(give_back).await.unwrap()
}

/// A watchdog that never finds a loop late.
pub fn unwatched() -> Watchdog {
    Watchdog::new(Duration::from_hours(1))
}

/// Exactly so many records: fewer within the bound, or one more, fails the test.
async fn take(follower: &Follower, count: usize) -> Vec<Inbound> {
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(follower.next(Duration::from_secs(20)).await.unwrap().expect("a record within the bound"));
    }
    assert!(follower.next(Duration::from_millis(300)).await.unwrap().is_none(), "one record too many");
    records
}
