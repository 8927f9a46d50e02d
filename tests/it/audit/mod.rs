//! A bundle as an auditor gets it: intact, tampered with, and built again somewhere else.

mod folder;
mod reproduce;
mod tampering;
mod verify;

pub use folder::{Tampered, bundle};
