//! What people run beside a worker: check a bundle, build it again, score rows, look at a set-up, try and measure.
//!
//! Never: part of a worker's loops.

pub mod bench;
pub mod dev;
pub mod doctor;
pub mod reproduce;
pub mod score;
pub mod verify;
