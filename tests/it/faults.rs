//! At every point where a crash would matter: the process dies, an error comes back, the database
//! connections break. Then a fresh worker drains, and the guarantees hold.

use crate::checker::{History, check, collect, drained};
use crate::support::{World, eventually, request, serve};
use futures::StreamExt as _;
use model_factory::domain::run::State;
use model_factory::failpoints::POINTS;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const BOUND: Duration = Duration::from_mins(3);
const ACTIONS: [&str; 3] = ["kill", "error", "cut"];
/// Scenarios at once; they mostly wait for leases and sessions to expire.
const AT_ONCE: usize = 6;

/// A worker process, ended with the test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Worker {
    fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        Self(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
}

/// Says what the workers of a scenario said, if the scenario fails.
struct Logs<'a>(&'a Path, String);

impl Drop for Logs<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for name in ["before", "armed", "fresh"] {
            let log = std::fs::read_to_string(self.0.join(format!("{name}.log"))).unwrap_or_default();
            eprintln!("{}: the {name} worker said:\n{log}", self.1);
        }
    }
}

/// Whether the fault is one of a worker that asks for the registry's word.
fn listens(point: &str) -> bool {
    point.starts_with("answer") || point.starts_with("registry")
}

/// Whether the worker tells lineage as well; one of the two loops is met without.
fn tells(point: &str) -> bool {
    !listens(point)
}

