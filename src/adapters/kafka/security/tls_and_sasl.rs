//! Translates `[kafka.security]` into properties of librdkafka.

use super::context::{BrokerContext, read_token};
use super::settings::{Mechanism, Protocol, SecurityError, SecuritySettings};
use crate::secret::Secret;
use rdkafka::ClientConfig;
use std::path::PathBuf;

/// TLS properties that an operator may set: algorithms and revocation lists. They leave verification on.
const HARMLESS: [&str; 4] = ["ssl.cipher.suites", "ssl.crl.location", "ssl.curves.list", "ssl.sigalgs.list"];

/// Returns why this value of a property that an operator may set is refused. `None` if it is not.
///
/// OpenSSL offers suites without a certificate and without encryption only below its security level 1, whatever else the
/// list of suites names. So it is the level that is not to be lowered.
pub(in crate::adapters::kafka) fn weakness(property: &str, value: &str) -> Option<&'static str> {
    let sets_level = property == "ssl.cipher.suites" && value.to_ascii_uppercase().contains("@SECLEVEL");
    sets_level.then_some("its value must not set @SECLEVEL: at level 0, brokers without a certificate are believed")
}

/// Returns whether this property of librdkafka may be set only by `[kafka.security]`.
pub(in crate::adapters::kafka) fn is_ours(property: &str) -> bool {
    let families = ["security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https."];
    !HARMLESS.contains(&property) && families.iter().any(|family| property.starts_with(family))
}

impl SecuritySettings {
    /// Checks that the settings are complete and supported by this build, and that their files can be read. Reports all
    /// problems at once.
    pub fn check(&self, brokers: &str) -> Result<(), SecurityError> {
        self.properties(brokers).map(|_| ())
    }

    /// Returns a sentence for each setting that weakens the protection. Each start logs these sentences.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.allow_any_host_name {
            warnings.push("a broker's certificate may name any host ([kafka.security] allow_any_host_name)");
        }
        if self.protocol == Protocol::SaslPlaintext {
            warnings.push("credentials go in the clear, to loopback ([kafka.security] allow_sasl_plaintext)");
        }
        warnings
    }

    pub(in crate::adapters::kafka) fn apply(
        &self,
        config: &mut ClientConfig,
        brokers: &str,
    ) -> Result<(), SecurityError> {
        for (name, value) in self.properties(brokers)? {
            config.set(name, value);
        }
        Ok(())
    }

    pub(in crate::adapters::kafka) fn context(&self, brokers: &str) -> BrokerContext {
        BrokerContext::new(brokers, self.ca_file.clone(), self.token_file.clone())
    }

    pub(in crate::adapters::kafka) fn by_token(&self) -> bool {
        self.protocol.has_sasl() && self.mechanism == Some(Mechanism::OauthBearer)
    }

    pub(super) fn properties(&self, brokers: &str) -> Result<Vec<(&'static str, String)>, SecurityError> {
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

    /// Finds settings that have no effect, and settings that would send credentials without TLS.
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
        if self.ca_file.is_none() {
            // `probe` makes librdkafka search the usual places for the system's certificate authorities.
            set.push(("ssl.ca.location", "probe".to_owned()));
        }
        let mut file = |key: &str, property: &'static str, path: &PathBuf| match std::fs::File::open(path) {
            Ok(_) => set.push((property, path.display().to_string())),
            Err(error) => problems.push(format!("{key}: cannot read {}: {error}", path.display())),
        };
        if let Some(path) = &self.ca_file {
            file("ca_file", "ssl.ca.location", path);
        }
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
                Some(path) => problems.extend(read_token(path).err().map(|error| format!("token_file: {error}"))),
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
