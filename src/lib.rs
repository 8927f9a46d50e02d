//! Model Factory turns `TrainBuildRequest` messages into trained, evaluated, gated and published
//! fraud-model bundles, exactly once in effect.
//!
//! The path of data, which is also the order of the modules:
//!
//! ```text
//! requests topic → intake → run ledger → runner → evidence store
//! registry's topic → registry ──┘ │           └──→ trainer child process
//!                                 └──→ relay → lifecycle, publications, dead letters
//! ```
//!
//! Invariants, of presence and of absence:
//! - A Kafka offset moves only after the ledger has committed what became of the record.
//! - Every write to a run that is open carries its fence; a lost lease writes nothing.
//! - Every event is inserted by the transaction whose change it tells; only the relay produces.
//! - Every act that decides something is told in the audit log by the transaction that does it.
//! - Evidence is write-once; a name never changes its bytes.
//! - The pure rooms (`domain`, `modelling`) know no clock, file, socket or chance.
//! - Where there is a policy, nothing comes in that it does not allow; no decision rests on a header.
//! - A bundle is signed last, over every other file of it.
//! - Data files are only ever decoded in the trainer's child process.

pub mod domain;
pub mod modelling;

pub mod adapters;
pub mod config;
pub mod telemetry;
pub mod training;

pub mod tools;
pub mod worker;

pub mod cli;

pub mod clock;
pub mod failpoints;
pub mod secret;
pub mod version;
