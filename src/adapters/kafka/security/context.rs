//! What a client hears of its brokers beside records: refusals, and the question for a token.

use super::denial::Denial;
use super::{certificate, token};
use crate::adapters::kafka::Error;
use crate::clock;
use crate::telemetry::metrics;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::{debug, error, info, warn};

/// The context of every client; a clone is the same link.
#[derive(Clone)]
pub(in crate::adapters::kafka) struct Link {
    brokers: String,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    denied: Arc<Mutex<Option<(Instant, Denial)>>>,
}

/// A refusal that was not repeated for so long is over: the client library connects anew every ten seconds at
/// the least, and repeats a complaint every thirty.
const REPEATED_WITHIN: Duration = Duration::from_secs(45);
/// One question; between two, the client's events are looked at for so long.
const SLICE: Duration = Duration::from_millis(500);
const EVENTS: Duration = Duration::from_millis(20);
/// So long one of several brokers may refuse before another answers.
const SETTLING: Duration = Duration::from_secs(2);

impl Link {
    pub(super) fn new(brokers: &str, ca_file: Option<PathBuf>, token_file: Option<PathBuf>) -> Self {
        Self { brokers: brokers.to_owned(), ca_file, token_file, denied: Arc::default() }
    }

    /// A refusal with its cause, where that takes a question of its own.
    fn with_cause(&self, denial: Denial) -> Denial {
        match (&denial, &self.ca_file) {
            (Denial::Certificate(_), Some(ca_file)) => certificate::cause(&self.brokers, ca_file).unwrap_or(denial),
            _ => denial,
        }
    }

    /// Nobody answered; says where to look.
    fn unreachable(&self, error: &KafkaError) -> Error {
        Error::Unavailable(format!(
            "no broker answers at {} ({error}); is it running, and is [kafka] brokers right?",
            self.brokers
        ))
    }

    /// The last refusal, where it still stands.
    pub(in crate::adapters::kafka) fn denied(&self) -> Option<Denial> {
        let denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        denied.as_ref().filter(|(at, _)| clock::now() - *at < REPEATED_WITHIN).map(|(_, denial)| denial.clone())
    }

    /// What an error of a call comes to: a refusal says more than the time-out that followed from it. A broker
    /// that restarts looks for a moment as if it spoke another protocol; that is left out.
    pub(in crate::adapters::kafka) fn explain(&self, error: &KafkaError) -> String {
        self.denied()
            .filter(Denial::is_certain)
            .map_or_else(|| error.to_string(), |denial| format!("{error}: {denial}"))
    }

    /// Called for each error of the client.
    pub(in crate::adapters::kafka) fn hear(&self, error: &KafkaError, reason: &str) {
        if let Some(denial) = Denial::read(error.rdkafka_error_code(), reason) {
            error!(%denial, "Kafka");
            self.note(denial);
        } else {
            warn!(%error, reason, "Kafka");
        }
    }

    fn note(&self, denial: Denial) {
        if denial.is_certain() {
            metrics::KAFKA_DENIALS.count(());
        }
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a new token the old one is shown, and refused: that is no news.
        let denial = match (denied.take(), denial) {
            (Some((_, token @ Denial::Token(_))), Denial::Credentials(_)) => token,
            (_, denial) => denial,
        };
        *denied = Some((clock::now(), denial));
    }

    /// Called for each log line of the client. A listener that hangs up is told in one, and by no error.
    pub(in crate::adapters::kafka) fn read_line(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        let is_error = matches!(
            level,
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
        );
        if !is_error
            && facility == "FAIL"
            && let Some(denial) = Denial::read(None, line)
        {
            self.note(denial);
        }
        match level {
            _ if is_error => error!(target: "librdkafka", "{facility} {line}"),
            RDKafkaLogLevel::Warning => warn!(target: "librdkafka", "{facility} {line}"),
            RDKafkaLogLevel::Debug => debug!(target: "librdkafka", "{facility} {line}"),
            _ => info!(target: "librdkafka", "{facility} {line}"),
        }
    }

    pub(in crate::adapters::kafka) fn token(&self) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let path = self.token_file.as_ref().ok_or("there is no [kafka.security] token_file")?;
        let token = token::read(path)?;
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*denied, Some((_, Denial::Token(_)))) {
            *denied = None;
        }
        Ok(token)
    }
}

impl ClientContext for Link {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.read_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.hear(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.token()
    }
}

impl ConsumerContext for Link {}

/// Puts a question that blocks, for `patience` at the most. In between the client's events are looked at: it
/// needs that to be given a token, and a broker that refuses us is told as that and not as silence.
pub(in crate::adapters::kafka) fn ask<T>(
    consumer: &BaseConsumer<Link>,
    patience: Duration,
    mut question: impl FnMut(&BaseConsumer<Link>, Duration) -> KafkaResult<T>,
) -> Result<T, Error> {
    let since = clock::now();
    loop {
        // Nothing is assigned, so that no record can come.
        while consumer.poll(EVENTS).is_some() {}
        let error = match question(consumer, SLICE) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        while consumer.poll(EVENTS).is_some() {}
        let waited = clock::now() - since;
        match consumer.context().denied() {
            Some(denial) if waited >= patience || denial.is_certain() && waited >= SETTLING => {
                return Err(Error::Denied(consumer.context().with_cause(denial)));
            }
            None if waited >= patience => return Err(consumer.context().unreachable(&error)),
            Some(_) | None => {}
        }
    }
}
