//! `model-factory worker`: consumes requests until a signal stops it.

use crate::config::Config;
use crate::telemetry;
use crate::worker::{self, Role};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// Consume requests, carry runs to their verdict, and send events, until SIGTERM or Ctrl-C.
///
/// The first signal drains: the worker takes no new work, commits the offsets of admitted records, and gives back runs
/// that are not done after `[worker] drain_seconds`. The second signal stops the worker at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  model-factory worker --from earliest
  model-factory worker --roles intake,relay
  MODEL_FACTORY_KAFKA__BROKERS=kafka:9092 model-factory --config worker.toml worker")]
pub(super) struct Args {
    /// Which roles the worker has.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "intake,runner,relay")]
    roles: Vec<Role>,
    /// Where a consumer group starts if it has never committed an offset. Ignored afterwards.
    #[arg(long, value_enum)]
    from: Option<Start>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Start {
    /// At the oldest record that the topic holds.
    Earliest,
    /// At the next new record. The group never reads older records.
    Latest,
}

impl Args {
    pub(super) async fn run(self, mut config: Config) -> anyhow::Result<ExitCode> {
        let name = worker::unique_name()?;
        let worker = &config.worker;
        // Held until the end, because dropping it sends the buffered spans.
        let _telemetry = telemetry::start(worker.log_format, &worker.log, &config.telemetry, &name)?;
        for file in config.loose_files() {
            anyhow::ensure!(!file.refused, "{}: {}", file.key, file.why);
            warn!(key = file.key, "{}", file.why);
        }
        if let Some(start) = self.from {
            config.kafka.from = Some(match start {
                Start::Earliest => crate::adapters::kafka::StartAt::Earliest,
                Start::Latest => crate::adapters::kafka::StartAt::Latest,
            });
        }
        let (stop, stopped) = watch::channel(false);
        let roles: BTreeSet<Role> = self.roles.into_iter().collect();
        let work = worker::run(config, roles, name, stopped, |_| {});
        tokio::pin!(work);
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        loop {
            tokio::select! {
                ended = &mut work => return ended.map(|()| ExitCode::SUCCESS),
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if stop.send_replace(true) {
                info!("stopping at once");
                return Ok(ExitCode::FAILURE);
            }
        }
    }
}
