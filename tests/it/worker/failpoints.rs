//! At every failpoint the process dies, an error comes back, or the database connections break. Then a fresh worker
//! drains, and the guarantees hold.

use crate::checker::{History, check, collect, drained};
use crate::support::{
    BOUND, WorkerCommand, World, confirm_publications, eventually, publications_count_as_handed_over, request,
};
use futures::StreamExt as _;
use model_factory::adapters::ledger::{Ledger, LedgerSettings};
use model_factory::domain::run::State;
use model_factory::failpoints::POINTS;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::future::ready;
use std::io::Write as _;

const ACTIONS: [&str; 3] = ["kill", "error", "cut"];
/// Scenarios at once; they mostly wait for leases and sessions to expire.
const AT_ONCE: usize = 6;

/// How a worker is brought to a failpoint.
struct Scenario {
    /// The beginning of the names of its failpoints.
    points: &'static str,
    /// Whether a registry confirms publications. Without one the worker emits lineage, so that the relay's loop is met
    /// with and without lineage.
    registry: bool,
    training: Option<&'static str>,
    before: Before,
    /// Roles of the worker with the failpoint.
    roles: Option<&'static str>,
    settings: &'static [(&'static str, &'static str)],
    /// Whether SIGTERM brings the worker there.
    terminated: bool,
}

/// What happens before the worker with the failpoint starts.
enum Before {
    Nothing,
    /// A run passes, and its request does not allow publication; a second one allows it later.
    RunWithoutPermission,
    /// A worker that is gone holds a lease.
    LostLease,
    /// A broker does not acknowledge publications.
    HandedOver,
}

const USUAL: Scenario = Scenario {
    points: "",
    registry: false,
    training: None,
    before: Before::Nothing,
    roles: None,
    settings: &[],
    terminated: false,
};

/// The first that fits a failpoint is its scenario.
static SCENARIOS: [Scenario; 8] = [
    Scenario { points: "answer", registry: true, ..USUAL },
    Scenario { points: "registry", registry: true, ..USUAL },
    // A fit that outlasts heartbeats.
    Scenario { points: "heartbeat", training: Some("profiles/steady_training.yaml"), ..USUAL },
    Scenario { points: "publish_again", before: Before::RunWithoutPermission, ..USUAL },
    Scenario { points: "rescue", before: Before::LostLease, ..USUAL },
    // Publications count as handed over and nobody relays, so one waits for longer than it may.
    Scenario {
        points: "withdraw",
        before: Before::HandedOver,
        roles: Some("intake,runner"),
        settings: &[("LEDGER__PUBLISH_PATIENCE_SECONDS", "1")],
        ..USUAL
    },
    Scenario { points: "shutdown", terminated: true, ..USUAL },
    USUAL,
];

fn scenario_of(point: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| point.starts_with(scenario.points)).unwrap()
}

impl Scenario {
    /// A new run, the same record again, the same meaning under another id, a conflict, and no request at all.
    fn records(&self) -> Vec<Vec<u8>> {
        let request = |id: &str| {
            let mut request = request(id);
            if let Some(training) = self.training {
                request["training_config_ref"] = json!(training);
            }
            request
        };
        let mut renamed = request("req-fault-0002");
        renamed["requester_principal"] = json!("somebody else");
        let mut conflict = request("req-fault-0001");
        conflict["config_revision"] = json!("other");
        let records: [Value; 4] = [request("req-fault-0001"), request("req-fault-0001"), renamed, conflict];
        let mut bytes: Vec<Vec<u8>> = records.iter().map(|value| value.to_string().into_bytes()).collect();
        bytes.push(b"not a request".to_vec());
        bytes
    }

    fn worker(&self, world: &World, name: &str) -> WorkerCommand {
        let worker = world.worker(name).set("LEDGER__LEASE_SECONDS", "2");
        // A member that was killed leaves its group when its session expires.
        let worker = worker.set("KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000");
        if self.registry { worker.set("PUBLISH__CONFIRM", "registry") } else { worker }
    }

    /// Sends the records, with what belongs before them; returns how many records there are in all.
    async fn prepare(&self, world: &World) -> usize {
        let mut records = self.records();
        let mut earlier = 0;
        if matches!(self.before, Before::RunWithoutPermission) {
            world.send(&[permission("req-later-0001", false)]).await;
            let mut worker = self.worker(world, "before").start();
            until(world, "the run that waits for permission", |open, inbox, _| open == 0 && inbox == 1).await;
            worker.signal(Signal::SIGTERM);
            worker.exit().await;
            earlier = 1;
            records.push(permission("req-later-0002", true));
        }
        if matches!(self.before, Before::HandedOver) {
            publications_count_as_handed_over(&world.config.ledger.url).await;
        }
        world.send(&records).await;
        if matches!(self.before, Before::LostLease) {
            world.admit(records.len()).await;
            let settings = LedgerSettings { lease_seconds: 1, ..world.config.ledger.clone() };
            Ledger::connect(&settings).await.unwrap().claim("lost").await.unwrap().unwrap();
        }
        records.len() + earlier
    }

