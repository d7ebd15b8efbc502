//! Certificates and TLS parameters.

mod explain;
mod verifier;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::config::{SmtpConfig, Tls};
use super::error::SendError;
pub(super) use explain::explain;
use verifier::{AnyCertificate, Trusted};

/// Makes what turns a connection to this server to TLS, with as much distrust as is configured.
pub(super) fn connector(config: &SmtpConfig) -> Result<TlsConnector, SendError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SendError::connection(format!("TLS cannot be set up: {error}")))?
        .dangerous();
    let client = match config.tls {
        // Better than clear text, which is what would be used otherwise (RFC 7435).
        Tls::Opportunistic => {
            builder.with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        }
        _ => {
            let own = match &config.ca {
                Some(path) => read(path)?,
                None => Vec::new(),
            };
            let trusted = Trusted::new(roots(config, &own)?, own, provider)?;
            builder.with_custom_certificate_verifier(Arc::new(trusted))
        }
    };
    Ok(TlsConnector::from(Arc::new(client.with_no_client_auth())))
}

/// The certificates of `ca`.
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, SendError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| unreadable(path, &error))?;
    match certificates.is_empty() {
        true => Err(unreadable(path, &"there is none in PEM")),
        false => Ok(certificates),
    }
}

/// The system's authorities and those of `ca`.
fn roots(config: &SmtpConfig, own: &[CertificateDer<'static>]) -> Result<RootCertStore, SendError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in own {
        roots
            .add(certificate.clone())
            .map_err(|error| unreadable(config.ca.as_deref().unwrap_or(Path::new("ca")), &error))?;
    }
    Ok(roots)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> SendError {
    SendError::connection(format!(
        "certificates of {} cannot be used: {error}",
        path.display()
    ))
}
