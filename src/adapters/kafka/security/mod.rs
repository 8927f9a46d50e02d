//! TLS and SASL to the brokers, for every client.
//!
//! Guarantees: a certificate is always verified. Its host name is verified too, unless the configuration turns the
//! host-name check off; each start logs this. A password is sent without TLS only to loopback, and only if the
//! configuration allows it. A build without TLS refuses a configuration that needs TLS. Never: prints a secret.

mod context;
mod denial;
mod settings;
mod tls_and_sasl;

pub(super) use context::BrokerContext;
pub use denial::BrokerDenial;
pub use settings::{Mechanism, Protocol, SecurityError, SecuritySettings};
pub(super) use tls_and_sasl::{is_ours, weakness};

#[cfg(test)]
mod settings_test;
