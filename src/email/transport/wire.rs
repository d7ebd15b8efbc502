//! The socket under an SMTP session: bounds what a server can make us read.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that a server may send between two things that we say; the certificates of STARTTLS must fit. lettre bounds
/// a line only when it has ended, and reads a reply again at each line.
const MAX_UNANSWERED_BYTES: usize = 16 * 1024;

/// Most bytes of one read.
const MAX_READ_BYTES: usize = 4 * 1024;

/// A stream with a limit on unanswered input.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    unanswered: usize,
    /// While STARTTLS may come, input is read byte by byte: nothing that follows the server's consent in clear can
    /// wait in a buffer and pass for a reply from inside TLS (CVE-2011-0411, seen from the client).
    bytewise: bool,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, peer: SocketAddr, expects_starttls: bool) -> Self {
        Wire {
            stream,
            peer,
            unanswered: 0,
            bytewise: expects_starttls,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unanswered >= MAX_UNANSWERED_BYTES {
            return Poll::Ready(Err(io::Error::other("the server's reply is endless")));
        }
        let limit = if this.bytewise {
            1
        } else {
            MAX_READ_BYTES.min(MAX_UNANSWERED_BYTES - this.unanswered)
        };
        let mut limited = ReadBuf::new(buf.initialize_unfilled_to(limit.min(buf.remaining())));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut limited))?;
        let read = limited.filled().len();
        buf.advance(read);
        this.unanswered += read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.unanswered = 0;
        // Anything else means that TLS has begun, or that it will not.
        this.bytewise &= buf.starts_with(b"EHLO ") || buf.starts_with(b"STARTTLS");
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream
    for Wire<S>
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
