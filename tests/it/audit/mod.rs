//! A bundle as an auditor gets it: intact, tampered with, built again somewhere else, and used to score.

mod folder;
mod reproduce;
mod score;
mod tampering;
mod verify;

pub use folder::{Tampered, bundle};
