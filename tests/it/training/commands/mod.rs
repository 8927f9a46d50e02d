//! Registered trainer commands: what a good one leaves, and how each bad one ends.

mod confinement;
mod reproduce;
mod results;
mod trial;
mod whole;

pub use trial::{Trial, write_scores};
