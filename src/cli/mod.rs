//! The command line: one file per command.
//!
//! Exit status: 0 done, 1 the work was refused or ended with an error, 2 the command line is wrong.

mod audit;
mod bench;
mod completions;
mod config;
mod dead_letters;
mod demo;
mod dev;
mod doctor;
mod ledger;
mod man;
mod measure;
mod migrate;
mod output;
mod progress;
mod prune;
mod reconcile;
mod report;
mod reproduce;
mod runs;
mod schema;
mod score;
mod submit;
mod verify;
mod worker;

use crate::config::Loaded;
use crate::telemetry::plain;
use crate::training::{self, ChildStep};
use crate::version;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Turns training requests into trained, evaluated, gated and published fraud-model bundles.
#[derive(Debug, Parser)]
#[command(name = "model-factory", version, long_version = version::long(), max_term_width = 100)]
pub struct Cli {
    /// Configuration file. By default `model-factory.toml`, if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, for example `kafka.brokers=kafka:9092`. Replaces the value from file and environment. May be
    /// repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: CommandLine,
}

#[derive(Debug, Subcommand)]
enum CommandLine {
    Demo(demo::Args),
    Dev(dev::Args),
    Worker(worker::Args),
    Submit(submit::Args),
    Runs(runs::Args),
    Report(report::Args),
    Verify(verify::Args),
    Reproduce(reproduce::Args),
    Score(score::Args),
    DeadLetters(dead_letters::Args),
    Audit(audit::Args),
    Reconcile(reconcile::Args),
    Schema(schema::Args),
    Migrate(migrate::Args),
    Config(config::Args),
    Doctor(doctor::Args),
    Prune(prune::Args),
    Measure(measure::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Runs a trainer's child process. Started by the worker, not by people.
    #[command(hide = true)]
    TrainerChild(ChildArgs),
    /// Writes what a registered trainer command needs. Started by the worker.
    #[command(hide = true)]
    TrainerPrepare(ChildArgs),
    /// Runs a registered trainer command and watches it. Started by the worker.
    #[command(hide = true)]
    TrainerWatch(ChildArgs),
    /// Measures the model that a registered trainer command wrote. Started by the worker.
    #[command(hide = true)]
    TrainerMeasure(ChildArgs),
    /// Measures the model of an earlier bundle. Started by the worker.
    #[command(hide = true)]
    TrainerRecheck(ChildArgs),
    /// Scores a file with the model of a bundle. Started by `score`.
    #[command(hide = true)]
    TrainerScore(ChildArgs),
    /// Looks at the model of a bundle. Started by commands that verify a bundle.
    #[command(hide = true)]
    TrainerInspect(ChildArgs),
    /// Tries which namespaces this host allows. Started by `doctor`.
    #[command(hide = true)]
    TrainerHost {
        /// `separate` or `rest`.
        step: String,
    },
    /// Separates itself from the host and starts `trainer-exec`. Started by `trainer-watch`.
    #[command(hide = true)]
    TrainerInit(ConfinedArgs),
    /// Confines itself and becomes a registered trainer command. Started by `trainer-watch` or `trainer-init`.
    #[command(hide = true)]
    TrainerExec(ConfinedArgs),
}

#[derive(Debug, clap::Args)]
struct ConfinedArgs {
    /// The job directory.
    job_dir: PathBuf,
    /// Control groups to join.
    groups: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ChildArgs {
    /// The job directory.
    job_dir: PathBuf,
    /// Process id of the worker.
    worker: i32,
}

impl ChildArgs {
    fn run(&self, step: ChildStep) -> ExitCode {
        training::child::main(step, &self.job_dir, self.worker)
    }
}

impl Cli {
    pub fn run(self) -> ExitCode {
        match self.dispatch() {
            Ok(code) => code,
            // If the reader has closed the pipe, as `head` does, that is no error.
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn dispatch(self) -> anyhow::Result<ExitCode> {
        let loaded = || Loaded::read(self.config.as_deref(), &self.set).map_err(anyhow::Error::from);
        let config = || loaded().map(|loaded| loaded.config);
        match self.command {
            CommandLine::Config(args) => args.run(&loaded()?),
            // A check that hangs is reported as a finding. Its thread must not hold up the end of the command.
            CommandLine::Doctor(args) => abandoning(args.run(config()?)),
            CommandLine::Completions(args) => args.run(Self::command()),
            CommandLine::Man(args) => args.run(Self::command()),
            CommandLine::Demo(args) => runtime()?.block_on(args.run()),
            CommandLine::Dev(args) => runtime()?.block_on(args.run()),
            CommandLine::Worker(args) => abandoning(args.run(config()?)),
            CommandLine::Submit(args) => runtime()?.block_on(args.run(&config()?)),
            CommandLine::DeadLetters(args) => runtime()?.block_on(args.run(config()?)),
            CommandLine::Runs(args) => runtime()?.block_on(args.run(config()?)),
            CommandLine::Audit(args) => runtime()?.block_on(args.run(config)),
            CommandLine::Reconcile(args) => runtime()?.block_on(args.run(config()?)),
            CommandLine::Report(args) => runtime()?.block_on(args.run(config)),
            CommandLine::Verify(args) => runtime()?.block_on(args.run(&config()?.trainer)),
            CommandLine::Reproduce(args) => runtime()?.block_on(args.run(&config()?)),
            CommandLine::Score(args) => runtime()?.block_on(args.run(&config()?.trainer)),
            CommandLine::Schema(args) => args.run(),
            CommandLine::Measure(args) => args.run(),
            CommandLine::Bench(args) => runtime()?.block_on(args.run()),
            CommandLine::Migrate(args) => runtime()?.block_on(args.run(config()?)),
            CommandLine::Prune(args) => runtime()?.block_on(args.run(config()?)),
            // The trainer's processes read no configuration, because their job's folder holds everything that they
            // need.
            CommandLine::TrainerChild(args) => Ok(args.run(ChildStep::Train)),
            CommandLine::TrainerPrepare(args) => Ok(args.run(ChildStep::Prepare)),
            CommandLine::TrainerWatch(args) => Ok(args.run(ChildStep::Command)),
            CommandLine::TrainerMeasure(args) => Ok(args.run(ChildStep::Measure)),
            CommandLine::TrainerRecheck(args) => Ok(args.run(ChildStep::Recheck)),
            CommandLine::TrainerScore(args) => Ok(args.run(ChildStep::Score)),
            CommandLine::TrainerInspect(args) => Ok(args.run(ChildStep::Inspect)),
            CommandLine::TrainerHost { step } => Ok(training::try_host(&step)),
            CommandLine::TrainerInit(args) => Ok(training::init_command(&args.job_dir, &args.groups)),
            CommandLine::TrainerExec(args) => Ok(training::exec_command(&args.job_dir, &args.groups)),
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Runs the command to its end. Does not wait for tasks and threads that the command has abandoned.
fn abandoning(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn complain(error: &anyhow::Error) {
    eprintln!("model-factory: {}", plain(&format!("{error:#}")).replace("\\n", "\n"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    /// Calls `each` for every command that is not hidden, with its full name and its parent.
    fn visible(
        name: &str,
        command: &clap::Command,
        above: Option<&clap::Command>,
        each: &mut impl FnMut(&str, &clap::Command, Option<&clap::Command>),
    ) {
        each(name, command, above);
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
            visible(&format!("{name} {}", inner.get_name()), inner, Some(command), each);
        }
    }

    #[test]
    fn every_command_and_every_option_says_what_it_is_for() {
        let mut command = Cli::command();
        command.build();
        let (mut seen, mut missing) = (0, Vec::new());
        visible("model-factory", &command, None, &mut |name, command, above| {
            seen += 1;
            if command.get_about().is_none() {
                missing.push(format!("{name}: no help"));
            }
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                if argument.get_help().is_none() {
                    missing.push(format!("{name}: {} has no help", argument.get_id()));
                }
                for value in argument.get_possible_values().iter().filter(|value| !value.is_hide_set()) {
                    let takes_word = argument.get_action().takes_values() && argument.get_id() != "shell";
                    if takes_word && value.get_help().is_none() && !["true", "false"].contains(&value.get_name()) {
                        missing.push(format!("{name}: {}={} has no help", argument.get_id(), value.get_name()));
                    }
                }
            }
            let has_example = |command: &clap::Command| {
                command.get_after_help().is_some_and(|text| text.to_string().contains("model-factory "))
            };
            let is_leaf = command.get_subcommands().all(|inner| inner.get_name() == "help");
            if is_leaf && !has_example(command) && !above.is_some_and(has_example) {
                missing.push(format!("{name}: no example"));
            }
        });
        assert!(seen > 20, "only {seen} commands were found");
        assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    }

    #[test]
    fn completions_and_pages_name_every_command() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "model-factory", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("dead-letters") && script.contains("doctor"), "{shell}");
        }
        let folder = tempfile::tempdir().unwrap();
        clap_mangen::generate_to(Cli::command(), folder.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page("model-factory.1").contains("doctor"));
        assert!(page("model-factory-runs-explain.1").contains("explain"));
        assert!(!folder.path().join("model-factory-trainer-child.1").exists(), "not for people");
    }
}
