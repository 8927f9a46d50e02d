//! Why a broker and we do not come together, read from what librdkafka says, with what to do next.
//!
//! librdkafka has one error for everything that TLS refuses, and tells the rest in words; they are pinned with
//! its version, and the tests bring each about with a real broker.

use rdkafka::error::RDKafkaErrorCode;

/// A refusal that waiting does not mend: somebody has to change something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Wrong name, password or token.
    #[error("the broker refuses our credentials ({0}); check [kafka.security] mechanism, username, password or token")]
    Credentials(String),
    /// The mechanism is not offered.
    #[error("the broker does not offer our SASL mechanism ({0}); set [kafka.security] mechanism to one of its own")]
    Mechanism(String),
    /// There is no token to show.
    #[error("there is no token to show to the broker ({0}); mend the file in [kafka.security] token_file")]
    Token(String),
    /// The broker's certificate is of an authority that is not trusted.
    #[error(
        "the broker's certificate is of an authority that is not trusted ({0}); give it in [kafka.security] ca_file"
    )]
    Untrusted(String),
    /// The broker's certificate names another host.
    #[error("the broker's certificate is for another host ({0}); connect by a name that it holds")]
    WrongName(String),
    /// The broker's certificate has expired, or is not valid yet.
    #[error("the broker's certificate is not valid at this time ({0}); renew it, and check both clocks")]
    Expired(String),
    /// The broker's certificate does not verify, for whatever cause.
    #[error(
        "the broker's certificate does not verify ({0}); give its authority in [kafka.security] ca_file, connect by a \
         name that the certificate holds, and see that it has not expired: \
         openssl s_client -connect HOST:PORT -verify_return_error -verify_hostname HOST -CAfile FILE"
    )]
    Certificate(String),
    /// The broker wants a certificate of ours, or does not accept it.
    #[error("the broker does not accept our certificate ({0}); set [kafka.security] certificate_file and key_file")]
    ClientCertificate(String),
    /// The listener speaks TLS, and we do not.
    #[error("the listener seems to speak TLS and we do not ({0}); set [kafka.security] protocol to ssl or sasl_ssl")]
    ListenerWantsTls(String),
    /// The listener wants SASL, and we have none.
    #[error("the listener seems to want SASL and we bring none ({0}); set [kafka.security] protocol and mechanism")]
    ListenerWantsSasl(String),
    /// We speak TLS, and the listener does not.
    #[error(
        "we speak TLS and the listener seems not to ({0}); connect to its TLS port, or set [kafka.security] protocol"
    )]
    ListenerHasNoTls(String),
}

impl Denial {
    /// Whether the broker said so. A listener that hangs up may also be one that is just going away.
    pub(super) fn is_certain(&self) -> bool {
        match self {
            Self::Credentials(_)
            | Self::Mechanism(_)
            | Self::Token(_)
            | Self::Untrusted(_)
            | Self::WrongName(_)
            | Self::Expired(_)
            | Self::Certificate(_)
            | Self::ClientCertificate(_) => true,
            Self::ListenerWantsTls(_) | Self::ListenerWantsSasl(_) | Self::ListenerHasNoTls(_) => false,
        }
    }

    /// None for what passes by itself.
    pub(super) fn read(code: Option<RDKafkaErrorCode>, reason: &str) -> Option<Self> {
        let says = |text: &str| reason.contains(text);
        let told = || reason.to_owned();
        if says("Failed to acquire SASL OAUTHBEARER token") || says("OAUTHBEARER cannot log in") {
            return Some(Self::Token(told()));
        }
        // A listener that does not understand us hangs up: at the first question where it expects TLS, at the
        // second where it expects SASL before it.
        let hung_up = |state: &str| says("Disconnected") && says(&format!("in state {state}"));
        let in_tls = says("ssl://");
        if !in_tls && hung_up("APIVERSION_QUERY") {
            return Some(Self::ListenerWantsTls(told()));
        }
        if !says("sasl_") && hung_up("UP") {
            return Some(Self::ListenerWantsSasl(told()));
        }
        if says("connecting to a PLAINTEXT broker listener?") || says("wrong version number") {
            return Some(Self::ListenerHasNoTls(told()));
        }
        if ["certificate required", "bad certificate", "unknown ca", "certificate unknown", "certificate expired"]
            .iter()
            .any(|alert| says(&format!("alert {alert}")))
        {
            return Some(Self::ClientCertificate(told()));
        }
        match code? {
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Some(if says("mechanism handshake failed") {
                    Self::Mechanism(told())
                } else {
                    Self::Credentials(told())
                })
            }
            RDKafkaErrorCode::SSL if says("client SSL authentication might be required") => {
                Some(Self::ClientCertificate(told()))
            }
            RDKafkaErrorCode::SSL => Some(Self::Certificate(told())),
            _ => None,
        }
    }
}
