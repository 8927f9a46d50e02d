//! Builds the options of a connection to Postgres: password and TLS.
//!
//! Guarantees: a connection to another host uses TLS and verifies certificate and host name, unless the URL's `sslmode`
//! turns this off; each start logs this. Never: prints a password.

use crate::adapters::ledger::{Error, LedgerSettings};
use crate::secret::Secret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::str::FromStr;
use tracing::warn;
use url::Url;

/// Builds connection options. Each call reads the files with password and certificates again.
pub fn connect_options(settings: &LedgerSettings) -> Result<PgConnectOptions, Error> {
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
    if !states_mode(&settings.url) {
        options = options.ssl_mode(if is_near { PgSslMode::Prefer } else { PgSslMode::VerifyFull });
    }
    if !is_near && !matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        warn!(host, mode = ?options.get_ssl_mode(), "sslmode in [ledger] url lets others read or pose as Postgres");
    }
    Ok(options)
}

fn states_mode(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.query_pairs().any(|(key, _)| key == "sslmode" || key == "ssl-mode"))
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
        format!("{:?}", connect_options(&settings).unwrap().get_ssl_mode())
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
        assert!(connect_options(&settings).unwrap_err().to_string().contains("[ledger] password_file"));
        std::fs::write(&file, "by-file\n").unwrap();
        assert!(connect_options(&settings).is_ok());
        let printed = format!("{settings:?}");
        assert!(!printed.contains("in-url") && !printed.contains("by-file"), "{printed}");
    }
}
