// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looking at what a connection says first, without using it up.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const METHODS: [&str; 2] = ["GET ", "HEAD "];
/// One TLS record.
const CHUNK: usize = 16 << 10;

/// A stream that gives bytes which were read ahead once more.
#[derive(Debug)]
pub struct Rewind<S> {
    ahead: Bytes,
    inner: S,
}

impl<S> Rewind<S> {
    /// `inner`, with `ahead` in front of it.
    pub fn new(ahead: Bytes, inner: S) -> Self {
        Self { ahead, inner }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.has_remaining() {
            let n = buf.remaining().min(self.ahead.remaining());
            buf.put_slice(&self.ahead.split_to(n));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Who a connection belongs to.
#[derive(Debug)]
pub enum Word<C, I> {
    /// The client asks over HTTP/1.1 for one of our own pages.
    Ours(Rewind<C>),
    /// Anything else.
    Theirs(Rewind<C>, Rewind<I>),
}

/// Waits until either side has said enough to tell whether the client's first request is a GET or HEAD below one of `paths`.
/// What was read is given back.
///
/// # Errors
/// The streams'.
pub async fn first_word<C, I>(mut client: C, mut instance: I, paths: &[&str]) -> io::Result<Word<C, I>>
where
    C: AsyncRead + Unpin,
    I: AsyncRead + Unpin,
{
    let mut said = BytesMut::new();
    let mut answered = BytesMut::new();
    while is_undetermined(&said, paths) {
        said.reserve(CHUNK);
        // The instance may speak first, and then it is no HTTP.
        let read = tokio::select! {
            biased;
            read = client.read_buf(&mut said) => read?,
            read = instance.read_u8() => {
                answered.extend_from_slice(&[read?]);
                break;
            }
        };
        if read == 0 {
            break;
        }
    }
    let ours = is_ours(&said, paths);
    let client = Rewind::new(said.freeze(), client);
    match ours {
        true => Ok(Word::Ours(client)),
        false => Ok(Word::Theirs(client, Rewind::new(answered.freeze(), instance))),
    }
}

/// What begins as a method and a path does: the rest of it.
fn below<'a>(said: &'a [u8], method: &str, path: &str) -> Option<&'a [u8]> {
    said.strip_prefix(method.as_bytes())?.strip_prefix(path.as_bytes())
}

fn is_ours(said: &[u8], paths: &[&str]) -> bool {
    METHODS.iter().any(|method| paths.iter().any(|path| below(said, method, path).is_some()))
}

/// Whether more bytes could still make it ours.
fn is_undetermined(said: &[u8], paths: &[&str]) -> bool {
    let could_be = |method: &str, path: &str| {
        let whole = method.bytes().chain(path.bytes());
        said.len() < method.len() + path.len() && whole.zip(said).all(|(one, other)| one == *other)
    };
    METHODS.iter().any(|method| paths.iter().any(|path| could_be(method, path)))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const PATHS: [&str; 2] = ["/.well-known/mandate/", "/.dstack/"];

    async fn word(said: &[u8], answered: &[u8]) -> (bool, Vec<u8>) {
        let (mut client, near) = tokio::io::duplex(256);
        let (mut instance, far) = tokio::io::duplex(256);
        client.write_all(said).await.unwrap();
        instance.write_all(answered).await.unwrap();
        drop((client, instance));
        match first_word(near, far, &PATHS).await.unwrap() {
            Word::Ours(mut client) => {
                let mut all = Vec::new();
                client.read_to_end(&mut all).await.unwrap();
                (true, all)
            }
            Word::Theirs(mut client, mut instance) => {
                let mut all = Vec::new();
                client.read_to_end(&mut all).await.unwrap();
                instance.read_to_end(&mut all).await.unwrap();
                (false, all)
            }
        }
    }

    #[tokio::test]
    async fn only_the_two_paths_are_ours() {
        for ours in ["GET /.well-known/mandate/gateway HTTP/1.1\r\n", "HEAD /.dstack/app-info HTTP/1.1\r\n"] {
            assert_eq!(word(ours.as_bytes(), b"").await, (true, ours.as_bytes().to_vec()));
        }
        for theirs in [
            "GET / HTTP/1.1\r\n",
            "GET /.well-known/acme-challenge/x HTTP/1.1\r\n",
            "GET /.well-known/mandatex HTTP/1.1\r\n",
            "POST /.well-known/mandate/gateway HTTP/1.1\r\n",
            "get /.dstack/app-info HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n",
            "GE",
            "",
        ] {
            assert_eq!(word(theirs.as_bytes(), b"").await, (false, theirs.as_bytes().to_vec()), "{theirs}");
        }
    }

    #[tokio::test]
    async fn instance_that_speaks_first_is_not_kept_waiting() {
        assert_eq!(word(b"", b"220 hello").await, (false, b"220 hello".to_vec()));
    }

    #[tokio::test]
    async fn path_in_many_pieces_is_put_together() {
        let (mut client, near) = tokio::io::duplex(1);
        let (_instance, far) = tokio::io::duplex(16);
        let writes = async {
            let _ = client.write_all(b"GET /.well-known/mandate/x").await;
        };
        let (word, ()) = tokio::join!(
            async {
                let word = first_word(near, far, &PATHS).await.unwrap();
                matches!(word, Word::Ours(_))
            },
            writes
        );
        assert!(word);
    }

    #[tokio::test]
    async fn what_is_written_goes_to_the_stream_and_ends_with_it() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut rewind = Rewind::new(Bytes::from_static(b"ahead"), tokio::io::BufWriter::new(near));
        rewind.write_all(b"x").await.unwrap();
        rewind.flush().await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'x');
        rewind.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
}
