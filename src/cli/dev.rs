//! `model-factory dev`: keeps the demo's environment running, for trying things by hand.

use super::output::stdout;
use crate::config::Config;
use crate::telemetry;
use crate::tools::dev::Environment;
use crate::worker::{self, Role};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Run a worker with an in-process Kafka broker, a private Postgres and generated data, until Ctrl-C.
///
/// The broker speaks the Kafka protocol on loopback. It keeps at most 5 MiB per partition, and loses everything when
/// this command ends. Evidence stays in the state folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  model-factory dev --state-dir /tmp/mf-dev")]
pub(super) struct Args {
    /// Folder for inputs, evidence and the database.
    #[arg(long, value_name = "DIR", default_value = "target/dev/state")]
    state_dir: PathBuf,
}

impl Args {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let environment = Environment::start(&self.state_dir, |what| print(&format!("… {what}"))).await?;
        let name = worker::unique_name()?;
        let Config { worker, telemetry, .. } = &environment.config;
        let _telemetry = telemetry::start(worker.log_format, &worker.log, telemetry, &name)?;
        let request = environment.folder.join("request.json");
        if let Some(good) = crate::tools::dev::requests::demo_requests(&environment.inputs).into_iter().next() {
            std::fs::write(&request, good.bytes)?;
        }
        let config = environment.config.clone();
        let topics = &config.kafka.topics;
        print(&format!(
            "
broker     {brokers}
database   {database}
evidence   {evidence}
inputs     {inputs}
request    {request}

Try it from another terminal:
  export MODEL_FACTORY_KAFKA__BROKERS={brokers}
  export MODEL_FACTORY_LEDGER__URL={database}
  export MODEL_FACTORY_INPUTS__ROOT={inputs}
  model-factory submit {request} --wait
  model-factory runs list
or with any other client:
  kcat -P -b {brokers} -t {requests} {request}
  kcat -C -b {brokers} -t {lifecycle} -o beginning -f '%h\\n%s\\n'
Ctrl-C ends it.
",
            brokers = config.kafka.brokers,
            database = config.ledger.url,
            evidence = config.evidence.url,
            inputs = environment.folder.join("inputs").display(),
            request = request.display(),
            requests = topics.requests,
            lifecycle = topics.lifecycle,
        ));
        let (stop, stopped) = watch::channel(false);
        let print_address = |address| print(&format!("console    http://{address}/"));
        let work = worker::run(config, Role::all(), name, stopped, print_address);
        tokio::pin!(work);
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            ended = &mut work => return ended.map(|()| ExitCode::SUCCESS),
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.send_replace(true);
        work.await?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(line: &str) {
    // Goes on if standard output is a closed pipe.
    let _ = writeln!(stdout(), "{line}");
}
