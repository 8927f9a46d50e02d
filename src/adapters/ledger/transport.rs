//! How Postgres is reached: password, TLS, and what its refusals mean.
//!
//! Guarantees: a server on another host is spoken to over TLS, its certificate and name verified, unless the
//! URL says otherwise by `sslmode`, which is told at each start. Never: prints a password.

use super::{Error, LedgerSettings};
use crate::secret::Secret;
use rustls::CertificateError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::str::FromStr;
use tracing::warn;
use url::Url;

/// A refusal that waiting does not mend: somebody has to change something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The server has no TLS.
    #[error(
        "Postgres has no TLS, and a server on another host is only spoken to over TLS: set `ssl = on` there \
         (or `sslmode` in [ledger] url)"
    )]
    NoTls,
    /// The server wants TLS from us, or has no rule for us.
    #[error(
        "Postgres lets nobody in like this ({0}): it may want TLS (`sslmode=verify-full` in [ledger] url), or a rule \
         for this user and host in pg_hba.conf"
    )]
    NoRule(String),
    /// The certificate is from nobody that we trust.
    #[error(
        "Postgres shows a certificate of an authority that is not trusted; give the authority's in [ledger] ca_file"
    )]
    Untrusted,
    /// The certificate names another host.
    #[error("Postgres shows a certificate for another host ({0}); connect by a name that it holds")]
    WrongName(String),
    /// The certificate has expired, or is not valid yet.
    #[error("Postgres shows a certificate that is not valid at this time ({0}); renew it, and check both clocks")]
    Expired(String),
    /// Anything else that TLS refuses.
    #[error("TLS to Postgres fails: {0}")]
    Tls(String),
    /// Wrong user or password.
    #[error("Postgres refuses our credentials ({0}); check the user in [ledger] url, and password_file")]
    Credentials(String),
}

impl Denial {
    /// What TLS said, where it is TLS that failed.
    pub(super) fn of_tls(error: &std::io::Error) -> Option<Self> {
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

/// What a connection is made with. Files are read anew.
pub(super) fn options(settings: &LedgerSettings) -> Result<PgConnectOptions, Error> {
    let wrong = |key: &str, why: String| Error::Refused(format!("[ledger] {key}: {why}"));
    let mut options = PgConnectOptions::from_str(&settings.url)
        .map_err(|error| Error::Refused(format!("[ledger] url is not a Postgres URL: {error}")))?;
    if let Some(path) = &settings.password_file {
        let password = Secret::from_file(path).map_err(|why| wrong("password_file", why))?;
        options = options.password(password.reveal());
    }
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|error| wrong("ca_file", format!("{}: {error}", path.display())))?;
        options = options.ssl_root_cert_from_pem(pem);
    }
    let host = options.get_socket().is_none().then(|| options.get_host().to_owned());
    let is_near = host.as_deref().is_none_or(is_local);
    options = match stated_mode(&settings.url) {
        None if is_near => options.ssl_mode(PgSslMode::Prefer),
        None => options.ssl_mode(PgSslMode::VerifyFull),
        Some(_) => options,
    };
    if !is_near && !matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        warn!(host, mode = ?options.get_ssl_mode(), "sslmode in [ledger] url lets others read or pose as Postgres");
    }
    Ok(options)
}

fn stated_mode(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    url.query_pairs().find(|(key, _)| key == "sslmode" || key == "ssl-mode").map(|(_, mode)| mode.into_owned())
}

fn is_local(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> String {
        let settings = LedgerSettings { url: url.to_owned(), ..LedgerSettings::default() };
        format!("{:?}", options(&settings).unwrap().get_ssl_mode())
    }

    #[test]
    fn another_host_is_verified_unless_the_url_says_otherwise() {
        for (url, expected) in [
            ("postgres://u@db.example/x", "VerifyFull"),
            ("postgres://u@10.0.0.7/x", "VerifyFull"),
            ("postgres://u@localhost.example/x", "VerifyFull"),
            ("postgres://u@localhost/x", "Prefer"),
            ("postgres://u@127.0.0.1:5433/x", "Prefer"),
            ("postgres://u@[::1]/x", "Prefer"),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/x", "Prefer"),
            ("postgres://u@db.example/x?sslmode=disable", "Disable"),
            ("postgres://u@localhost/x?sslmode=verify-full", "VerifyFull"),
        ] {
            assert_eq!(mode(url), expected, "{url}");
        }
    }

    #[test]
    fn a_password_comes_from_its_file_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let mut settings = LedgerSettings { url: "postgres://u:in-url@db/x".to_owned(), ..LedgerSettings::default() };
        settings.password_file = Some(file.clone());
        assert!(options(&settings).unwrap_err().to_string().contains("[ledger] password_file"));
        std::fs::write(&file, "by-file\n").unwrap();
        assert!(options(&settings).is_ok());
        let printed = format!("{settings:?}");
        assert!(!printed.contains("in-url") && !printed.contains("by-file"), "{printed}");
    }
}
