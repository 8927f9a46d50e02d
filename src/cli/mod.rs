//! The command line: one file per command.
//!
//! Exit status: 0 done, 1 the work was refused or failed, 2 the command line was not understood.

mod actor;
mod audit_log;
mod bench;
mod config;
mod dead_letters;
mod demo;
mod dev;
mod doctor;
mod generate;
mod measure;
mod migrate;
mod progress;
mod prune;
mod reconcile;
mod report;
mod reproduce;
mod runs;
mod schema;
mod score;
mod submit;
mod table;
mod verify;
mod worker;

use crate::config::Loaded;
use crate::training::{self, ChildStep};
use crate::version;
use clap::{Parser, Subcommand};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turns training requests into trained, evaluated, gated and published fraud-model bundles.
#[derive(Debug, Parser)]
#[command(name = "model-factory", version, long_version = version::long(), max_term_width = 100)]
pub struct Cli {
    /// Configuration file; without it `model-factory.toml` where it exists.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, for example `kafka.brokers=kafka:9092`; wins over file and environment. May be repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Dev(dev::DevArgs),
    Worker(worker::WorkerArgs),
    Submit(submit::SubmitArgs),
    Runs(runs::RunsArgs),
    Report(report::ReportArgs),
    Verify(verify::VerifyArgs),
    Reproduce(reproduce::ReproduceArgs),
    Score(score::ScoreArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Audit(audit_log::AuditArgs),
    Reconcile(reconcile::ReconcileArgs),
    Schema(schema::SchemaArgs),
    Migrate(migrate::MigrateArgs),
    Config(config::ConfigArgs),
    Doctor(doctor::DoctorArgs),
    Prune(prune::PruneArgs),
    Measure(measure::MeasureArgs),
    Bench(bench::BenchArgs),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
    /// A trainer's child process; started by the worker, not by people.
    #[command(hide = true)]
    TrainerChild(ChildArgs),
    /// Writes what a registered trainer command needs; started by the worker.
    #[command(hide = true)]
    TrainerPrepare(ChildArgs),
    /// Runs a registered trainer command and watches it; started by the worker.
    #[command(hide = true)]
    TrainerWatch(ChildArgs),
    /// Measures what a registered trainer command left; started by the worker.
    #[command(hide = true)]
    TrainerMeasure(ChildArgs),
    /// Measures the model of an earlier bundle; started by the worker.
    #[command(hide = true)]
    TrainerRecheck(ChildArgs),
    /// Scores a file with the model of a bundle; started by `score`.
    #[command(hide = true)]
    TrainerScore(ChildArgs),
    /// Confines itself and becomes a registered trainer command; started by the process that watches.
    #[command(hide = true)]
    TrainerExec {
        /// The job directory.
        job_dir: PathBuf,
        /// Control group to join.
        group: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct ChildArgs {
    /// The job directory.
    job_dir: PathBuf,
    /// Process id of the worker.
    worker: i32,
}

impl Cli {
    /// Carries the command out.
    pub fn run(self) -> ExitCode {
        // Before anything is read: these know nothing but their job.
        if let Command::TrainerExec { job_dir, group } = &self.command {
            return training::exec_command(job_dir, group.as_deref());
        }
        if let Some((step, ChildArgs { job_dir, worker })) = self.child() {
            return crate::training::child::main(step, job_dir, *worker);
        }
        match self.dispatch() {
            Ok(code) => code,
            // Whoever read the output has seen enough of it, as `head` has.
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn child(&self) -> Option<(ChildStep, &ChildArgs)> {
        match &self.command {
            Command::TrainerChild(args) => Some((ChildStep::Train, args)),
            Command::TrainerPrepare(args) => Some((ChildStep::Prepare, args)),
            Command::TrainerWatch(args) => Some((ChildStep::Command, args)),
            Command::TrainerMeasure(args) => Some((ChildStep::Measure, args)),
            Command::TrainerRecheck(args) => Some((ChildStep::Recheck, args)),
            Command::TrainerScore(args) => Some((ChildStep::Score, args)),
            _ => None,
        }
    }

    fn dispatch(self) -> anyhow::Result<ExitCode> {
        let loaded = || Loaded::read(self.config.as_deref(), &self.set).map_err(anyhow::Error::from);
        let config = || loaded().map(|loaded| loaded.config);
        match self.command {
            Command::Config(args) => args.run(&loaded()?),
            Command::Doctor(args) => {
                let runtime = runtime()?;
                let ended = runtime.block_on(args.run(config()?));
                // A check that hangs has been told; it must not hold up the end.
                runtime.shutdown_background();
                ended
            }
            Command::Completions(args) => args.run(),
            Command::Man(args) => args.run(),
            Command::Demo(args) => runtime()?.block_on(args.run()),
            Command::Dev(args) => runtime()?.block_on(args.run()),
            Command::Worker(args) => {
                let runtime = runtime()?;
                let ended = runtime.block_on(args.run(config()?));
                // What was abandoned must not hold up the end.
                runtime.shutdown_background();
                ended
            }
            Command::Submit(args) => args.run(&config()?),
            Command::DeadLetters(args) => runtime()?.block_on(args.run(config()?)),
            Command::Runs(args) => runtime()?.block_on(args.run(config()?)),
            Command::Audit(args) => runtime()?.block_on(args.run(config)),
            Command::Reconcile(args) => runtime()?.block_on(args.run(config()?)),
            Command::Report(args) => runtime()?.block_on(args.run(config)),
            Command::Verify(args) => args.run(),
            Command::Reproduce(args) => runtime()?.block_on(args.run(&config()?)),
            Command::Score(args) => runtime()?.block_on(args.run(&config()?.trainer)),
            Command::Schema(args) => args.run(),
            Command::Measure(args) => args.run(),
            Command::Bench(args) => runtime()?.block_on(args.run()),
            Command::Migrate(args) => runtime()?.block_on(args.run(config()?)),
            Command::Prune(args) => runtime()?.block_on(args.run(config()?)),
            Command::TrainerChild(_)
            | Command::TrainerPrepare(_)
            | Command::TrainerWatch(_)
            | Command::TrainerMeasure(_)
            | Command::TrainerRecheck(_)
            | Command::TrainerScore(_)
            | Command::TrainerExec { .. } => Ok(ExitCode::FAILURE),
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("model-factory: {error:#}");
}
