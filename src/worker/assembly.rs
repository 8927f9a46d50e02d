//! Checks and opens what the configuration names, and spawns the loops.

use super::drain::Loops;
use super::http::{self, Readiness, Scrapers};
use super::intake::{Intake, Screening};
use super::liveness::Watchdog;
use super::maintenance::{Maintenance, run_gauges};
use super::policy_watch::PolicyWatch;
use super::registry::RegistryListener;
use super::relay::{Relay, RelayProgress};
use super::runner::{ClaimPace, Runner};
use crate::adapters::authority::CurrentPolicy;
use crate::adapters::dataset::Inputs;
use crate::adapters::evidence::EvidenceStore;
use crate::adapters::kafka::{BrokerProbe, Inbox, Lag, Topics};
use crate::adapters::ledger::{ConfirmedBy, Ledger};
use crate::config::Config;
use crate::domain::contract::OwnershipBoundaries;
use crate::telemetry::metrics::{self, MetricsPage, Partition};
use crate::training::ChildrenUsage;
use crate::worker::http::console::Console;
use anyhow::Context as _;
use futures::FutureExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// A worker before it runs: what its loops share, and the loops that have been spawned so far.
pub(super) struct Assembly {
    pub(super) name: String,
    pub(super) ledger: Ledger,
    pub(super) loops: Loops,
    config: Config,
    boundaries: OwnershipBoundaries,
    policy: CurrentPolicy,
    watchdog: Watchdog,
    readiness: Readiness,
    scrapers: Scrapers,
    /// The evidence store that the runner opened. `None` if the worker does not have the role "runner".
    store: Option<EvidenceStore>,
}

impl Assembly {
    /// Reads keys and documents, connects to Postgres and Kafka. Returns an error if one of them cannot be reached, or
    /// lacks a table or topic that the worker needs.
    pub(super) async fn check(config: Config, name: String) -> anyhow::Result<Self> {
        let boundaries = config.ownership_boundaries()?;
        config.kafka.check()?;
        config.kafka.security.warnings().into_iter().for_each(|warning| warn!("{warning}"));
        let policy = CurrentPolicy::from(config.policy()?);
        let ledger = Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")?;
        let ledger = ledger.publishing(&config.publish).emitting_lineage(&config.lineage, config.kafka.max_value_bytes);
        let needed = config.kafka.topics.needed(listens_to_registry(&config), config.lineage.enabled);
        ledger.check_schema().await.context("the database is not ready")?;
        Topics::check(&config.kafka, &needed).await.context("Kafka is not ready")?;
        let watchdog = Watchdog::new(Duration::from_secs(u64::from(config.worker.stall_seconds.get())));
        let mut readiness = Readiness::default();
        readiness.require("database", ledger.clone(), |ledger| async move { ledger.ping().await });
        let broker = BrokerProbe::open(&config.kafka)?;
        readiness.require("broker", broker, |broker| async move { broker.check().await });
        let (loops, scrapers) = (Loops::new(), Scrapers::default());
        Ok(Self { name, ledger, loops, config, boundaries, policy, watchdog, readiness, scrapers, store: None })
    }

    pub(super) async fn spawn_intake(&mut self) -> anyhow::Result<()> {
        let inbox = Inbox::subscribe(&self.config.kafka).await?;
        self.show_lag(inbox.lag());
        let inputs = Inputs::open(&self.config.inputs)?;
        let screening = Screening::new(&inputs, self.policy.clone());
        let intake = Intake::new(inbox, self.ledger.clone(), screening, self.name.clone());
        self.readiness.require("intake", intake.standstill(), |standstill| std::future::ready(standstill.check()));
        let (stopped, heartbeat) = (self.loops.stop(), self.watchdog.of("intake"));
        self.loops.spawn("intake", async move { Ok(intake.run(stopped, heartbeat).await?) });
        Ok(())
    }