    /// Runs a worker into the failpoint and a fresh worker behind it; returns what both left.
    async fn run(&self, point: &str, action: &str) -> History {
        let mut world = World::new().await;
        world.config.lineage.enabled = !self.registry;
        let _registry = if self.registry { Some(confirm_publications(&world.config.kafka).await) } else { None };
        let records = self.prepare(&world).await as i64;

        let mark = world.folder.path().join("mark");
        let mut command = self.worker(&world, &format!("{point}-{action}")).set_all(self.settings);
        if let Some(roles) = self.roles {
            command = command.roles(roles);
        }
        let mut worker = command.failpoint(point, action, &mark).start();
        if self.terminated {
            until(&world, "work", |_, inbox, _| inbox > 0).await;
            worker.signal(Signal::SIGTERM);
        }
        eventually(point, BOUND, || ready(mark.exists().then_some(()))).await;
        if action != "kill" {
            worker.signal(Signal::SIGTERM);
        }
        worker.exit().await;

        let mut fresh = self.worker(&world, &format!("{point}-{action}-fresh")).start();
        until(&world, "the fresh worker", |open, inbox, unsent| open == 0 && inbox == records && unsent == 0).await;
        eventually("the receipt of every publication", BOUND, || async {
            let published = world.ledger.runs(Some(State::Published), 100).await.ok()?;
            published.iter().all(|run| run.refs.contains_key("publish_receipt")).then_some(())
        })
        .await;
        // Where nothing was left to do it may still be starting, and would die of SIGTERM.
        fresh.responds("/livez", 200).await;
        fresh.stop().await;
        collect(&world).await
    }
}

/// The same meaning without and with permission to publish.
fn permission(id: &str, publish_allowed: bool) -> Vec<u8> {
    let mut value = request(id);
    value["config_revision"] = json!("later");
    value["publish_allowed"] = json!(publish_allowed);
    value.to_string().into_bytes()
}

/// Waits for a number of open runs, of decided records, and of events that are not sent.
async fn until(world: &World, what: &str, holds: impl Fn(i64, i64, i64) -> bool) {
    eventually(what, BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        let open = ["QUEUED", "RUNNING", "EVAL_READY", "PUBLISH_PENDING"].map(|state| counts.runs[state]);
        holds(open.iter().sum(), counts.inbox, counts.outbox_unsent).then_some(())
    })
    .await;
}

/// Every action at each of these failpoints.
async fn after_every_action_at(points: &[&'static str], whose: &str) {
    let cases: Vec<(&str, &str)> = points.iter().flat_map(|point| ACTIONS.map(|action| (*point, action))).collect();
    let total = cases.len();
    let ran = futures::stream::iter(cases)
        .map(|(point, action)| async move {
            let scenario = scenario_of(point);
            let history = scenario.run(point, action).await;
            assert!(drained(&history), "{point} {action}: not drained");
            let published = history.runs.iter().filter(|run| run.state == "PUBLISHED").count();
            assert_eq!(published, history.runs.len(), "{point} {action}: {:?}", history.runs);
            assert_eq!(history.lineage.is_empty(), scenario.registry, "{point} {action}: lineage events");
            let violations = check(&history);
            assert!(violations.is_empty(), "{point} {action}: {violations:#?}");
        })
        .buffer_unordered(AT_ONCE)
        .count()
        .await;
    assert_eq!(ran, total);
    // Past the capture of the test harness: people look for this line.
    let _ = writeln!(
        std::io::stderr(),
        "fault loop: {whose}: {} points, {} actions, {ran} scenarios, no violation",
        points.len(),
        ACTIONS.len()
    );
}

/// The failpoints of scenarios with or without a registry; `MODEL_FACTORY_TEST_POINTS` picks some by their beginnings.
fn points(registry: bool) -> Vec<&'static str> {
    let only = std::env::var("MODEL_FACTORY_TEST_POINTS").ok();
    let wanted = |point: &str| only.as_ref().is_none_or(|only| only.split(',').any(|start| point.starts_with(start)));
    POINTS.iter().copied().filter(|point| scenario_of(point).registry == registry && wanted(point)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_failpoint_a_fresh_worker_finishes_and_the_guarantees_hold() {
    after_every_action_at(&points(false), "a worker").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_failpoint_around_the_registrys_reply_they_hold_as_well() {
    after_every_action_at(&points(true), "a worker that asks for the registry's word").await;
}
