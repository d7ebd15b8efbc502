//! The transport against servers with TLS.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::server::converse;
use super::*;

/// An authority in a file, and a server with a certificate of it for 127.0.0.1.
struct Authority {
    file: NamedTempFile,
    acceptor: TlsAcceptor,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let server_key = KeyPair::generate().unwrap();
        let address = Ipv4Addr::LOCALHOST.to_string();
        let certificate = CertificateParams::new(vec![address])
            .unwrap()
            .signed_by(&server_key, &issuer)
            .unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(server_key.serialize_der()).into(),
            )
            .unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, authority.pem()).unwrap();
        Authority {
            file,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }
}

/// Serves one connection: TLS at once, or after a STARTTLS whose answer is `consent`.
async fn serve(acceptor: TlsAcceptor, consent: Option<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        if let Some(consent) = consent {
            say_starttls(&mut socket, consent).await;
        }
        let Ok(encrypted) = acceptor.accept(socket).await else {
            return;
        };
        // After STARTTLS the client does not wait for another greeting.
        let script: &[(&str, Do)] = if consent.is_some() {
            &[("GREETING", Do::Say(""))]
        } else {
            &[]
        };
        converse(encrypted, script, &mut String::new()).await;
    });
    port
}

async fn say_starttls(socket: &mut TcpStream, consent: &str) {
    let (read, mut write) = socket.split();
    // One byte, so that nothing of the TLS handshake is read away.
    let mut read = BufReader::with_capacity(1, read);
    let mut line = String::new();
    write.write_all(b"220 test\r\n").await.unwrap();
    read.read_line(&mut line).await.unwrap();
    write
        .write_all(b"250-test\r\n250 STARTTLS\r\n")
        .await
        .unwrap();
    read.read_line(&mut line).await.unwrap();
    assert!(line.ends_with("STARTTLS\r\n"), "{line}");
    write.write_all(consent.as_bytes()).await.unwrap();
}

async fn deliver(url: &str) -> Result<String, SendError> {
    let mut connection = TransportConfig::parse(url)
        .unwrap()
        .connect(STEP * 10)
        .await?;
    connection.send(&mail("m1@example.org")).await
}

