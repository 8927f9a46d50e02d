//! Builds the adapters, spawns the loops, supervises their end.

pub mod backoff;
pub mod http;
pub mod intake;
pub mod liveness;
pub mod registry;
pub mod relay;
pub mod runner;

mod drain;
mod gauges;

use crate::adapters::evidence::EvidenceStore;
use crate::adapters::kafka::{BrokerProbe, Inbox, Lag, Topics};
use crate::adapters::ledger::{ConfirmedBy, Ledger};
use crate::clock;
use crate::config::{Config, TrainerSettings};
use crate::failpoints::failpoint;
use crate::modelling::lineage::Places;
use crate::telemetry::metrics::{self, Page, Partition};
use crate::training::{self, Enforcement, Footprint, TrainerCommand};
use crate::version;
use crate::worker::http::console::Console;
use crate::worker::intake::{Door, Intake};
use crate::worker::liveness::Watchdog;
use crate::worker::registry::RegistryListener;
use crate::worker::relay::Relay;
use crate::worker::runner::{Ceiling, Heart, ProgressRate, Runner};
use anyhow::{Context, bail};
use clap::ValueEnum;
use drain::{Abandoned, Loops};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// One of the three loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Consumes requests and admits them.
    Intake,
    /// Carries runs to their verdict.
    Runner,
    /// Sends what the outbox holds, and listens to the registry where its word is asked for.
    Relay,
}

impl Role {
    /// All three.
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([Self::Intake, Self::Runner, Self::Relay])
    }
}

/// Runs a worker of this name until `shutdown` turns true, then drains it: no new work, the run in hand finished or given
/// back, offsets of what was admitted committed. A loop that ends by itself ends the worker with an error.
pub async fn worker(
    config: Config,
    roles: BTreeSet<Role>,
    name: String,
    shutdown: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    worker_that_tells(config, roles, name, shutdown, |_| {}).await
}

/// The same; `serving` is told where its console is as soon as it answers.
pub async fn worker_that_tells(
    config: Config,
    roles: BTreeSet<Role>,
    name: String,
    shutdown: watch::Receiver<bool>,
    serving: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    if let Some(error) = config.fault.clone() {
        crate::failpoints::arm(error).map_err(anyhow::Error::msg)?;
    }
    let page = Page::install()?;
    let boundaries = config.ownership_boundaries()?;
    config.kafka.check()?;
    config.kafka.security.warnings().into_iter().for_each(|told| warn!("{told}"));
    let policy = config.policy()?;
    let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
    let ledger = ledger.publishing(&config.publish).telling(&config.lineage, config.kafka.max_value_bytes);
    let topics = &config.kafka.topics;
    let listens = config.publish.confirm == ConfirmedBy::Registry;
    let needed = topics.needed(listens, config.lineage.enabled);
    ledger.check_schema().await.context("the database is not ready")?;
    Topics::check(&config.kafka, &needed).await.context("Kafka is not ready")?;

    let watchdog = Watchdog::new(Duration::from_secs(u64::from(config.worker.stall_seconds.get())));
    let mut at_hand = http::AtHand::default();
    at_hand.need("database", {
        let ledger = ledger.clone();
        move || {
            let ledger = ledger.clone();
            async move { ledger.ping().await.map_err(|error| error.to_string()) }
        }
    });
    at_hand.need("broker", {
        let broker = BrokerProbe::open(&config.kafka)?;
        move || {
            let broker = broker.clone();
            async move { broker.check().await.map_err(|error| error.to_string()) }
        }
    });

    let mut figures = http::Figures::default();
    let mut loops = Loops::new();
    let mut store = None;
    if roles.contains(&Role::Intake) {
        let inbox = Inbox::subscribe(&config.kafka).await?;
        show_lag(&mut figures, inbox.lag());
        let inputs = crate::adapters::dataset::Inputs::open(&config.inputs)?;
        if let Some(policy) = &policy {
            info!(digest = %policy.digest(), names = policy.names(), "requests are judged by a policy");
        } else {
            info!("everybody may ask for everything ([authority] policy is not set)");
        }
        let door = Door::new(&inputs, policy);
        let intake = Intake::new(inbox, ledger.clone(), door, name.clone()).watched(watchdog.of("intake"));
        let stopped = loops.stop();
        loops.spawn("intake", async move { Ok(intake.run(stopped).await?) });
    }
    if roles.contains(&Role::Runner) {
        let runner = Arc::new(runner(&config, ledger.clone(), name.clone(), &watchdog).await?);
        store = Some(runner.store.clone());
        at_hand.need("store", {
            let store = runner.store.clone();
            move || {
                let store = store.clone();
                async move { store.check().await.map_err(|error| error.to_string()) }
            }
        });
        figures.look(measure_trainers);
        let slots = config.worker.slots.max(1);
        metrics::SLOTS.set((), slots.into());
        for slot in 1..=slots {
            let (runner, heartbeat) = (Arc::clone(&runner), watchdog.of(format!("runner {slot}")));
            let (stopped, give_back) = (loops.stop(), loops.give_back());
            loops.spawn("runner", async move {
                runner.run(stopped, &give_back, &heartbeat).await;
                Ok(())
            });
        }
    }
    if roles.contains(&Role::Relay) {
        let relay = Relay::new(&config.kafka, ledger.clone(), boundaries, name.clone())?.watched(watchdog.of("relay"));
        let stopped = loops.stop_relay();
        loops.spawn("relay", async move { Ok(relay.run(stopped).await?) });
    }
    if roles.contains(&Role::Relay) && listens {
        let inbox = Inbox::subscribe_to_registry(&config.kafka).await?;
        show_lag(&mut figures, inbox.lag());
        let listener = RegistryListener::new(inbox, ledger.clone(), name.clone()).watched(watchdog.of("registry"));
        let stopped = loops.stop();
        loops.spawn("registry", async move { Ok(listener.run(stopped).await?) });
    }
    let (gauges, stopped) = (ledger.for_gauges()?, loops.stop_relay());
    loops.spawn("gauges", async move {
        gauges::read(gauges, stopped).await;
        Ok(())
    });
    let (end, ended) = watch::channel(false);
    let health = http::Health { at_hand, watchdog, draining: loops.stop(), figures };
    // A worker that does not run shows what others left.
    let store = store.map_or_else(|| EvidenceStore::open(&config.evidence).map_err(|error| error.to_string()), Ok);
    let console = Console::new(&ledger, store, health.clone(), name.clone())?;
    let http = http::serve(config.worker.http, page, health, console.router(), ended).await?;
    serving(http.address());
    info!(worker = %name, version = version::VERSION, commit = version::COMMIT, http = %http.address(), ?roles, "working");

    let ended = loops.supervise(Duration::from_secs(u64::from(config.worker.drain_seconds)), shutdown).await;
    if ended.as_ref().is_err_and(anyhow::Error::is::<Abandoned>) {
        give_up_leases(&ledger, &name).await;
    }
    failpoint("shutdown.drained")?;
    end.send_replace(true);
    http.ended().await;
    // Abandoned work may still hold connections.
    let _ = tokio::time::timeout(LAST_WORDS, ledger.close()).await;
    info!("stopped");
    ended
}

