//! Builds the adapters, spawns the loops, supervises their end.

use crate::config::{Config, TrainerSettings};
use crate::evidence::EvidenceStore;
use crate::faults::reach;
use crate::intake::{Door, Intake};
use crate::kafka::{Inbox, Topics};
use crate::ledger::{ConfirmedBy, Ledger};
use crate::ops;
use crate::registry::RegistryListener;
use crate::relay::Relay;
use crate::runner::{Ceiling, Heart, ProgressRate, Runner};
use crate::trainer::{self, Enforcement, TrainerCommand};
use anyhow::{Context, bail};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
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

/// Runs a worker until `shutdown` turns true, then drains it: leases are given back, offsets of what
/// was admitted are committed. A loop that ends by itself ends the worker with an error.
pub async fn worker(config: Config, roles: BTreeSet<Role>, shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    if let Some(fault) = config.fault.clone() {
        crate::faults::arm(fault).map_err(anyhow::Error::msg)?;
    }
    let name = worker_name()?;
    let boundaries = config.ownership_boundaries()?;
    let policy = config.policy()?;
    let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
    let ledger = ledger.publishing(&config.publish);
    let topics = &config.kafka.topics;
    let listens = config.publish.confirm == ConfirmedBy::Registry;
    let needed = if listens { topics.with_registry().to_vec() } else { topics.all().to_vec() };
    ledger.check_schema().await.context("the database is not ready; run `model-factory migrate` first")?;
    Topics::check(&config.kafka, &needed).await.context("Kafka is not ready")?;

    let (stop, stopped) = watch::channel(false);
    let mut loops: JoinSet<(&'static str, anyhow::Result<()>)> = JoinSet::new();
    if roles.contains(&Role::Intake) {
        let inbox = Inbox::subscribe(&config.kafka).await?;
        let inputs = crate::dataset::Inputs::open(&config.inputs)?;
        if let Some(policy) = &policy {
            info!(digest = %policy.digest(), names = policy.names(), "requests are judged by a policy");
        } else {
            info!("everybody may ask for everything ([authority] policy is not set)");
        }
        let intake = Intake::new(inbox, ledger.clone(), Door::new(&inputs, policy), name.clone());
        let stopped = stopped.clone();
        loops.spawn(async move { ("intake", intake.run(stopped).await.map_err(Into::into)) });
    }
    if roles.contains(&Role::Runner) {
        let runner = Arc::new(runner(&config, ledger.clone(), name.clone()).await?);
        for _ in 0..config.worker.slots.max(1) {
            let (runner, stopped) = (Arc::clone(&runner), stopped.clone());
            loops.spawn(async move {
                runner.run(stopped).await;
                ("runner", Ok(()))
            });
        }
    }
    if roles.contains(&Role::Relay) {
        let relay = Relay::new(&config.kafka, ledger.clone(), boundaries, name.clone())?;
        let stopped = stopped.clone();
        loops.spawn(async move { ("relay", relay.run(stopped).await.map_err(Into::into)) });
    }
    if roles.contains(&Role::Relay) && listens {
        let inbox = Inbox::subscribe_to_registry(&config.kafka).await?;
        let listener = RegistryListener::new(inbox, ledger.clone(), name.clone());
        let stopped = stopped.clone();
        loops.spawn(async move { ("registry", listener.run(stopped).await.map_err(Into::into)) });
    }
    let health = ops::Health::new(ledger.clone());
    let http = ops::serve(config.worker.http, health, stopped.clone()).await?;
    info!(worker = %name, http = %http.address(), ?roles, "working");

    let ended = supervise(loops, stop, shutdown).await;
    reach("shutdown.drained")?;
    http.ended().await;
    ledger.close().await;
    info!("stopped");
    ended
}

/// A runner by the configuration: opens the store, proves that it is write-once, opens the inputs.
pub async fn runner(config: &Config, ledger: Ledger, worker: String) -> anyhow::Result<Runner> {
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
    Ok(Runner {
        heart: Heart::start(&ledger, worker.clone()).context("cannot start the heartbeats")?,
        ledger,
        store,
        inputs: crate::dataset::Inputs::open(&config.inputs)?,
        boundaries: config.ownership_boundaries()?,
        trainer: TrainerCommand::this_binary()?,
        commands: config.trainer.commands.clone(),
        signing,
        allow_unsigned: config.signing.allow_unsigned,
        scratch: std::path::absolute(&config.trainer.scratch)?,
        threads,
        ceiling: Ceiling {
            wall_seconds: config.trainer.max_wall_seconds,
            memory_mib: config.trainer.max_memory_mib.min(trainer::memory_at_hand_mib().unwrap_or(u32::MAX)),
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
    match trainer::enforcement() {
        _ if settings.commands.is_empty() => {}
        Enforcement::Full => {}
        Enforcement::Files => {
            warn!("this kernel confines trainer commands to their files, but not what they signal or connect to");
        }
        Enforcement::Nothing if settings.allow_unconfined => {
            warn!("this kernel cannot confine trainer commands: one that looks for the test labels finds them");
        }
        Enforcement::Nothing => bail!(
            "this kernel has no Landlock, so trainer commands could read the test labels and write anywhere; \
             [trainer] allow_unconfined = true runs them all the same"
        ),
    }
    Ok(())
}

/// Waits for the first of: a word from outside, or a loop that ended. Then stops the others and waits
/// for them.
async fn supervise(
    mut loops: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: watch::Sender<bool>,
    mut shutdown: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut first_fault = None;
    let mut stopping = false;
    loop {
        let ended = tokio::select! {
            ended = loops.join_next() => ended,
            _ = shutdown.wait_for(|stop| *stop), if !stopping => {
                info!("draining");
                stopping = true;
                stop.send_replace(true);
                if let Err(injected) = reach("shutdown.begun") {
                    first_fault.get_or_insert(injected.into());
                }
                continue;
            }
        };
        let fault = match ended {
            None => break,
            Some(Ok((_, Ok(())))) if stopping => None,
            Some(Ok((name, Ok(())))) => Some(anyhow::anyhow!("the {name} loop ended by itself")),
            Some(Ok((name, Err(fault)))) => Some(fault.context(format!("the {name} loop gave up"))),
            Some(Err(panic)) => Some(anyhow::anyhow!("a loop panicked: {panic}")),
        };
        if let Some(fault) = fault {
            error!(%fault, "stopping the worker");
            first_fault.get_or_insert(fault);
            stopping = true;
            stop.send_replace(true);
        }
    }
    match first_fault {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

/// `host-pid-start`: unique among the living and the dead.
pub fn worker_name() -> anyhow::Result<String> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let pid = std::process::id();
    #[expect(clippy::disallowed_methods, reason = "a restarted container has the same host and pid")]
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let name = format!("{host}-{pid}-{started}");
    if name.len() > 200 {
        bail!("the host name is too long for a worker's name");
    }
    Ok(name)
}
