//! Callbacks of every librdkafka client: errors, log lines, and requests for a token. The token is read from a file
//! that the identity provider's agent renews.

use super::denial::{BrokerDenial, cause_of_certificate};
use crate::adapters::kafka::Error;
use crate::clock;
use crate::secret::Secret;
use crate::telemetry::metrics;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// The callback context of a client. Clones share the last refusal.
#[derive(Clone)]
pub(in crate::adapters::kafka) struct BrokerContext {
    brokers: String,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    denied: Arc<Mutex<LastDenial>>,
}

type LastDenial = Option<(Instant, BrokerDenial)>;

/// A refusal older than this counts as over. While a broker refuses, librdkafka reconnects at least every ten seconds
/// and repeats the error every thirty.
const REPEATED_WITHIN: Duration = Duration::from_secs(45);

impl BrokerContext {
    pub(super) fn new(brokers: &str, ca_file: Option<PathBuf>, token_file: Option<PathBuf>) -> Self {
        Self { brokers: brokers.to_owned(), ca_file, token_file, denied: Arc::default() }
    }

    /// Finds the cause if a certificate was refused without one. For this, connects to the brokers once more. Returns
    /// all other refusals unchanged.
    pub(in crate::adapters::kafka) fn with_cause(&self, denial: BrokerDenial) -> BrokerDenial {
        match (&denial, &self.ca_file) {
            (BrokerDenial::Certificate(_), Some(ca_file)) => {
                cause_of_certificate(&self.brokers, ca_file).unwrap_or(denial)
            }
            _ => denial,
        }
    }

    pub(in crate::adapters::kafka) fn unreachable(&self, error: &KafkaError) -> Error {
        Error::Unavailable(format!(
            "no broker answers at {} ({error}); is it running, and is [kafka] brokers right?",
            self.brokers
        ))
    }

    pub(in crate::adapters::kafka) fn denied(&self) -> Option<BrokerDenial> {
        let denied = self.last_denial();
        denied.as_ref().filter(|(at, _)| clock::now() - *at < REPEATED_WITHIN).map(|(_, denial)| denial.clone())
    }

    /// Returns the error's text, followed by the broker's refusal if one is known: a refused call itself reports only a
    /// timeout. Uncertain refusals are left out, because a restarting broker briefly looks as if it spoke another
    /// protocol.
    pub(in crate::adapters::kafka) fn explain(&self, error: &KafkaError) -> String {
        self.denied()
            .filter(BrokerDenial::is_certain)
            .map_or_else(|| error.to_string(), |denial| format!("{error}: {denial}"))
    }

    fn note(&self, denial: BrokerDenial) {
        if denial.is_certain() {
            metrics::KAFKA_DENIALS.count(());
        }
        let mut denied = self.last_denial();
        // While the file has no new token, the client sends the old one and the broker refuses it. The cause is then
        // the token.
        let denial = match (denied.take(), denial) {
            (Some((_, token @ BrokerDenial::Token(_))), BrokerDenial::Credentials(_)) => token,
            (_, denial) => denial,
        };
        *denied = Some((clock::now(), denial));
    }

    fn last_denial(&self) -> MutexGuard<'_, LastDenial> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for BrokerContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Also looks for refusals in log lines. If a listener hangs up, librdkafka reports that only in a log line.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let is_error = matches!(
            level,
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
        );
        if !is_error
            && facility == "FAIL"
            && let Some(denial) = BrokerDenial::read(None, line)
        {
            self.note(denial);
        }
        // The client library warns at each start that this property is experimental. Decision 0019 says why it is set.
        let is_known = facility == "CONFWARN" && line.contains("enable.gapless.guarantee");
        match level {
            _ if is_known => debug!(target: "librdkafka", "{facility} {line}"),
            _ if is_error => error!(target: "librdkafka", "{facility} {line}"),
            RDKafkaLogLevel::Warning => warn!(target: "librdkafka", "{facility} {line}"),
            RDKafkaLogLevel::Debug => debug!(target: "librdkafka", "{facility} {line}"),
            _ => info!(target: "librdkafka", "{facility} {line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(denial) = BrokerDenial::read(error.rdkafka_error_code(), reason) {
            error!(%denial, "Kafka");
            self.note(denial);
        } else {
            warn!(%error, reason, "Kafka");
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let path = self.token_file.as_ref().ok_or("there is no [kafka.security] token_file")?;
        let token = read_token(path)?;
        let mut denied = self.last_denial();
        if matches!(*denied, Some((_, BrokerDenial::Token(_)))) {
            *denied = None;
        }
        Ok(token)
    }
}

impl ConsumerContext for BrokerContext {}

/// A token counts as valid for at most this long, so that a renewed file is soon used. librdkafka asks for the token
/// again after four fifths of its validity.
const LONGEST: Duration = Duration::from_mins(5);

/// The token's claims that librdkafka needs. The broker checks all claims.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Expiry, in seconds since 1970.
    exp: f64,
}

/// Reads the token from the file. Returns an error if the token has expired. The signature is checked by the broker,
/// not here.
pub(super) fn read_token(path: &Path) -> Result<OAuthToken, String> {
    let token = Secret::from_file(path)?;
    let token = token.reveal().trim();
    let claims = claims(token).ok_or_else(|| format!("{} holds no JWT with sub and exp", path.display()))?;
    let now = clock::since_epoch();
    let until = claims.exp.min((now + LONGEST).as_secs_f64());
    if until <= now.as_secs_f64() {
        return Err(format!("the token in {} has expired", path.display()));
    }
    Ok(OAuthToken { token: token.to_owned(), principal_name: claims.sub, lifetime_ms: (until * 1_000.0) as i64 })
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