#[tokio::test]
async fn implicit_tls_needs_a_trusted_certificate() {
    let authority = Authority::new();
    let ca = authority.file.path().display();
    let port = serve(authority.acceptor.clone(), None).await;
    assert_eq!(
        deliver(&format!("smtps://127.0.0.1:{port}?ca={ca}"))
            .await
            .unwrap(),
        "250 2.0.0 Ok: queued as 4711"
    );
    let port = serve(authority.acceptor.clone(), None).await;
    let error = deliver(&format!("smtps://127.0.0.1:{port}"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Connection);
    assert!(error.message.contains("certificate"), "{error}");
    // The certificate is for the address, not for the name.
    let port = serve(authority.acceptor.clone(), None).await;
    assert!(
        deliver(&format!("smtps://localhost:{port}?ca={ca}"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn required_starttls_needs_a_trusted_certificate_and_opportunistic_does_not() {
    let authority = Authority::new();
    let ca = authority.file.path().display();
    for (parameters, succeeds) in [
        (format!("?tls=required&ca={ca}"), true),
        ("?tls=required".to_owned(), false),
        ("?tls=opportunistic".to_owned(), true),
        (String::new(), true),
    ] {
        let port = serve(authority.acceptor.clone(), Some("220 go ahead\r\n")).await;
        let result = deliver(&format!("smtp://127.0.0.1:{port}{parameters}")).await;
        assert_eq!(result.is_ok(), succeeds, "{parameters}: {result:?}");
    }
}

/// What a server does after it has offered STARTTLS, instead of TLS.
#[derive(Clone, Copy)]
enum Fault {
    Refuse(&'static str),
    Close,
    Babble,
    /// Ends the session with a reply, or without one.
    Leave(&'static str),
    Hang,
}

/// Serves a connection that begins and does not become TLS, and then one in clear; tells what was said on the last of them.
async fn serve_without_tls(fault: Fault) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut log = String::new();
        match fault {
            Fault::Refuse(reply) => {
                say_starttls(&mut socket, reply).await;
                converse(socket, &[("GREETING", Do::Say(""))], &mut log).await;
                return log;
            }
            Fault::Leave(reply) => {
                say_starttls(&mut socket, reply).await;
                drop(socket);
            }
            Fault::Close => {
                say_starttls(&mut socket, "220 go\r\n").await;
                drop(socket);
            }
            Fault::Babble => {
                say_starttls(&mut socket, "220 go\r\n").await;
                let mut hello = [0; 64];
                tokio::io::AsyncReadExt::read(&mut socket, &mut hello)
                    .await
                    .unwrap();
                socket.write_all(b"500 what?\r\n").await.unwrap();
                drop(socket);
            }
            Fault::Hang => {
                say_starttls(&mut socket, "220 go\r\n").await;
                tokio::spawn(async move {
                    let mut rest = Vec::new();
                    let _ = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest).await;
                });
            }
        }
        let (socket, _) = listener.accept().await.unwrap();
        converse(socket, &[], &mut log).await;
        log
    });
    (port, task)
}

#[tokio::test]
async fn opportunistic_tls_that_fails_gives_way_to_clear_text_and_required_one_does_not() {
    for fault in [
        Fault::Refuse("454 4.7.0 TLS not available\r\n"),
        Fault::Refuse("502 what?\r\n"),
        // What ends the session at STARTTLS need not end one without it.
        Fault::Leave("421 4.3.2 closing\r\n"),
        Fault::Leave(""),
        Fault::Close,
        Fault::Babble,
        Fault::Hang,
    ] {
        let (port, log) = serve_without_tls(fault).await;
        let url = format!("smtp://127.0.0.1:{port}?tls=opportunistic");
        let config = TransportConfig::parse(&url).unwrap();
        let mut connection = config.connect(STEP).await.unwrap();
        connection.send(&mail("m1@example.org")).await.unwrap();
        drop(connection);
        let log = log.await.unwrap();
        assert!(log.contains("Message-ID: <m1@example.org>"), "{log}");
        assert!(!log.contains("STARTTLS"), "{log}");

        let (port, _) = serve_without_tls(fault).await;
        let url = format!("smtp://127.0.0.1:{port}?tls=required");
        let config = TransportConfig::parse(&url).unwrap();
        let error = config.connect(STEP).await.unwrap_err();
        assert_eq!(error.kind, SendErrorKind::Connection);
        assert!(error.message.starts_with("STARTTLS: "), "{error}");
    }
}

/// A certificate that signed itself, as `openssl req -x509` makes them, with and without the dates of today.
fn self_signed(names: &[&str], year: i32) -> (NamedTempFile, TlsAcceptor) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, certificate.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (file, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_taken_when_it_is_named_and_no_other() {
    let (own, acceptor) = self_signed(&["127.0.0.1"], 2400);
    let (other, _) = self_signed(&["127.0.0.1"], 2400);
    let (nameless, of_nobody) = self_signed(&[], 2400);
    let (old, expired) = self_signed(&["127.0.0.1"], 2020);
    let path = |file: &NamedTempFile| file.path().display().to_string();
    for (ca, acceptor, fault) in [
        (Some(path(&own)), &acceptor, None),
        // Who has its key is who is meant.
        (Some(path(&nameless)), &of_nobody, None),
        (
            Some(path(&other)),
            &acceptor,
            Some("name exactly this certificate"),
        ),
        (None, &acceptor, Some("&ca=/file.pem")),
        (Some(path(&old)), &expired, Some("certificate has expired")),
    ] {
        let ca = ca.map_or(String::new(), |ca| format!("?ca={ca}"));
        let port = serve(acceptor.clone(), None).await;
        let result = deliver(&format!("smtps://127.0.0.1:{port}{ca}")).await;
        match (result, fault) {
            (Ok(_), None) => {}
            (Err(error), Some(fault)) => {
                assert!(error.message.contains(fault), "{error}");
                assert!(!error.message.contains("OtherError"), "{error}");
            }
            (result, fault) => panic!("{result:?} where {fault:?} was expected"),
        }
    }
}

#[tokio::test]
async fn why_a_certificate_is_refused_is_said_in_words() {
    let authority = Authority::new();
    let ca = authority.file.path().display();
    let port = serve(authority.acceptor.clone(), None).await;
    let error = deliver(&format!("smtps://localhost:{port}?ca={ca}"))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("is not for \"localhost\" but for"),
        "{error}"
    );
    let port = serve(authority.acceptor.clone(), None).await;
    let empty = NamedTempFile::new().unwrap();
    let url = format!("smtps://localhost:{port}?ca={}", empty.path().display());
    let error = deliver(&url).await.unwrap_err();
    assert!(error.message.contains("there is none in PEM"), "{error}");
    // A server that speaks SMTP where TLS is expected.
    let server = Server::start(&[]).await;
    let error = deliver(&format!("smtps://127.0.0.1:{}?ca={ca}", server.port))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("does not speak TLS there"),
        "{error}"
    );
}

#[tokio::test]
async fn replies_injected_before_tls_are_not_taken_for_replies_inside() {
    let authority = Authority::new();
    let port = serve(
        authority.acceptor.clone(),
        Some("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"),
    )
    .await;
    let error = deliver(&format!("smtp://127.0.0.1:{port}?tls=opportunistic"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.in_doubt),
        (SendErrorKind::Connection, false),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_starttls_is_an_error() {
    let authority = Authority::new();
    let port = serve(
        authority.acceptor.clone(),
        Some("454 4.7.0 TLS not available\r\n"),
    )
    .await;
    let error = deliver(&format!("smtp://127.0.0.1:{port}?tls=required"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.code),
        (SendErrorKind::Connection, Some(454)),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_authority_file_is_named() {
    let port = serve(Authority::new().acceptor.clone(), None).await;
    let error = deliver(&format!("smtps://127.0.0.1:{port}?ca=/no/such/file.pem"))
        .await
        .unwrap_err();
    assert!(error.message.contains("/no/such/file.pem"), "{error}");
}

#[tokio::test]
async fn starttls_is_required_outside_loopback_and_a_stripped_one_is_noticed() {
    let server = Server::start(&[]).await;
    let config =
        TransportConfig::parse(&format!("smtp://127.0.0.1:{}?tls=required", server.port)).unwrap();
    let error = config.connect(STEP).await.unwrap_err();
    assert!(error.message.contains("does not offer STARTTLS"), "{error}");
    drop(error);
    assert!(!server.log().await.contains("MAIL"));
}
