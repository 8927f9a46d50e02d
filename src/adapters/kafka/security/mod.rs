//! TLS and SASL to the brokers: one place that every client gets them from.
//!
//! Guarantees: a certificate is always verified, and the host's name with it unless the configuration says
//! otherwise, which is told at each start; a password travels in the clear only to loopback, and only where
//! that is allowed. A build without TLS refuses a configuration that asks for it. Never: prints a secret.

mod certificate;
mod denial;
mod link;
mod token;

pub use denial::Denial;
pub(super) use link::{Link, ask};

use super::Error;
use crate::secret::Secret;
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How brokers are trusted, and how they know us.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecuritySettings {
    /// What the brokers' listener speaks.
    pub protocol: Protocol,
    /// How we prove who we are, where the protocol has SASL.
    pub mechanism: Option<Mechanism>,
    /// Name for PLAIN and SCRAM.
    pub username: Option<String>,
    /// Password for PLAIN and SCRAM.
    pub password: Option<Secret>,
    /// File that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// File that holds the token for OAUTHBEARER, a JWT; read again before the token in use expires.
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that brokers are trusted by; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate chain (PEM), for brokers that want one.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub key_file: Option<PathBuf>,
    /// Password of the private key.
    pub key_password: Option<Secret>,
    /// File that holds the password of the private key and nothing else.
    pub key_password_file: Option<PathBuf>,
    /// Whether a broker's certificate may name another host than the one that is connected to.
    pub allow_any_host_name: bool,
    /// Whether `sasl_plaintext` may be used; to brokers on loopback only.
    pub allow_sasl_plaintext: bool,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither TLS nor SASL.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL in the clear.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How we prove who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Mechanism {
    /// Name and password.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Name and password, of which the broker knows a hash only.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// A token of an identity provider.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

impl Mechanism {
    fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// What is wrong with the settings of `[kafka.security]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// The build has no TLS.
    #[error(
        "[kafka.security] protocol = \"{0}\" needs a build with TLS, and this one was made without: build it without \
         `--no-default-features`, or with `--features tls`"
    )]
    NotBuilt(&'static str),
    /// Settings that do not go together, or files that cannot be read.
    #[error("[kafka.security] {}", .0.join("; [kafka.security] "))]
    Settings(Vec<String>),
}

/// Properties of TLS that weaken nothing.
const HARMLESS: [&str; 4] = ["ssl.cipher.suites", "ssl.crl.location", "ssl.curves.list", "ssl.sigalgs.list"];

/// Whether a property of librdkafka is the business of `[kafka.security]` alone.
pub(super) fn is_ours(property: &str) -> bool {
    let families = ["security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https."];
    !HARMLESS.contains(&property) && families.iter().any(|family| property.starts_with(family))
}

impl SecuritySettings {
    /// Whether the settings are complete and this build can honour them, with all that is wrong at once.
    /// Files are read.
    pub fn check(&self, brokers: &str) -> Result<(), SecurityError> {
        self.properties(brokers).map(|_| ())
    }

    /// What weakens the protection, to be told at each start.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut told = Vec::new();
        if self.allow_any_host_name {
            told.push("a broker's certificate may name any host ([kafka.security] allow_any_host_name)");
        }
        if self.protocol == Protocol::SaslPlaintext {
            told.push("credentials go in the clear, to loopback ([kafka.security] allow_sasl_plaintext)");
        }
        told
    }

    /// Sets what every client needs.
    pub(super) fn apply(&self, config: &mut ClientConfig, brokers: &str) -> Result<(), Error> {
        for (name, value) in self.properties(brokers)? {
            config.set(name, value);
        }
        Ok(())
    }

    pub(super) fn link(&self, brokers: &str) -> Link {
        Link::new(brokers, self.ca_file.clone(), self.token_file.clone())
    }

    pub(super) fn by_token(&self) -> bool {
        self.protocol.has_sasl() && self.mechanism == Some(Mechanism::OauthBearer)
    }

    fn properties(&self, brokers: &str) -> Result<Vec<(&'static str, String)>, SecurityError> {
        if self.protocol != Protocol::Plaintext && !cfg!(feature = "tls") {
            return Err(SecurityError::NotBuilt(self.protocol.as_str()));
        }
        let mut problems = self.contradictions(brokers);
        let mut set = vec![("security.protocol", self.protocol.as_str().to_owned())];
        if self.protocol.has_tls() {
            self.tls(&mut set, &mut problems);
        }
        if self.protocol.has_sasl() {
            self.sasl(&mut set, &mut problems);
        }
        if problems.is_empty() { Ok(set) } else { Err(SecurityError::Settings(problems)) }
    }

    /// What is set and would not be used, or is used where it should not be.
    fn contradictions(&self, brokers: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let tls_only = [
            ("ca_file", self.ca_file.is_some()),
            ("certificate_file", self.certificate_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("allow_any_host_name", self.allow_any_host_name),
        ];
        let sasl_only = [
            ("mechanism", self.mechanism.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("password_file", self.password_file.is_some()),
            ("token_file", self.token_file.is_some()),
        ];
        let name = self.protocol.as_str();
        let unused = |keys: &[(&'static str, bool)], wanted: &str| {
            let set = keys.iter().filter(|(_, is_set)| *is_set);
            set.map(|(key, _)| format!("{key} is set, but protocol = \"{name}\" has no {wanted}")).collect::<Vec<_>>()
        };
        if !self.protocol.has_tls() {
            problems.extend(unused(&tls_only, "TLS"));
        }
        if !self.protocol.has_sasl() {
            problems.extend(unused(&sasl_only, "SASL"));
        }
        if self.protocol == Protocol::SaslPlaintext && !(self.allow_sasl_plaintext && all_on_loopback(brokers)) {
            problems.push(
                "protocol = \"sasl_plaintext\" sends credentials in the clear: use sasl_ssl; for brokers on loopback \
                 allow_sasl_plaintext = true lets it be"
                    .to_owned(),
            );
        }
        problems
    }

    fn tls(&self, set: &mut Vec<(&'static str, String)>, problems: &mut Vec<String>) {
        set.push(("enable.ssl.certificate.verification", "true".to_owned()));
        let names = if self.allow_any_host_name { "none" } else { "https" };
        set.push(("ssl.endpoint.identification.algorithm", names.to_owned()));
        let mut file = |key: &str, property: &'static str, path: &PathBuf| match std::fs::File::open(path) {
            Ok(_) => set.push((property, path.display().to_string())),
            Err(error) => problems.push(format!("{key}: cannot read {}: {error}", path.display())),
        };
        match &self.ca_file {
            Some(path) => file("ca_file", "ssl.ca.location", path),
            // The usual places of the system's authorities.
            None => set.push(("ssl.ca.location", "probe".to_owned())),
        }
        let mut file = |key: &str, property: &'static str, path: &PathBuf| match std::fs::File::open(path) {
            Ok(_) => set.push((property, path.display().to_string())),
            Err(error) => problems.push(format!("{key}: cannot read {}: {error}", path.display())),
        };
        match (&self.certificate_file, &self.key_file) {
            (Some(certificate), Some(key)) => {
                file("certificate_file", "ssl.certificate.location", certificate);
                file("key_file", "ssl.key.location", key);
            }
            (None, None) => {}
            _ => problems.push("certificate_file and key_file go together".to_owned()),
        }
        match secret("key_password", self.key_password.as_ref(), self.key_password_file.as_ref()) {
            Ok(Some(password)) => set.push(("ssl.key.password", password.reveal().to_owned())),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }

    fn sasl(&self, set: &mut Vec<(&'static str, String)>, problems: &mut Vec<String>) {
        let Some(mechanism) = self.mechanism else {
            problems.push("mechanism is missing: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER".to_owned());
            return;
        };
        set.push(("sasl.mechanism", mechanism.as_str().to_owned()));
        let password = secret("password", self.password.as_ref(), self.password_file.as_ref());
        if mechanism == Mechanism::OauthBearer {
            match &self.token_file {
                None => problems.push("token_file is missing: OAUTHBEARER reads its token there".to_owned()),
                Some(path) => problems.extend(token::read(path).err().map(|error| format!("token_file: {error}"))),
            }
            if self.username.is_some() || !matches!(password, Ok(None)) {
                problems.push("username and password are not for OAUTHBEARER".to_owned());
            }
            return;
        }
        if self.token_file.is_some() {
            problems.push(format!("token_file is not for {}", mechanism.as_str()));
        }
        match &self.username {
            Some(name) => set.push(("sasl.username", name.clone())),
            None => problems.push(format!("username is missing, which {} needs", mechanism.as_str())),
        }
        match password {
            Ok(Some(password)) => set.push(("sasl.password", password.reveal().to_owned())),
            Ok(None) => problems.push("password_file is missing, or password".to_owned()),
            Err(problem) => problems.push(problem),
        }
    }
}

/// The secret, from one of its two places.
fn secret(key: &str, given: Option<&Secret>, file: Option<&PathBuf>) -> Result<Option<Secret>, String> {
    match (given, file) {
        (Some(_), Some(_)) => Err(format!("{key} and {key}_file are both set")),
        (Some(secret), None) => Ok(Some(secret.clone())),
        (None, Some(path)) => Secret::from_file(path).map(Some).map_err(|why| format!("{key}_file: {why}")),
        (None, None) => Ok(None),
    }
}

fn all_on_loopback(brokers: &str) -> bool {
    brokers.split(',').all(|broker| {
        let host = broker.trim().rsplit_once(':').map_or(broker.trim(), |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod settings_test;
