//! The trainer's child process and registered trainer commands: results, limits, confinement, leakage.

mod ceiling;
mod child;
pub mod commands;
pub mod findings;
mod leakage;
