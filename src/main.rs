//! The command line of Model Factory.

use clap::Parser;
use model_factory::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    Cli::parse().run()
}
