//! Certificates and TLS parameters.

use std::path::Path;
use std::sync::Arc;

use lettre::transport::smtp::client::{Certificate, TlsParameters};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::config::{SmtpConfig, Tls};
use super::error::SendError;

/// Makes the parameters of STARTTLS.
pub(super) fn starttls(config: &SmtpConfig) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca {
        let pem = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        builder = builder.add_root_certificate(
            Certificate::from_pem(&pem).map_err(|error| unreadable(path, &error))?,
        );
    }
    if config.tls == Tls::Opportunistic {
        // Better than clear text, which is what would be used otherwise (RFC 7435).
        builder = builder
            .dangerous_accept_invalid_certs(true)
            .dangerous_accept_invalid_hostnames(true);
    }
    builder
        .build()
        .map_err(|error| SendError::connection(format!("TLS cannot be set up: {error}")))
}

/// Makes the connector of implicit TLS, for which lettre offers no way over a socket of our own.
pub(super) fn implicit(config: &SmtpConfig) -> Result<TlsConnector, SendError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = &config.ca {
        let certificates =
            CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(path, &error))?;
            roots
                .add(certificate)
                .map_err(|error| unreadable(path, &error))?;
        }
    }
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SendError::connection(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(client)))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> SendError {
    SendError::connection(format!(
        "certificates of {} cannot be used: {error}",
        path.display()
    ))
}
