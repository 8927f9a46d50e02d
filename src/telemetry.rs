//! Logs by `tracing`: for people or as JSON, to standard error. Colours only on a terminal, and not with
//! `NO_COLOR`.

use crate::config::{LogFormat, WorkerSettings};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. A filter that does not parse is an error with its text.
pub fn start(settings: &WorkerSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| anyhow::anyhow!("worker.log = {:?} is not a filter: {error}", settings.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(console::colors_enabled_stderr());
    let started = match settings.log_format {
        LogFormat::Pretty => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
