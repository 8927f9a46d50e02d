//! Model Factory turns `TrainBuildRequest` messages into trained, evaluated, gated and published
//! fraud-model bundles, exactly once in effect.
//!
//! The path of data:
//!
//! ```text
//! requests topic → intake → run ledger → runner → evidence store
//! registry's topic → registry ──┘ │           └──→ trainer child process
//!                                 └──→ relay → lifecycle, publications, dead letters
//! ```
//!
//! Invariants: what always happens, and what never does.
//! - A Kafka offset moves only after the ledger has committed what became of the record.
//! - Every write to an open run names its fence; a worker that lost its lease writes nothing.
//! - Every event is inserted by the transaction whose change it reports; in a worker, only the relay produces to Kafka.
//! - Every act that decides something is appended to the audit log by the transaction that does it.
//! - Evidence is write-once; a name never changes its bytes.
//! - The pure rooms (`domain`, `modelling`) use no clock, file, socket or random source.
//! - Under a policy, only what it allows is admitted; no decision rests on a header.
//! - A bundle is signed last, over all its other files.
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
pub mod guard;
pub mod secret;
pub mod version;
