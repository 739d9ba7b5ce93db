// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as what two sides say first, in one piece and in two: the same one is asked either way, and is given every byte.
#![no_main]

use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use mandate_runtime::peek::{Word, first_word};
use tokio::io::{AsyncRead, AsyncReadExt, empty};

const PATHS: [&str; 2] = ["/.well-known/mandate/", "/.dstack/"];

/// Whether it is ours, and what the one who is asked gets to read.
fn asked(client: impl AsyncRead + Unpin) -> (bool, Vec<u8>) {
    let mut all = Vec::new();
    // The instance says nothing, and does not go away either.
    let silent = empty().chain(Silent);
    let ours = match block_on(first_word(client, silent, &PATHS)).expect("memory does not fail") {
        Word::Ours(mut client) => block_on(client.read_to_end(&mut all)).map(|_| true),
        Word::Theirs(mut client, _) => block_on(client.read_to_end(&mut all)).map(|_| false),
    };
    (ours.expect("memory does not fail"), all)
}

struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (start, cut, bytes) = input;
    let begin = ["", "GET /.well-known/", "HEAD /.dstack", "GET /.dstack/"][usize::from(start % 4)];
    let said = [begin.as_bytes(), bytes].concat();
    let whole = asked(&said[..]);
    let (one, two) = said.split_at(usize::from(cut).min(said.len()));
    assert_eq!(whole, asked(one.chain(two)));
    assert_eq!(whole.1, said);
    let expected = ["GET ", "HEAD "]
        .iter()
        .any(|method| PATHS.iter().any(|path| said.starts_with(format!("{method}{path}").as_bytes())));
    assert_eq!(whole.0, expected);
});
