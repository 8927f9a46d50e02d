//! Why a broker refuses this client, or why TLS refuses the broker, and what to do next.
//!
//! librdkafka reports all TLS refusals with one error code. Only its error text distinguishes them. The texts compared
//! here are those of the pinned version, and tests cause each refusal with a real broker.

use rdkafka::error::RDKafkaErrorCode;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A refusal that lasts until a person changes something. Each variant holds the text of librdkafka or rustls.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerDenial {
    #[error("the broker refuses our credentials ({0}); check [kafka.security] mechanism, username, password or token")]
    Credentials(String),
    #[error("the broker does not offer our SASL mechanism ({0}); set [kafka.security] mechanism to one of its own")]
    Mechanism(String),
    #[error("there is no token to show to the broker ({0}); mend the file in [kafka.security] token_file")]
    Token(String),
    #[error(
        "the broker's certificate is of an authority that is not trusted ({0}); give it in [kafka.security] ca_file"
    )]
    Untrusted(String),
    #[error("the broker's certificate is for another host ({0}); connect by a name that it holds")]
    WrongName(String),
    /// The broker's certificate has expired or is not valid yet.
    #[error("the broker's certificate is not valid at this time ({0}); renew it, and check both clocks")]
    Expired(String),
    /// The broker's certificate does not verify, for another or an unknown reason.
    #[error(
        "the broker's certificate does not verify ({0}); give its authority in [kafka.security] ca_file, connect by a \
         name that the certificate holds, and see that it has not expired: \
         openssl s_client -connect HOST:PORT -verify_return_error -verify_hostname HOST -CAfile FILE"
    )]
    Certificate(String),
    /// The broker requires a client certificate, or does not accept the client's certificate.
    #[error("the broker does not accept our certificate ({0}); set [kafka.security] certificate_file and key_file")]
    ClientCertificate(String),
    #[error("the listener seems to speak TLS and we do not ({0}); set [kafka.security] protocol to ssl or sasl_ssl")]
    ListenerWantsTls(String),
    #[error("the listener seems to want SASL and we bring none ({0}); set [kafka.security] protocol and mechanism")]
    ListenerWantsSasl(String),
    #[error(
        "we speak TLS and the listener seems not to ({0}); connect to its TLS port, or set [kafka.security] protocol"
    )]
    ListenerHasNoTls(String),
}

impl BrokerDenial {
    /// Returns whether the refusal is certain. If a listener hangs up, its broker may also just be stopping.
    pub(in crate::adapters::kafka) fn is_certain(&self) -> bool {
        !matches!(self, Self::ListenerWantsTls(_) | Self::ListenerWantsSasl(_) | Self::ListenerHasNoTls(_))
    }

    /// Finds the refusal in an error's text or a log line. `None` if the text names no refusal.
    pub(super) fn read(code: Option<RDKafkaErrorCode>, reason: &str) -> Option<Self> {
        let says = |text: &str| reason.contains(text);
        let quoted = || reason.to_owned();
        if says("Failed to acquire SASL OAUTHBEARER token") || says("OAUTHBEARER cannot log in") {
            return Some(Self::Token(quoted()));
        }
        // A listener for another protocol hangs up. It does so at the first request if it expects TLS, and at the
        // second if it expects SASL.
        let hung_up = |state: &str| says("Disconnected") && says(&format!("in state {state}"));
        let in_tls = says("ssl://");
        if !in_tls && hung_up("APIVERSION_QUERY") {
            return Some(Self::ListenerWantsTls(quoted()));
        }
        if !says("sasl_") && hung_up("UP") {
            return Some(Self::ListenerWantsSasl(quoted()));
        }
        if says("connecting to a PLAINTEXT broker listener?") || says("wrong version number") {
            return Some(Self::ListenerHasNoTls(quoted()));
        }
        if ["certificate required", "bad certificate", "unknown ca", "certificate unknown", "certificate expired"]
            .iter()
            .any(|alert| says(&format!("alert {alert}")))
        {
            return Some(Self::ClientCertificate(quoted()));
        }
        match code? {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Some(if says("mechanism handshake failed") {
                    Self::Mechanism(quoted())
                } else {
                    Self::Credentials(quoted())
                })
            }
            RDKafkaErrorCode::SSL if says("client SSL authentication might be required") => {
                Some(Self::ClientCertificate(quoted()))
            }
            RDKafkaErrorCode::SSL => Some(Self::Certificate(quoted())),
            _ => None,
        }
    }
}

/// Finds out why a broker's certificate does not verify, because librdkafka does not say why. Connects once more with
/// rustls, sends no request, and reads the cause from the handshake. `None` if all certificates verify or no broker
/// replies.
pub(super) fn cause_of_certificate(brokers: &str, ca_file: &Path) -> Option<BrokerDenial> {
    brokers.split(',').find_map(|broker| {
        let named = |error: &CertificateError| format!("{}: {error}", broker.trim());
        Some(match verify(broker.trim(), ca_file)? {
            error @ CertificateError::UnknownIssuer => BrokerDenial::Untrusted(named(&error)),
            error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
                BrokerDenial::WrongName(named(&error))
            }
            error @ (CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }) => BrokerDenial::Expired(named(&error)),
            error => BrokerDenial::Certificate(named(&error)),
        })
    })
}

fn verify(broker: &str, ca_file: &Path) -> Option<CertificateError> {
    const PATIENCE: Duration = Duration::from_secs(3);
    let (host, _) = broker.rsplit_once(':')?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()?;
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(ca_file).ok()?;
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let mut stream =
        broker.to_socket_addrs().ok()?.find_map(|address| TcpStream::connect_timeout(&address, PATIENCE).ok())?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let error = connection.complete_io(&mut stream).err()?;
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(error.clone()),
        _ => None,
    }
}
