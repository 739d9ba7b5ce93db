// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connection that somebody on the way cuts must not look, on the other side of the gateway, like one that was ended.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    app::App,
    world::{THIRD_APP, World, id_name},
};

const HALF: &[u8] = b"half of what ";

/// What reading to the end found.
type Read = io::Result<Vec<u8>>;

async fn to_the_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Read {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.map(|_| all)
}

#[track_caller]
fn assert_cut(read: Read) {
    match read {
        // Whatever was on its way when the connection broke decides which.
        Err(e) => {
            assert!(matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset), "{e}")
        }
        Ok(all) => panic!("looks whole: {:?}", String::from_utf8_lossy(&all)),
    }
}

/// An instance that answers with half of something, and then ends or is cut off.
async fn halves(orderly: bool) -> App {
    App::raw(&[], move |mut tls| async move {
        let _ = tls.read(&mut [0; 64]).await;
        let _ = tls.write_all(HALF).await;
        let _ = tls.flush().await;
        if orderly {
            let _ = tls.shutdown().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_answer_that_is_cut_before_the_gateway_arrives_cut() {
    let (world, name) = (World::start().await, id_name(THIRD_APP, ""));
    for orderly in [true, false] {
        // The latest registration of an instance is the one that counts.
        let app = halves(orderly).await;
        world.register(THIRD_APP, &app).await;
        let mut stream = world.connect(&name, &[]).await.unwrap();
        stream.write_all(b"a question").await.unwrap();
        let read = to_the_end(&mut stream).await;
        match orderly {
            true => assert_eq!(read.unwrap(), HALF),
            false => assert_cut(read),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_request_that_is_cut_before_the_gateway_arrives_cut() {
    let (world, name) = (World::start().await, id_name(THIRD_APP, ""));
    let (tell, mut told) = mpsc::unbounded_channel::<Read>();
    let tell = Arc::new(tell);
    let app = App::raw(&[], move |mut tls| {
        let tell = Arc::clone(&tell);
        async move {
            let read = to_the_end(&mut tls).await;
            let _ = tell.send(read);
        }
    });
    let app = app.await;
    world.register(THIRD_APP, &app).await;
    for orderly in [true, false] {
        let mut stream = world.connect(&name, &[]).await.unwrap();
        stream.write_all(HALF).await.unwrap();
        stream.flush().await.unwrap();
        if orderly {
            stream.shutdown().await.unwrap();
        }
        drop(stream);
        let read = told.recv().await.unwrap();
        match orderly {
            true => assert_eq!(read.unwrap(), HALF),
            false => assert_cut(read),
        }
    }
}
