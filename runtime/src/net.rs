// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets behind a small trait, so that a whole deployment can talk over a simulated network.

use std::{
    fmt::{self, Debug},
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

mod port;

pub use port::free_port;

/// Where connections come from and go to.
pub trait Net: Send + Sync + Debug {
    /// Binds a stream socket; port 0 picks a free one.
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Listener>>;

    /// Connects to `host`, a name or an address without brackets.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>>;

    /// The addresses of `host`, a name or an address without brackets.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;

    /// Whether `ip` is one of this host's own.
    fn is_own(&self, ip: IpAddr) -> bool;

    /// Binds a unix socket with mode 0600.
    fn listen_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Listener>> {
        no_unix(path)
    }

    /// Connects to a unix socket.
    fn connect_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Stream>> {
        no_unix(path)
    }
}

fn no_unix<T: Send + 'static>(path: &Path) -> BoxFuture<'static, io::Result<T>> {
    let text = format!("this network has no unix sockets (asked for {})", path.display());
    async move { Err(io::Error::new(io::ErrorKind::Unsupported, text)) }.boxed()
}

/// What a [`Stream`] is made of.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection. For hyper, wrap it in `hyper_util::rt::TokioIo`.
pub struct Stream(Box<dyn Io>);

impl Stream {
    /// Wraps anything that reads and writes.
    pub fn new(io: impl Io + 'static) -> Self {
        Self(Box::new(io))
    }
}

impl Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The other end of a connection, or the address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// TCP or a simulation of it.
    Socket(SocketAddr),
    /// A unix socket; clients have no path.
    Unix(Option<PathBuf>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(addr) => Debug::fmt(addr, f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix"),
        }
    }
}

/// What a [`Listener`] is made of.
pub trait Accept: Send {
    /// The next connection. Dropping the future loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, Peer)>>;

    /// Where it listens.
    fn local(&self) -> io::Result<Peer>;
}

/// A bound socket.
pub struct Listener(Box<dyn Accept>);

impl Listener {
    /// Wraps anything that accepts.
    pub fn new(accept: impl Accept + 'static) -> Self {
        Self(Box::new(accept))
    }

    /// The next connection. Errors of one connection are passed over; when the process is out of descriptors this waits
    /// for better times instead of spinning.
    pub async fn accept(&mut self) -> (Stream, Peer) {
        loop {
            match self.0.accept().await {
                Ok(accepted) => return accepted,
                Err(e) if is_connection_error(&e) => {}
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept connections; trying again in a second");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// The bound address; an error for a unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0.local()? {
            Peer::Socket(addr) => Ok(addr),
            Peer::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "a unix socket has no port")),
        }
    }

    /// Where it listens, whatever its kind.
    pub fn local(&self) -> io::Result<Peer> {
        self.0.local()
    }
}

impl Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.0.local().ok()).finish()
    }
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = Peer;

    async fn accept(&mut self) -> (Stream, Peer) {
        Self::accept(self).await
    }

    fn local_addr(&self) -> io::Result<Peer> {
        self.0.local()
    }
}

fn is_connection_error(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(e.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// The operating system's sockets: TCP without Nagle's delay, and unix sockets.
#[derive(Debug, Clone, Copy)]
pub struct TcpNet;

impl Net for TcpNet {
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Listener>> {
        async move { Ok(Listener::new(TcpListener::bind(addr).await?)) }.boxed()
    }

    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Stream>> {
        async move {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::new(stream))
        }
        .boxed()
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed()
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        // Only an address of this host can be bound; nothing is sent.
        UdpSocket::bind((ip, 0)).is_ok()
    }

    fn listen_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Listener>> {
        async move { bind_unix(path).await.map(Listener::new) }.boxed()
    }

    fn connect_unix<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, io::Result<Stream>> {
        async move { Ok(Stream::new(UnixStream::connect(path).await?)) }.boxed()
    }
}

/// Takes the place of a socket file that nobody serves any more, but of nothing else.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};

    if std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket()) {
        match UnixStream::connect(path).await {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    format!("{} is served", path.display()),
                ));
            }
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(e) => return Err(e),
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Accept for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, Peer)>> {
        async move {
            let (stream, peer) = Self::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Stream::new(stream), Peer::Socket(peer)))
        }
        .boxed()
    }

    fn local(&self) -> io::Result<Peer> {
        self.local_addr().map(Peer::Socket)
    }
}

impl Accept for UnixListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Stream, Peer)>> {
        async move {
            let (stream, _) = Self::accept(self).await?;
            Ok((Stream::new(stream), Peer::Unix(None)))
        }
        .boxed()
    }

    fn local(&self) -> io::Result<Peer> {
        Ok(Peer::Unix(self.local_addr()?.as_pathname().map(Path::to_owned)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn echo_once(mut listener: Listener) {
        let (mut stream, _) = listener.accept().await;
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        stream.write_all(&word).await.unwrap();
    }

    async fn says_ping(mut stream: Stream) {
        stream.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
    }

    #[tokio::test]
    async fn tcp_round_trip() {
        let listener = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(echo_once(listener));
        says_ping(TcpNet.connect("127.0.0.1", port).await.unwrap()).await;
        server.await.unwrap();
    }

    #[tokio::test]
    async fn unix_round_trip_replaces_a_dead_socket_but_not_a_live_one() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        drop(TcpNet.listen_unix(&path).await.unwrap());
        let listener = TcpNet.listen_unix(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let server = tokio::spawn(echo_once(listener));
        says_ping(TcpNet.connect_unix(&path).await.unwrap()).await;
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let first = TcpNet.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let again = TcpNet.listen(first.local_addr().unwrap()).await;
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
