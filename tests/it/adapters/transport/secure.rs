//! A Kafka with TLS and SASL that the tests of a process share, and the tokens that it takes.

use crate::support::{OwnKafka, own_topics_on};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model_factory::adapters::kafka::{KafkaSettings, Mechanism, Protocol, SecuritySettings};
use model_factory::secret::Secret;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;

pub struct SecureKafka {
    own: OwnKafka,
}

/// The running one; it stops when no test holds it any more.
static SHARED: Mutex<Weak<SecureKafka>> = Mutex::const_new(Weak::new());

impl SecureKafka {
    /// None where no Kafka can be started, as [`OwnKafka`] describes.
    pub async fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let own = OwnKafka::start_secure().await?;
        let started = Arc::new(Self { own });
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// `host:port` of a listener: PLAINTEXT, SASL, MTLS or EXPIRED.
    pub fn listener(&self, name: &str) -> String {
        let found = self.own.brokers().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap().to_owned()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.own.folder().join("tls").join(name)
    }

    /// Settings with topics of the test's own, for this listener.
    pub async fn topics(&self, listener: &str, security: SecuritySettings) -> KafkaSettings {
        let made = own_topics_on(self.listener("PLAINTEXT"), 1).await;
        KafkaSettings { brokers: self.listener(listener), security, ..made }
    }

    /// SASL over TLS as `worker`, with the right password.
    pub fn sasl(&self, mechanism: Mechanism) -> SecuritySettings {
        SecuritySettings {
            protocol: Protocol::SaslSsl,
            mechanism: Some(mechanism),
            username: Some("worker".to_owned()),
            password: Some(Secret::new("secret-of-worker".to_owned())),
            ca_file: Some(self.file("ca.pem")),
            ..SecuritySettings::default()
        }
    }

    /// SASL over TLS with the token in a file.
    pub fn by_token(&self, token_file: &Path) -> SecuritySettings {
        let token_file = Some(token_file.to_owned());
        SecuritySettings { username: None, password: None, token_file, ..self.sasl(Mechanism::OauthBearer) }
    }

    /// TLS with a client's certificate, whose name is `worker`.
    pub fn mutual_tls(&self) -> SecuritySettings {
        SecuritySettings {
            protocol: Protocol::Ssl,
            ca_file: Some(self.file("ca.pem")),
            certificate_file: Some(self.file("client.pem")),
            key_file: Some(self.file("client.key")),
            ..SecuritySettings::default()
        }
    }

    /// A token for `worker`, signed by the key in this file.
    pub fn token(&self, key_file: &str, valid: Duration) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "tests"});
        let claims = json!({"sub": "worker", "aud": "kafka", "iat": now, "exp": now + valid.as_secs()});
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let pem = std::fs::read_to_string(self.file(key_file)).unwrap();
        let signature: Signature = SigningKey::from(SecretKey::from_pem(&pem).unwrap()).sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}