    /// Opens the runner. Spawns one loop per slot, one for the scratch folder and one for maintenance.
    pub(super) async fn spawn_runner(&mut self) -> anyhow::Result<()> {
        let runner =
            Runner::open(&self.config, self.policy.clone(), self.ledger.clone(), self.name.clone(), &self.watchdog);
        let runner = runner.await?;
        let identity = self.ledger.identity().await?;
        runner.store.belong_to(&identity).await.context("the evidence store is another ledger's")?;
        let runner = Arc::new(runner);
        self.store = Some(runner.store.clone());
        self.readiness.require("store", runner.store.clone(), |store| async move { store.check().await });
        self.readiness.require("attempts", runner.claims.clone(), ClaimPace::check);
        self.scrapers.add(|| {
            let usage = ChildrenUsage::measure();
            metrics::TRAINER_MEMORY.set((), usage.resident_bytes as f64);
            metrics::TRAINER_CPU.set_total((), usage.cpu_seconds);
        });
        let slots = self.config.worker.slots.max(1);
        metrics::SLOTS.set((), slots.into());
        for slot in 1..=slots {
            let (runner, heartbeat) = (Arc::clone(&runner), self.watchdog.of(format!("runner {slot}")));
            let (stopped, give_back) = (self.loops.stop(), self.loops.give_back());
            self.loops.spawn("runner", async move {
                runner.run(stopped, &give_back, &heartbeat).await;
                Ok(())
            });
        }
        self.loops.spawn("scratch", runner.scratch.clone().keep_clean(self.loops.stop()).map(Ok));
        let maintenance = Maintenance::new(self.ledger.clone(), runner.store.clone(), self.name.clone());
        let (stopped, heartbeat) = (self.loops.stop(), self.watchdog.of("maintenance"));
        self.loops.spawn("maintenance", maintenance.run(stopped, heartbeat).map(Ok));
        Ok(())
    }

    /// Spawns the relay. If `[publish] confirm` is `registry`, also spawns the consumer of the registry's topic.
    pub(super) async fn spawn_relay(&mut self) -> anyhow::Result<()> {
        let relay = Relay::new(&self.config.kafka, self.ledger.clone(), self.boundaries.clone(), self.name.clone())?;
        self.readiness.require("relay", relay.progress(), RelayProgress::check);
        let (stopped, heartbeat) = (self.loops.stop_relay(), self.watchdog.of("relay"));
        self.loops.spawn("relay", async move { Ok(relay.run(stopped, heartbeat).await?) });
        if listens_to_registry(&self.config) {
            let inbox = Inbox::subscribe_to_registry(&self.config.kafka).await?;
            self.show_lag(inbox.lag());
            let listener = RegistryListener::new(inbox, self.ledger.clone(), self.name.clone());
            let (stopped, heartbeat) = (self.loops.stop(), self.watchdog.of("registry"));
            self.loops.spawn("registry", async move { Ok(listener.run(stopped, heartbeat).await?) });
        }
        Ok(())
    }

    /// Says which policy is in force, and spawns the loop that reads its file again.
    pub(super) fn spawn_policy_watch(&mut self) -> anyhow::Result<()> {
        if let Some(policy) = self.policy.now() {
            info!(policy = %policy.digest(), names = policy.names(), "requests are judged by a policy");
            for opening in policy.openings() {
                warn!("the policy leaves open: {opening}");
            }
        } else {
            info!("everybody may ask for everything ([authority] policy is not set)");
        }
        let watch = PolicyWatch::new(self.config.authority.policy.clone(), self.policy.clone())?;
        self.loops.spawn("policy", watch.run(self.loops.stop()).map(Ok));
        Ok(())
    }

    pub(super) fn spawn_gauges(&mut self) -> anyhow::Result<()> {
        let (ledger, stopped) = (self.ledger.for_gauges()?, self.loops.stop_relay());
        self.loops.spawn("gauges", run_gauges(ledger, stopped).map(Ok));
        Ok(())
    }

    pub(super) async fn serve_http(
        &self,
        page: MetricsPage,
        ended: watch::Receiver<bool>,
    ) -> anyhow::Result<http::Server> {
        let health = http::Health {
            readiness: self.readiness.clone(),
            watchdog: self.watchdog.clone(),
            draining: self.loops.stop(),
            scrapers: self.scrapers.clone(),
        };
        // A worker without the role "runner" opens the store itself, so that its console shows evidence of other
        // workers' runs.
        let store = match &self.store {
            Some(store) => Ok(store.clone()),
            None => EvidenceStore::open(&self.config.evidence).map_err(|error| error.to_string()),
        };
        let console = Console::new(&self.ledger, store, health.clone(), self.name.clone())?;
        http::serve(&self.config.worker, page, health, console.router(), ended).await
    }

    /// Makes each scrape of `/metrics` set the consumer's lag, in records, for the partitions that are assigned at that
    /// time.
    fn show_lag(&mut self, lag: Lag) {
        self.scrapers.add_transient(move || {
            for (topic, partition, records) in lag.known() {
                metrics::CONSUMER_LAG.show(Partition { topic, partition }, records as f64);
            }
        });
    }
}

fn listens_to_registry(config: &Config) -> bool {
    config.publish.confirm == ConfirmedBy::Registry
}
