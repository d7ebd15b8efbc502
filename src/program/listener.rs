//! Accepts connections on TCP, with or without TLS, or a Unix socket and speaks HTTP/1.1 on them, with limits on slow and many clients.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::tls::Tls;

/// For a request header to arrive, counted from the opening of the connection or the previous answer; so also how long
/// a connection may be idle. Ends clients that send a byte now and then to keep a connection busy (slow loris).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a client to take an answer in, and to say hello under TLS.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest request header, in bytes; a longer one is answered 431. As nginx: links on the shop's own domain come with all its cookies.
const HEADER_LIMIT: usize = 32 * 1024;
/// Connections at a time; more wait in the kernel.
const CONNECTION_LIMIT: usize = 4096;
/// Open files for everything else: connections to the database, the spool.
const OTHER_FILES: usize = 64;
/// After an error of `accept` such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen: `address:port`, or `unix:` and a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(
                "the path of a Unix socket must be absolute, such as unix:/run/tracking.sock"
                    .to_owned(),
            ),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                "must be address:port, such as 127.0.0.1:8080 or [::1]:8080, or unix:/path"
                    .to_owned()
            }),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080)))
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Tcp(IpAddr),
    /// A Unix socket: who may connect to it is decided by the rights of its file, so it is a reverse proxy of ours.
    Unix,
}

/// A bound socket.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket; removed when dropped.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            warn!(%error, "socket file was not removed");
        }
    }
}

impl Listener {
    /// Binds the socket. A socket file that nobody listens on any more is replaced.
    pub async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Listen::Unix(path) => {
                remove_stale(path).await?;
                Ok(Self::Unix(
                    UnixListener::bind(path)?,
                    SocketFile(path.clone()),
                ))
            }
        }
    }

    /// Where it really listens: of port 0 the port that was free.
    pub fn address(&self) -> Listen {
        match self {
            Self::Tcp(listener) => Listen::Tcp(
                listener
                    .local_addr()
                    .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0))),
            ),
            Self::Unix(_, file) => Listen::Unix(file.0.clone()),
        }
    }

    /// Accepts connections until `shutdown` is ready; returns those that are still open.
    pub async fn serve(
        self,
        app: Router,
        tls: Option<Arc<Tls>>,
        shutdown: impl Future<Output = ()>,
    ) -> Connections {
        let mut connections = Connections {
            graceful: GracefulShutdown::new(),
            tasks: JoinSet::new(),
        };
        let slots = Arc::new(Semaphore::new(connection_limit()));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => return connections,
                Some(_) = connections.tasks.join_next() => continue,
                accepted = self.accept(&slots) => accepted,
            };
            match accepted {
                Ok((stream, slot)) => {
                    let watcher = connections.graceful.watcher();
                    let app = app.clone();
                    let tls = tls.clone();
                    connections.tasks.spawn(async move {
                        stream.converse(app, tls.as_deref(), watcher).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    warn!(%error, "connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Listener {
    async fn accept(&self, slots: &Arc<Semaphore>) -> io::Result<(Stream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(slots)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let stream = match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // An answer is one small write, which need not wait for more.
                stream.set_nodelay(true)?;
                socket2::SockRef::from(&stream.as_fd())
                    .set_tcp_user_timeout(Some(ANSWER_TIMEOUT))?;
                Stream::Tcp(stream, address.ip())
            }
            Self::Unix(listener, _) => Stream::Unix(listener.accept().await?.0),
        };
        Ok((stream, slot))
    }
}

enum Stream {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

impl Stream {
    async fn converse(self, app: Router, tls: Option<&Tls>, watcher: Watcher) {
        match (self, tls) {
            (Self::Tcp(stream, address), None) => {
                converse(stream, app, Peer::Tcp(address), watcher).await;
            }
            (Self::Tcp(stream, address), Some(tls)) => {
                let handshake = tls.acceptor().accept(stream);
                match tokio::time::timeout(ANSWER_TIMEOUT, handshake).await {
                    Ok(Ok(stream)) => converse(stream, app, Peer::Tcp(address), watcher).await,
                    Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
                    Err(_) => debug!("TLS handshake took too long"),
                }
            }
            (Self::Unix(stream), _) => converse(stream, app, Peer::Unix, watcher).await,
        }
    }
}

/// The application, told who the other end of the connection is.
struct Conversation {
    app: TowerToHyperService<Router>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Conversation {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.app.call(request)
    }
}

/// Answers the requests of one connection until either side closes it.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    app: Router,
    peer: Peer,
    watcher: Watcher,
) {
    let conversation = Conversation {
        app: TowerToHyperService::new(app),
        peer,
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LIMIT)
        // Copying an answer of a few hundred bytes is cheaper than gathering it.
        .writev(false)
        .serve_connection(TokioIo::new(stream), conversation);
    if let Err(error) = watcher.watch(connection).await {
        // Clients that hang up or talk nonsense are everyday life on the Internet.
        debug!(%error, "connection ended");
    }
}

/// Connections that were open when the listener stopped accepting.
pub struct Connections {
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    /// Lets requests under way finish and closes idle connections.
    pub async fn finish(mut self) {
        self.graceful.shutdown().await;
        while self.tasks.join_next().await.is_some() {}
    }
}

/// As many connections as the process may have open files for. It takes what it may, as what shells and service managers
/// give without being asked, 1024, is for programs that use select(2).
fn connection_limit() -> usize {
    let wanted = CONNECTION_LIMIT + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = |limit: &Rlimit| {
        let files = limit.current.and_then(|files| usize::try_from(files).ok());
        files.unwrap_or(usize::MAX)
    };
    if allowed(&limit) < wanted {
        let more = limit
            .maximum
            .map_or(wanted as u64, |most| most.min(wanted as u64));
        limit.current = limit.current.max(Some(more));
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    let files = allowed(&limit);
    if files < wanted {
        warn!(
            files,
            "open files are limited, and so are connections: see LimitNOFILE of systemd.exec(5)"
        );
    }
    files.saturating_sub(OTHER_FILES).clamp(1, CONNECTION_LIMIT)
}

/// Removes a socket file that a killed process left behind. One that is in use stays, and so does any other file.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        _ => return Ok(()),
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_socket_paths_are_understood() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "unix:/run/tracking.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8080",
            "localhost",
            "unix:",
            "unix:relative.sock",
            "/run/tracking.sock",
        ] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let listen = Listen::Unix(path.clone());
        let first = Listener::bind(&listen).await.unwrap();
        assert_eq!(
            Listener::bind(&listen).await.err().unwrap().kind(),
            ErrorKind::AddrInUse
        );
        drop(first);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn other_files_are_never_removed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "precious").unwrap();
        let listen = Listen::Unix(file.path().to_owned());
        assert!(Listener::bind(&listen).await.is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}
