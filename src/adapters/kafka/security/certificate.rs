//! Why a broker's certificate does not verify. librdkafka does not say, so this connects once more with another
//! library, sends nothing, and reads the cause from its handshake.

use super::denial::BrokerDenial;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3);

/// The first cause that one of these brokers shows; none where every certificate verifies or no broker replies.
pub(super) fn cause(brokers: &str, ca_file: &Path) -> Option<BrokerDenial> {
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
