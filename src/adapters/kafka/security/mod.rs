//! TLS and SASL to the brokers: one place that every client gets them from.
//!
//! Guarantees: a certificate is always verified, and the host's name with it unless the configuration says
//! otherwise, which each start logs; a password travels in the clear only to loopback, and only where that is
//! allowed. A build without TLS refuses a configuration that needs it. Never: prints a secret.

mod context;
mod denial;
mod properties;
mod settings;

pub(super) use context::BrokerContext;
pub use denial::BrokerDenial;
pub(super) use properties::is_ours;
pub use settings::{Mechanism, Protocol, SecurityError, SecuritySettings};

#[cfg(test)]
mod settings_test;
