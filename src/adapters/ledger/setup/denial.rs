//! Why Postgres does not let us in.

use rustls::CertificateError;

/// Waiting does not mend it: somebody has to change something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresDenial {
    #[error(
        "Postgres has no TLS, and a server on another host is only spoken to over TLS: set `ssl = on` there \
         (or `sslmode` in [ledger] url)"
    )]
    NoTls,
    #[error(
        "Postgres lets nobody in like this ({0}): it may want TLS (`sslmode=verify-full` in [ledger] url), or a rule \
         for this user and host in pg_hba.conf"
    )]
    NoRule(String),
    #[error(
        "Postgres shows a certificate of an authority that is not trusted; give the authority's in [ledger] ca_file"
    )]
    Untrusted,
    #[error("Postgres shows a certificate for another host ({0}); connect by a name that it holds")]
    WrongName(String),
    /// Or not valid yet.
    #[error("Postgres shows a certificate that is not valid at this time ({0}); renew it, and check both clocks")]
    Expired(String),
    #[error("TLS to Postgres fails: {0}")]
    Tls(String),
    #[error("Postgres refuses our credentials ({0}); check the user in [ledger] url, and password_file")]
    Credentials(String),
}

impl PostgresDenial {
    /// None where the error is not of TLS.
    pub fn of_tls(error: &std::io::Error) -> Option<Self> {
        let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match tls {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::UnknownIssuer => Self::Untrusted,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName(certificate.to_string())
                }
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired(certificate.to_string()),
                other => Self::Tls(other.to_string()),
            },
            other => Self::Tls(other.to_string()),
        })
    }
}
