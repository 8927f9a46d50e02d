//! `verify`: a bundle as an auditor gets it, intact and tampered with.

mod contradictions;
mod forgeries;
mod links;
mod page;
mod signed;
mod tampering;

pub use signed::{Tampered, bundle};
