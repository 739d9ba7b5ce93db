// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carries bytes both ways between a client and an instance until both are done, nothing moves, or somebody cuts them off.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// As much as is read at a time: two TLS records.
const CHUNK: usize = 32 << 10;

thread_local! {
    /// What is read lies here until it is written, all within one poll: a connection owns memory only for what the other side
    /// would not take at once, so that an idle one owns none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides closed.
    Closed,
    /// One side broke off.
    Broken(io::ErrorKind),
    /// Nothing moved for the idle timeout.
    Idle,
    /// What allowed it was taken away.
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

/// How many bytes a connection has moved.
#[derive(Debug, Default)]
pub struct Traffic {
    to_instance: AtomicU64,
    to_client: AtomicU64,
}

impl Traffic {
    /// Bytes from the client to the instance.
    pub fn to_instance(&self) -> u64 {
        self.to_instance.load(Ordering::Relaxed)
    }

    /// Bytes from the instance to the client.
    pub fn to_client(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }

    fn total(&self) -> u64 {
        self.to_instance().wrapping_add(self.to_client())
    }
}

/// Copies both ways. When one side ends its stream the other learns of it and may go on sending (half-close).
pub async fn carry<C, I>(
    mut client: C,
    mut instance: I,
    traffic: &Traffic,
    clock: &dyn Clock,
    idle: Duration,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (mut inwards, mut outwards) = (Direction::default(), Direction::default());
    let copied = poll_fn(|cx| {
        let one = inwards.poll(cx, &mut client, &mut instance, &traffic.to_instance)?;
        let other = outwards.poll(cx, &mut instance, &mut client, &traffic.to_client)?;
        match one.is_ready() && other.is_ready() {
            true => Poll::Ready(io::Result::Ok(())),
            false => Poll::Pending,
        }
    });
    tokio::select! {
        copied = copied => match copied {
            Ok(()) => End::Closed,
            Err(e) => End::Broken(e.kind()),
        },
        () = nothing_moves(traffic, clock, idle) => End::Idle,
    }
}

/// Completes when the count stood still for at least `idle`, at most twice that.
async fn nothing_moves(traffic: &Traffic, clock: &dyn Clock, idle: Duration) {
    let mut before = 0;
    loop {
        clock.sleep(idle).await;
        let now = traffic.total();
        if now == before {
            return;
        }
        before = now;
    }
}

/// One half of a connection.
#[derive(Default)]
struct Direction {
    /// Read and not written yet, from `written` on.
    rest: Vec<u8>,
    written: usize,
    unflushed: bool,
    ended: bool,
    done: bool,
}

impl Direction {
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        moved: &AtomicU64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.done {
            ready!(self.poll_rest(cx, to, moved))?;
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.done = true;
            } else if self.poll_chunk(cx, from, to, moved)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what was kept, and gives its memory back.
    fn poll_rest<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        moved: &AtomicU64,
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.rest.get(self.written..) {
            let n = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            self.written += taken(n, moved)?;
        }
        (self.rest, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes what it can of that.
    fn poll_chunk<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        to: &mut W,
        moved: &AtomicU64,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            let mut chunk = buffer.filled();
            self.ended = chunk.is_empty();
            self.unflushed |= !self.ended;
            while !chunk.is_empty() {
                let Poll::Ready(written) = Pin::new(&mut *to).poll_write(cx, chunk) else { break };
                let n = taken(written?, moved)?;
                chunk = chunk.get(n..).unwrap_or_default();
            }
            self.rest.extend_from_slice(chunk);
            Poll::Ready(Ok(()))
        })
    }
}

fn taken(n: usize, moved: &AtomicU64) -> io::Result<usize> {
    if n == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    moved.fetch_add(n as u64, Ordering::Relaxed);
    Ok(n)
}

/// `future`, unless `token` is cancelled first: then it is dropped at once, with every socket that it holds.
pub async fn unless<F: Future>(token: &CancellationToken, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        () = token.cancelled() => None,
        output = future => Some(output),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::clock::{ManualClock, SystemClock};

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
            unless(&token, carry(a, b, &Traffic::default(), clock.as_ref(), IDLE))
                .await
                .unwrap_or(End::Revoked)
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

    /// Takes nothing, and does not say that it is closed.
    struct Full;

    impl AsyncRead for Full {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Full {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(0))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn side_that_takes_nothing_breaks_the_connection() {
        let (mut client, near) = duplex(64);
        client.write_all(b"x").await.unwrap();
        let end = carry(near, Full, &Traffic::default(), &SystemClock::new(), IDLE).await;
        assert_eq!(end, End::Broken(io::ErrorKind::WriteZero));
    }

    #[tokio::test]
    async fn what_waits_for_more_is_flushed() {
        let ((mut client, a), (b, mut instance)) = (duplex(64), duplex(64));
        let (traffic, clock) = (Traffic::default(), SystemClock::new());
        let buffered = tokio::io::BufWriter::new(b);
        let carried = carry(a, buffered, &traffic, &clock, IDLE);
        let heard = async {
            for _ in 0..3 {
                client.write_all(b"x").await.unwrap();
                instance.read_u8().await.unwrap();
            }
        };
        tokio::select! {
            end = carried => panic!("{end:?}"),
            heard = tokio::time::timeout(Duration::from_secs(20), heard) => heard.expect("it stays in the buffer"),
        }
    }

    #[tokio::test]
    async fn idle_connection_owns_no_memory() {
        let (mut near, mut far) = duplex(16);
        let (mut from, mut taken) = (tokio::io::repeat(1).take(1_000), vec![0; 1_000]);
        let (mut direction, moved) = (Direction::default(), AtomicU64::new(0));
        poll_fn(|cx| {
            assert!(direction.poll(cx, &mut from, &mut near, &moved).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(!direction.rest.is_empty());
        let writing = poll_fn(|cx| direction.poll(cx, &mut from, &mut near, &moved));
        let (written, read) = tokio::join!(writing, far.read_exact(&mut taken));
        written.unwrap();
        read.unwrap();
        assert_eq!(direction.rest.capacity(), 0);
    }

    /// Sends `up` and `down` through pipes of `width` bytes and gives what came out.
    async fn through(up: Vec<u8>, down: Vec<u8>, width: usize) -> (Vec<u8>, Vec<u8>, u64, u64) {
        let ((client, a), (b, instance)) = (duplex(width), duplex(width));
        let traffic = Traffic::default();
        let clock = SystemClock::new();
        let side = async |stream: DuplexStream, send: Vec<u8>| {
            let (mut read, mut write) = tokio::io::split(stream);
            let mut got = Vec::new();
            let send = async {
                write.write_all(&send).await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() });
            got
        };
        let carried = carry(a, b, &traffic, &clock, IDLE);
        let (end, down, up) = tokio::join!(carried, side(client, up), side(instance, down));
        assert_eq!(end, End::Closed);
        (up, down, traffic.to_instance(), traffic.to_client())
    }

    proptest! {
        #[test]
        fn every_byte_arrives_once_and_in_order_however_narrow_the_pipes(
            up in proptest::collection::vec(any::<u8>(), 0..2_000),
            down in proptest::collection::vec(any::<u8>(), 0..100_000),
            width in 1_usize..5_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (got_up, got_down, to_instance, to_client) =
                runtime.block_on(through(up.clone(), down.clone(), width));
            prop_assert_eq!((to_instance, to_client), (up.len() as u64, down.len() as u64));
            prop_assert!(got_up == up && got_down == down);
        }
    }
}
