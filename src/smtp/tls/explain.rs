//! Why TLS did not come about, in words that say what to do.

use std::io;

use tokio_rustls::rustls::{CertificateError, Error};

/// The reason of a failed handshake with a host.
pub(in crate::smtp) fn explain(error: &io::Error, host: &str) -> String {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(reason)) => {
            format!("the server's certificate {}", certificate(reason, host))
        }
        Some(Error::InvalidMessage(_)) => {
            "the server does not speak TLS there (smtps:// is for port 465, smtp:// for 587 and 25)"
                .to_owned()
        }
        Some(Error::AlertReceived(alert)) => {
            format!("the server refused TLS with the alert {alert:?}")
        }
        Some(Error::PeerIncompatible(reason)) => {
            format!("the server has no TLS in common with us: {reason:?}")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection instead of beginning TLS".to_owned()
        }
        _ => error.to_string(),
    }
}

fn certificate(reason: &CertificateError, host: &str) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match reason {
        UnknownIssuer => {
            "is signed by nobody who is trusted: name its authority's certificate, or the server's own, with &ca=/file.pem".to_owned()
        }
        NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            format!("is not for {host:?} but for {}", presented.join(", "))
        }
        NotValidForName | NotValidForNameContext { .. } => format!("is not for {host:?}"),
        Expired | ExpiredContext { .. } => "has expired".to_owned(),
        NotValidYet | NotValidYetContext { .. } => "is not valid yet".to_owned(),
        // webpki has no variant of rustls for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "signed itself and is not the one that &ca= names: name exactly this certificate with &ca=/file.pem".to_owned()
        }
        other => format!("cannot be used: {other}"),
    }
}
