// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes to the port and back, whatever they are.

use std::{
    panic,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mandate_runtime::{
    Clock,
    clock::{ManualClock, SystemClock},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    hello::Answer,
    world::{DOMAIN, LABEL, World},
};

/// The gateway's clock stands still unless a test moves it, so whatever ends without that ends by itself. This is for a test
/// that would hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often anything in this process panicked: the gateway's tasks are in it.
pub static PANICS: LazyLock<AtomicUsize> = LazyLock::new(|| {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    AtomicUsize::new(0)
});

/// A gateway whose clock is the test's.
pub async fn start() -> (World, Arc<ManualClock>) {
    LazyLock::force(&PANICS);
    let clock = Arc::new(ManualClock::new(SystemClock::new().unix()));
    (World::start_at(clock.clone()).await, clock)
}

/// Whoever keeps to the protocol is served.
pub async fn still_serves(world: &World) {
    assert_eq!(world.who(DOMAIN).await, LABEL);
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked");
}

pub async fn connect(world: &World) -> TcpStream {
    let stream = TcpStream::connect(world.addr()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends each segment by itself and gives the record that comes first.
pub async fn first_answer(world: &World, segments: &[Vec<u8>]) -> Answer {
    let mut stream = connect(world).await;
    for segment in segments {
        // The other side may have heard enough.
        let _ = stream.write_all(segment).await;
    }
    let mut said = Vec::new();
    let read =
        async { while whole(&said).is_none() && matches!(stream.read_buf(&mut said).await, Ok(1..)) {} };
    tokio::time::timeout(PATIENCE, read).await.expect("the gateway says nothing and does not close");
    Answer::of(whole(&said).unwrap_or_default())
}

/// The first record, once it is whole.
fn whole(said: &[u8]) -> Option<&[u8]> {
    let length = u16::from_be_bytes([*said.get(3)?, *said.get(4)?]);
    said.get(..5 + usize::from(length))
}

/// Says all of it and no more, and waits until the other side has closed.
pub async fn until_closed(world: &World, bytes: &[u8]) {
    let mut stream = connect(world).await;
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    let _ = tokio::time::timeout(PATIENCE, read).await.expect("the gateway does not close");
}
