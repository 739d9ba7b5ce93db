// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries bytes both ways between a client and an instance until both are done, nothing moves, or the route ends.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use mandate_runtime::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio_util::sync::CancellationToken;

const BUFFER: usize = 32 << 10;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides closed.
    Closed,
    /// One side broke off.
    Broken(io::ErrorKind),
    /// Nothing moved for the idle timeout.
    Idle,
    /// The route or domain was taken away.
    Revoked,
}

impl End {
    /// A label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken(_) => "broken",
            Self::Idle => "idle",
            Self::Revoked => "revoked",
        }
    }
}

/// Copies both ways. When one side ends its stream the other learns of it and may go on sending (half-close).
pub async fn carry<A, B>(a: A, b: B, clock: &dyn Clock, idle: Duration) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let moved = Arc::new(AtomicU64::new(0));
    let mut a = Counted { inner: a, moved: Arc::clone(&moved) };
    let mut b = Counted { inner: b, moved: Arc::clone(&moved) };
    tokio::select! {
        copied = copy_bidirectional_with_sizes(&mut a, &mut b, BUFFER, BUFFER) => match copied {
            Ok(_) => End::Closed,
            Err(e) => End::Broken(e.kind()),
        },
        () = nothing_moves(&moved, clock, idle) => End::Idle,
    }
}

/// Completes when the count stood still for at least `idle`, at most twice that.
async fn nothing_moves(moved: &AtomicU64, clock: &dyn Clock, idle: Duration) {
    let mut before = 0;
    loop {
        clock.sleep(idle).await;
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}

/// `future`, unless `token` is cancelled first: then it is dropped at once, with every socket that it holds.
pub async fn unless<F: Future>(token: &CancellationToken, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        () = token.cancelled() => None,
        output = future => Some(output),
    }
}

/// Counts the bytes that move in either direction.
struct Counted<S> {
    inner: S,
    moved: Arc<AtomicU64>,
}

impl<S> Counted<S> {
    fn add(&self, n: usize) {
        self.moved.fetch_add(n as u64, Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.add(buf.filled().len() - before);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = polled {
            self.add(n);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use mandate_runtime::clock::{ManualClock, SystemClock};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    struct Ends {
        client: DuplexStream,
        instance: DuplexStream,
        carried: tokio::task::JoinHandle<End>,
    }

    fn start(clock: Arc<dyn Clock>, token: &CancellationToken) -> Ends {
        let ((client, a), (b, instance)) = (duplex(64), duplex(64));
        let token = token.clone();
        let carried = tokio::spawn(async move {
            unless(&token, carry(a, b, clock.as_ref(), IDLE)).await.unwrap_or(End::Revoked)
        });
        Ends { client, instance, carried }
    }

    #[tokio::test]
    async fn half_closed_connection_still_carries_the_answer() {
        let mut ends = start(Arc::new(SystemClock::new()), &CancellationToken::new());
        ends.client.write_all(b"question").await.unwrap();
        ends.client.shutdown().await.unwrap();
        let mut question = String::new();
        ends.instance.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        ends.instance.write_all(b"answer").await.unwrap();
        drop(ends.instance);
        let mut answer = String::new();
        ends.client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        assert_eq!(ends.carried.await.unwrap(), End::Closed);
    }

    #[tokio::test]
    async fn cancelled_connection_closes_both_sides_at_once() {
        let token = CancellationToken::new();
        let mut ends = start(Arc::new(SystemClock::new()), &token);
        ends.client.write_all(b"x").await.unwrap();
        ends.instance.read_u8().await.unwrap();
        token.cancel();
        assert_eq!(ends.carried.await.unwrap(), End::Revoked);
        assert_eq!(ends.client.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(ends.instance.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn idle_connection_ends_but_a_busy_one_stays() {
        let clock = Arc::new(ManualClock::new(0));
        let mut ends = start(clock.clone(), &CancellationToken::new());
        for _ in 0..3 {
            ends.client.write_all(b"x").await.unwrap();
            ends.instance.read_u8().await.unwrap();
            clock.advance(IDLE);
            tokio::task::yield_now().await;
            assert!(!ends.carried.is_finished());
        }
        clock.advance(IDLE);
        clock.advance(IDLE);
        assert_eq!(ends.carried.await.unwrap(), End::Idle);
    }
}