fn command(world: &World, point: &str) -> Command {
    let mut command = world.command(&["worker", "--from", "earliest"]);
    if listens(point) {
        command.env("MODEL_FACTORY_PUBLISH__CONFIRM", "registry");
    }
    command
        .env("MODEL_FACTORY_LEDGER__LEASE_SECONDS", "2")
        // A member that was killed leaves its group when its session expires.
        .env("MODEL_FACTORY_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "6000");
    command
}

/// A new run, the same once more, the same by another name, a conflict, and no request at all.
fn messages(point: &str) -> Vec<Vec<u8>> {
    let request = |id: &str| {
        let mut request = request(id);
        if point.starts_with("heartbeat") {
            request["training_config_ref"] = json!("profiles/steady_training.yaml");
        }
        request
    };
    let mut renamed = request("req-fault-0002");
    renamed["requester_principal"] = json!("somebody else");
    let mut other = request("req-fault-0001");
    other["config_revision"] = json!("other");
    let records: [Value; 4] = [request("req-fault-0001"), request("req-fault-0001"), renamed, other];
    let mut bytes: Vec<Vec<u8>> = records.iter().map(|value| value.to_string().into_bytes()).collect();
    bytes.push(b"not a request".to_vec());
    bytes
}

/// The same meaning without and with permission to publish.
fn permission(id: &str, publish_allowed: bool) -> Vec<u8> {
    let mut value = request(id);
    value["config_revision"] = json!("later");
    value["publish_allowed"] = json!(publish_allowed);
    value.to_string().into_bytes()
}

async fn until(world: &World, what: &str, holds: impl Fn(&str, i64, i64) -> bool) {
    eventually(what, BOUND, || async {
        let counts = world.ledger.counts().await.ok()?;
        let open = ["QUEUED", "RUNNING", "EVAL_READY", "PUBLISH_PENDING"];
        let busy: i64 = open.iter().map(|state| counts.runs[*state]).sum();
        let state = if busy == 0 { "settled" } else { "busy" };
        holds(state, counts.inbox, counts.outbox_unsent).then_some(())
    })
    .await;
}

/// Runs one scenario and returns what it left.
async fn scenario(point: &str, action: &str) -> History {
    let mut world = World::new().await;
    world.config.lineage.enabled = tells(point);
    let _logs = Logs(world.folder.path(), format!("{point} {action}"));
    let mark = world.folder.path().join("mark");
    let _registry = if listens(point) { Some(serve(&world.config.kafka).await) } else { None };
    let log = |name: &str| world.folder.path().join(format!("{name}.log"));
    let mut sent = messages(point);
    if point.starts_with("publish_again") {
        // A run that passed and was not published; the permission comes while the fault is armed.
        world.send(&[permission("req-later-0001", false)]).await;
        let mut worker = Worker::start(command(&world, point), &log("before"));
        until(&world, "the run that waits for permission", |state, inbox, _| state == "settled" && inbox == 1).await;
        worker.terminate();
        eventually("the end of the first worker", BOUND, || std::future::ready(worker.ended().then_some(()))).await;
        sent.push(permission("req-later-0002", true));
    }
    if point.starts_with("rescue") {
        // A lease that nobody holds any more.
        world.send(&sent).await;
        world.admit(sent.len()).await;
        let lost = model_factory::adapters::ledger::LedgerSettings { lease_seconds: 1, ..world.config.ledger.clone() };
        model_factory::adapters::ledger::Ledger::connect(&lost).await.unwrap().claim("lost").await.unwrap().unwrap();
    } else {
        world.send(&sent).await;
    }
    let mut armed = command(&world, point);
    if point.starts_with("withdraw") {
        // Nobody sends, so a publication waits beyond its time.
        armed.args(["--roles", "intake,runner"]).env("MODEL_FACTORY_LEDGER__PUBLISH_PATIENCE_SECONDS", "1");
    }
    armed
        .env("MODEL_FACTORY_FAULT__POINT", point)
        .env("MODEL_FACTORY_FAULT__ACTION", action)
        .env("MODEL_FACTORY_FAULT__MARK", &mark)
        .env("MODEL_FACTORY_FAULT__DATABASE_PORT", port(&world.config.ledger.url));
    let mut worker = Worker::start(armed, &log("armed"));
    if point.starts_with("shutdown") {
        eventually("work", BOUND, || async { (world.ledger.counts().await.ok()?.inbox > 0).then_some(()) }).await;
        worker.terminate();
    }
    eventually(point, BOUND, || std::future::ready(mark.exists().then_some(()))).await;
    if action == "kill" {
        eventually("death", BOUND, || std::future::ready(worker.ended().then_some(()))).await;
    } else {
        worker.terminate();
        eventually("its end", BOUND, || std::future::ready(worker.ended().then_some(()))).await;
    }
    let mut fresh = Worker::start(command(&world, point), &log("fresh"));
    let records = sent.len() as i64 + i64::from(point.starts_with("publish_again"));
    until(&world, "the fresh worker", |state, inbox, unsent| state == "settled" && inbox == records && unsent == 0)
        .await;
    eventually("the receipt of every publication", BOUND, || async {
        let published = world.ledger.runs(Some(State::Published), 100).await.ok()?;
        published.iter().all(|run| run.refs.contains_key("publish_receipt")).then_some(())
    })
    .await;
    // It may have had nothing to do; one that has not begun yet cannot end well.
    let begun = || std::fs::read_to_string(log("fresh")).is_ok_and(|text| text.contains(" working "));
    eventually("its beginning", BOUND, || std::future::ready(begun().then_some(()))).await;
    fresh.terminate();
    eventually("a clean end", BOUND, || std::future::ready(fresh.ended().then_some(()))).await;
    assert!(fresh.0.wait().unwrap().success(), "the fresh worker did not end well");
    collect(&world).await
}

fn port(url: &str) -> String {
    let authority = url.split('@').next_back().unwrap();
    authority.split(':').nth(1).unwrap().split('/').next().unwrap().to_owned()
}

/// Every action at each of these points.
async fn after_every_fault(points: &[&'static str], whose: &str) {
    let cases: Vec<(&str, &str)> = points.iter().flat_map(|point| ACTIONS.map(|action| (*point, action))).collect();
    let total = cases.len();
    let ran = futures::stream::iter(cases)
        .map(|(point, action)| async move {
            let history = scenario(point, action).await;
            assert!(drained(&history), "{point} {action}: not drained");
            let published = history.runs.iter().filter(|run| run.state == "PUBLISHED").count();
            assert_eq!(published, history.runs.len(), "{point} {action}: {:?}", history.runs);
            assert_eq!(history.lineage.is_empty(), !tells(point), "{point} {action}: what OpenLineage was told");
            let violations = check(&history);
            assert!(violations.is_empty(), "{point} {action}: {violations:#?}");
        })
        .buffer_unordered(AT_ONCE)
        .count()
        .await;
    assert_eq!(ran, total);
    // Past the capture of the test harness: people count on this line.
    let _ = writeln!(
        std::io::stderr(),
        "fault loop: {whose}: {} points, {} actions, {ran} scenarios, no violation",
        points.len(),
        ACTIONS.len()
    );
}

/// Every point, or those that `MODEL_FACTORY_TEST_POINTS` names by their beginnings, to look at some of them again.
fn points(listening: bool) -> Vec<&'static str> {
    let only = std::env::var("MODEL_FACTORY_TEST_POINTS").ok();
    let wanted = |point: &str| only.as_ref().is_none_or(|only| only.split(',').any(|start| point.starts_with(start)));
    POINTS.iter().copied().filter(|point| listens(point) == listening && wanted(point)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_fault_a_fresh_worker_finishes_and_the_guarantees_hold() {
    after_every_fault(&points(false), "a worker").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_fault_around_the_registrys_word_they_hold_as_well() {
    after_every_fault(&points(true), "a worker that asks for the registry's word").await;
}
