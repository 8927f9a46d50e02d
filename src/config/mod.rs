//! Configuration: file < environment < flags, one validated value. The only reader of the environment.
//!
//! `model-factory.toml` holds sections; `MODEL_FACTORY_KAFKA__BROKERS` sets `brokers` of `[kafka]`, and so does
//! `--set kafka.brokers=…`; an empty variable counts as none. Unknown keys are errors, and all faults are reported at
//! once. Never: prints a secret.

mod check;
mod error;
mod files;
mod known;
mod layers;
mod loaded;
mod origin;
mod settings;
mod show;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, InvalidSetting};
pub use loaded::Loaded;
pub use origin::Origin;
pub use settings::{Config, TrainerSettings, WorkerSettings};
pub use show::ShownSetting;
