// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The gateway's own pages: at its own name, and below two paths of every name whose TLS it ends.
//!
//! Behind those names everything else belongs to the app, whose bytes the gateway passes on without reading them. So a
//! connection is either the app's or the gateway's, by the first line that the client sends: over HTTP/1.1, one of the
//! paths below makes the connection the gateway's until its end.

use std::{io, time::Duration};

use axum::Router;
use bytes::BytesMut;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use mandate_runtime::carry::End;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::Live;
use crate::sni::Rewind;

/// Where the gateway's own pages begin: ours, and those of upstream dstack.
const OURS: [&str; 2] = ["/.well-known/mandate/", "/.dstack/"];
const METHODS: [&str; 2] = ["GET ", "HEAD "];
/// One TLS record.
const CHUNK: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// Who a connection belongs to.
pub(super) enum Word<C, I> {
    /// The client asks for one of the gateway's pages.
    Ours(Rewind<C>),
    /// Anything else.
    Theirs(Rewind<C>, Rewind<I>),
}

/// Waits until either side has said enough to tell whose the connection is. What was read is given back.
pub(super) async fn first_word<C, I>(mut client: C, mut instance: I) -> io::Result<Word<C, I>>
where
    C: AsyncRead + Unpin,
    I: AsyncRead + Unpin,
{
    let mut said = BytesMut::new();
    let mut answered = BytesMut::new();
    while is_undetermined(&said) {
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
    let ours = is_ours(&said);
    let client = Rewind::new(said.freeze(), client);
    match ours {
        true => Ok(Word::Ours(client)),
        false => Ok(Word::Theirs(client, Rewind::new(answered.freeze(), instance))),
    }
}

fn beginnings() -> impl Iterator<Item = String> {
    METHODS.iter().flat_map(|method| OURS.iter().map(move |path| format!("{method}{path}")))
}

fn is_ours(said: &[u8]) -> bool {
    beginnings().any(|begin| said.starts_with(begin.as_bytes()))
}

/// Whether more bytes could still make it ours.
fn is_undetermined(said: &[u8]) -> bool {
    beginnings().any(|begin| said.len() < begin.len() && begin.as_bytes().starts_with(said))
}

/// Serves the pages until the client goes away or is too slow.
pub(super) async fn serve<S>(stream: S, pages: Router, live: &Live) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limit: Duration = live.limits.handshake_timeout;
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limit).max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(32)
        .keep_alive_interval(limit)
        .keep_alive_timeout(limit);
    match builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages)).await {
        Ok(()) => End::Closed,
        Err(_) => End::Broken(io::ErrorKind::Other),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn word(said: &[u8], answered: &[u8]) -> (bool, Vec<u8>) {
        let (mut client, near) = tokio::io::duplex(256);
        let (mut instance, far) = tokio::io::duplex(256);
        client.write_all(said).await.unwrap();
        instance.write_all(answered).await.unwrap();
        drop((client, instance));
        match first_word(near, far).await.unwrap() {
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
    async fn only_the_two_paths_are_the_gateways() {
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
                let word = first_word(near, far).await.unwrap();
                matches!(word, Word::Ours(_))
            },
            writes
        );
        assert!(word);
    }
}
