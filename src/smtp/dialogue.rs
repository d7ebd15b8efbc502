//! The connection under an SMTP session: writes commands, reads replies, turns to TLS.

use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::reply::Reply;

/// Most bytes of one read.
const READ_BYTES: usize = 4 * 1024;

/// A connection, and what has been read from it but not yet looked at.
pub(super) struct Dialogue {
    stream: Stream,
    input: Vec<u8>,
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

impl Stream {
    fn socket(&mut self) -> &mut dyn Socket {
        match self {
            Stream::Clear(socket) => socket,
            Stream::Tls(socket) => &mut **socket,
        }
    }
}

impl Dialogue {
    /// Takes over a connected socket.
    pub(super) fn new(socket: TcpStream) -> io::Result<Self> {
        // Without it a command waits up to 40 ms for the acknowledgement of what was written before.
        socket.set_nodelay(true)?;
        Ok(Dialogue {
            stream: Stream::Clear(socket),
            input: Vec::new(),
        })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Our own address, as the server sees it if nothing translates it.
    pub(super) fn local_address(&self) -> io::Result<IpAddr> {
        let socket = match &self.stream {
            Stream::Clear(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().0,
        };
        Ok(socket.local_addr()?.ip())
    }

    /// Shakes hands; for a dialogue at rest.
    pub(super) async fn encrypt(
        self,
        connector: TlsConnector,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let stream = match self.stream {
            Stream::Clear(socket) => Stream::Tls(Box::new(connector.connect(name, socket).await?)),
            encrypted @ Stream::Tls(_) => encrypted,
        };
        Ok(Dialogue { stream, ..self })
    }

    /// Whether everything that was read has been looked at. Otherwise the server says more than it was asked, and what
    /// it says next would pass for the answer to something else.
    pub(super) fn is_at_rest(&self) -> bool {
        self.input.is_empty()
    }

    /// Writes all bytes. `is_written` becomes true when the last of them may be on its way.
    pub(super) async fn write(&mut self, bytes: &[u8], is_written: &mut bool) -> io::Result<()> {
        let socket = self.stream.socket();
        let mut written = 0;
        while written < bytes.len() {
            match socket.write(&bytes[written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => written += more,
            }
        }
        *is_written = true;
        socket.flush().await
    }

    /// Reads the next reply.
    pub(super) async fn read_reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some(reply) = Reply::take(&mut self.input).map_err(io::Error::other)? {
                return Ok(reply);
            }
            let start = self.input.len();
            self.input.resize(start + READ_BYTES, 0);
            let read = self.stream.socket().read(&mut self.input[start..]).await;
            self.input.truncate(start + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the server closed the connection",
                ));
            }
        }
    }
}
