//! Tools that people run beside a worker: verify a bundle, build it again, score rows, check a set-up, demonstrate and
//! measure.
//!
//! Never: part of a worker's loops.

pub mod bench;
pub mod dev;
pub mod doctor;
pub mod reproduce;
pub mod score;
pub mod verify;