/// The partitions of a member that it still holds when somebody asks.
fn show_lag(figures: &mut http::Figures, lag: Lag) {
    figures.look_anew(move || {
        for (topic, partition, records) in lag.known() {
            metrics::CONSUMER_LAG.show(Partition { topic, partition }, records as f64);
        }
    });
}

fn measure_trainers() {
    let footprint = Footprint::of_children();
    metrics::TRAINER_MEMORY.set((), footprint.resident_bytes as f64);
    metrics::TRAINER_CPU.reached((), footprint.cpu_seconds);
}

/// How long a worker that has to end all the same may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs whose work did not stop in time go back without costing an attempt; the fence keeps that work from
/// writing anything more. Where even this fails, the leases expire.
async fn give_up_leases(ledger: &Ledger, worker: &str) {
    match tokio::time::timeout(LAST_WORDS, ledger.release_all(worker)).await {
        Ok(Ok(released)) => info!(?released, "gave back what did not stop in time"),
        Ok(Err(error)) => error!(fault = %error, "leases could not be given back; they expire"),
        Err(_) => error!("the ledger did not answer; leases expire"),
    }
}

/// A runner by the configuration: opens the store, proves that it is write-once, opens the inputs.
pub async fn runner(config: &Config, ledger: Ledger, worker: String, watchdog: &Watchdog) -> anyhow::Result<Runner> {
    let store = EvidenceStore::open(&config.evidence)?;
    store.self_test().await.context("the evidence store is not fit ([evidence])")?;
    std::fs::create_dir_all(&config.trainer.scratch)
        .with_context(|| format!("cannot make the scratch folder {}", config.trainer.scratch.display()))?;
    let threads = match config.trainer.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        threads => threads,
    };
    check_commands(&config.trainer)?;
    let signing = config.signing_key()?;
    if let Some(key) = &signing {
        info!(key = %key.public().hint(), "bundles are signed");
    } else {
        warn!("bundles are not signed ([signing] allow_unsigned)");
    }
    let inputs = crate::adapters::dataset::Inputs::open(&config.inputs)?;
    let lineage = config.lineage.enabled.then(|| Places {
        root: inputs.root().map(|root| root.display().to_string()),
        azure_account: config.inputs.azure.account.clone(),
        evidence: store.url().to_owned(),
    });
    Ok(Runner {
        heart: Heart::start(&ledger, worker.clone(), watchdog.of("heartbeats"))
            .context("cannot start the heartbeats")?,
        ledger,
        store,
        inputs,
        lineage,
        boundaries: config.ownership_boundaries()?,
        trainer: TrainerCommand::this_binary()?,
        commands: config.trainer.commands.clone(),
        signing,
        allow_unsigned: config.signing.allow_unsigned,
        scratch: std::path::absolute(&config.trainer.scratch)?,
        threads,
        ceiling: Ceiling {
            wall_seconds: config.trainer.max_wall_seconds,
            memory_mib: config.trainer.memory_mib(),
            cpu_seconds: config.trainer.max_cpu_seconds,
            file_mib: config.trainer.max_file_mib,
            processes: config.trainer.max_processes,
        },
        progress_rate: ProgressRate::default(),
        worker,
    })
}

/// Registered trainer commands are there, and this kernel keeps them in their folder.
fn check_commands(settings: &TrainerSettings) -> anyhow::Result<()> {
    for (name, registration) in &settings.commands {
        registration.check(name).map_err(anyhow::Error::msg)?;
    }
    if settings.commands.is_empty() {
        return Ok(());
    }
    match training::check_confinement(settings.allow_unconfined).map_err(anyhow::Error::msg)? {
        Enforcement::Full => {}
        Enforcement::Files => {
            warn!("this kernel confines trainer commands to their files, but not what they signal or connect to");
        }
        Enforcement::Nothing => {
            warn!("this kernel cannot confine trainer commands: one that looks for the test labels finds them");
        }
    }
    Ok(())
}

/// `host-pid-start`: unique among the living and the dead.
pub fn worker_name() -> anyhow::Result<String> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let pid = std::process::id();
    // A restarted container has the same host and pid.
    let started = clock::since_epoch().as_millis();
    let name = format!("{host}-{pid}-{started}");
    if name.len() > 200 {
        bail!("the host name is too long for a worker's name");
    }
    Ok(name)
}
