//! The configuration section `[kafka.security]`.

use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use strum::IntoStaticStr;

/// `[kafka.security]`: how this client verifies the brokers, and how it authenticates itself.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecuritySettings {
    pub protocol: Protocol,
    /// SASL mechanism. Set only if the protocol has SASL.
    pub mechanism: Option<Mechanism>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// File that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// File with the token (a JWT) for OAUTHBEARER. Read again before the current token expires.
    pub token_file: Option<PathBuf>,
    /// File with PEM certificates of the authorities that may sign brokers' certificates. `None` means the system's
    /// authorities.
    pub ca_file: Option<PathBuf>,
    /// File with the client's certificate chain (PEM), for brokers that require one.
    pub certificate_file: Option<PathBuf>,
    /// File with the client certificate's private key (PEM).
    pub key_file: Option<PathBuf>,
    pub key_password: Option<Secret>,
    pub key_password_file: Option<PathBuf>,
    /// Whether a broker's certificate may name another host than the one that the client connects to.
    pub allow_any_host_name: bool,
    /// Whether the protocol `sasl_plaintext` is allowed. Even then it is used only to brokers on loopback.
    pub allow_sasl_plaintext: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Protocol {
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }

    pub(super) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(super) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, IntoStaticStr)]
pub enum Mechanism {
    #[serde(rename = "PLAIN")]
    #[strum(serialize = "PLAIN")]
    Plain,
    /// Name and password. The broker stores only a hash of the password.
    #[serde(rename = "SCRAM-SHA-256")]
    #[strum(serialize = "SCRAM-SHA-256")]
    ScramSha256,
    #[serde(rename = "SCRAM-SHA-512")]
    #[strum(serialize = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "OAUTHBEARER")]
    #[strum(serialize = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    pub(super) fn as_str(self) -> &'static str {
        self.into()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// The configured protocol needs TLS, and this build has none. Holds the protocol's name.
    #[error(
        "[kafka.security] protocol = \"{0}\" needs a build with TLS, and this one was made without: build it without \
         `--no-default-features`, or with `--features tls`"
    )]
    NotBuilt(&'static str),
    /// Settings that contradict each other, and files that cannot be read. Holds one sentence for each.
    #[error("[kafka.security] {}", .0.join("; [kafka.security] "))]
    Settings(Vec<String>),
}
