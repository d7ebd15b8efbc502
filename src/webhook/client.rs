//! The HTTP client: one connection to a target, kept for the next message. No redirect is followed, no more is read of an answer than
//! its head and a little, and all of it has a time limit.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Host;

use super::address;
use super::origin::Origin;
use super::signature::Key;

/// So much of an answer is read, so that the connection can be kept; a longer one ends it.
const MOST_READ: usize = 64 * 1024;
/// The head of an answer is no longer.
const MOST_OF_HEAD: usize = 64 * 1024;

/// Who gets messages, and how.
#[derive(Debug)]
pub struct Target {
    pub origin: Origin,
    pub may_be_private: bool,
    /// None: its messages are not signed.
    pub key: Option<Key>,
}

/// A message to POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Path and query.
    pub path: String,
    /// The same for each attempt, by which the receiver knows a message again.
    pub id: String,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// JSON.
    pub body: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Answered {
        status: u16,
        /// The status with its words.
        text: String,
        retry_after: Option<String>,
    },
    /// No answer, and why: whether it was taken is not known.
    Silent(String),
}

/// A connection, once one is needed.
#[derive(Default)]
pub struct Connection(Option<SendRequest<String>>);

/// Why there is no answer.
enum Failure {
    /// The connection ended, as one that was idle may do.
    Ended(String),
    Other(String),
}

impl Connection {
    /// Whether it can take another message.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.as_ref().is_none_or(|sender| !sender.is_closed())
    }

    /// POSTs a message, within `limit` in all.
    pub async fn post(&mut self, target: &Target, message: &Message, limit: Duration) -> Reply {
        match timeout(limit, self.try_post(target, message)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(reason)) => Reply::Silent(reason),
            Err(_) => {
                self.0 = None;
                Reply::Silent(format!("no answer within {} s", limit.as_secs_f64()))
            }
        }
    }

    async fn try_post(&mut self, target: &Target, message: &Message) -> Result<Reply, String> {
        if let Some(mut sender) = self.0.take()
            && sender.ready().await.is_ok()
        {
            match self.exchange(sender, target, message).await {
                Ok(reply) => return Ok(reply),
                // The target may have closed it while nobody looked; what has an id of its own may be sent twice.
                Err(Failure::Ended(_)) => {}
                Err(Failure::Other(reason)) => return Err(reason),
            }
        }
        let sender = connect(target).await?;
        let answered = self.exchange(sender, target, message).await;
        answered.map_err(|(Failure::Ended(reason) | Failure::Other(reason))| reason)
    }

    async fn exchange(
        &mut self,
        mut sender: SendRequest<String>,
        target: &Target,
        message: &Message,
    ) -> Result<Reply, Failure> {
        let request = request(target, message).map_err(Failure::Other)?;
        let response = sender.send_request(request).await.map_err(|error| {
            let reason = format!("no answer: {error}");
            match error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
                true => Failure::Ended(reason),
                false => Failure::Other(reason),
            }
        })?;
        let reply = reply(&response);
        if read(response).await {
            self.0 = Some(sender);
        }
        Ok(reply)
    }
}

/// The header lines of a message but for the signature, for previews; `key`: what signs it.
#[must_use]
pub fn headers(target: &Target, message: &Message) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("host", target.origin.authority().to_owned()),
        ("content-type", "application/json".to_owned()),
        (
            "user-agent",
            concat!("marketing_automation/", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
        ("webhook-id", message.id.clone()),
        ("webhook-timestamp", message.timestamp.to_string()),
    ];
    if let Some(key) = &target.key {
        let signature = key.sign(&message.id, message.timestamp, &message.body);
        headers.push(("webhook-signature", signature));
    }
    headers
}

fn request(target: &Target, message: &Message) -> Result<Request<String>, String> {
    let mut request = Request::post(&message.path);
    for (name, value) in headers(target, message) {
        request = match name {
            "host" => request.header(HOST, value),
            "content-type" => request.header(CONTENT_TYPE, value),
            "user-agent" => request.header(USER_AGENT, value),
            name => request.header(name, value),
        };
    }
    request
        .body(message.body.clone())
        .map_err(|error| format!("it cannot be sent: {error}"))
}

fn reply(response: &Response<Incoming>) -> Reply {
    let status = response.status();
    let words = status.canonical_reason().unwrap_or_default();
    let retry_after =
        |headers: &HeaderMap| Some(headers.get(RETRY_AFTER)?.to_str().ok()?.to_owned());
    Reply::Answered {
        status: status.as_u16(),
        text: format!("{} {words}", status.as_u16()).trim_end().to_owned(),
        retry_after: retry_after(response.headers()),
    }
}

/// Reads what is left of an answer; whether that was all. What it says decides nothing, so one that does not end costs the connection.
async fn read(response: Response<Incoming>) -> bool {
    let mut body = response.into_body();
    let mut room = MOST_READ;
    let all = async {
        loop {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, |data| data.len());
                    match room.checked_sub(bytes) {
                        Some(left) => room = left,
                        None => return false,
                    }
                }
            }
        }
    };
    timeout(Duration::from_secs(1), all).await.unwrap_or(false)
}

/// Connects to the first address of the target that it may have and that answers.
async fn connect(target: &Target) -> Result<SendRequest<String>, String> {
    let origin = &target.origin;
    let host = match &origin.host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let found = lookup_host((host.clone(), origin.port)).await;
    let found = found.map_err(|error| format!("{host} cannot be resolved: {error}"))?;
    let mut reason = format!("{host} has no address");
    for address in found {
        if let Err(what) = address::judge(address.ip(), target.may_be_private) {
            reason = format!(
                "{host} is at {}, {what}, where webhooks do not go",
                address.ip()
            );
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return shake_hands(stream, origin, host).await,
            Err(error) => reason = format!("cannot connect to {address}: {error}"),
        }
    }
    Err(reason)
}

async fn shake_hands(
    stream: TcpStream,
    origin: &Origin,
    host: String,
) -> Result<SendRequest<String>, String> {
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let mut builder = Builder::new();
    builder.max_buf_size(MOST_OF_HEAD);
    if !origin.is_tls {
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        return Ok(sender);
    }
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let stream = connector()?.connect(name, stream).await;
    let stream = stream.map_err(|error| format!("TLS: {error}"))?;
    let made = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

/// TLS with the system's authorities, which are read once.
fn connector() -> Result<&'static TlsConnector, String> {
    static CONNECTOR: OnceLock<Result<TlsConnector, String>> = OnceLock::new();
    let made = CONNECTOR.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let client = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(client)))
    });
    made.as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests;
