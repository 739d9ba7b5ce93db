// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A ClientHello overwritten from an offset on, or any bytes, in one piece and in two: refused, or read the same either way;
//! never a panic, never a byte more than the cap.
#![no_main]

use std::sync::{Arc, LazyLock};

use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use mandate_gateway::sni::read_hello;
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring};
use tokio::io::AsyncReadExt;

const CAP: usize = 4 << 10;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has both")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"acme-tls/1".to_vec()];
    let name = "app.example.org".try_into().expect("a name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut hello = Vec::new();
    client.write_tls(&mut hello).expect("memory takes it");
    hello
});

fuzz_target!(|input: (u16, u16, &[u8])| {
    let (offset, cut, bytes) = input;
    let mut changed = GOOD.clone();
    for (to, from) in changed.iter_mut().skip(usize::from(offset)).zip(bytes) {
        *to = *from;
    }
    for bytes in [&changed[..], bytes] {
        let whole = block_on(read_hello(&mut &bytes[..], CAP));
        let (one, two) = bytes.split_at(usize::from(cut).min(bytes.len()));
        let pieces = block_on(read_hello(&mut one.chain(two), CAP));
        match (whole, pieces) {
            (Ok((hello, seen)), Ok((again, _))) => {
                assert_eq!(hello, again);
                assert!(seen.len() <= CAP && bytes.starts_with(&seen));
                let name = hello.server_name.unwrap_or_default();
                assert_eq!(name, name.to_ascii_lowercase());
            }
            (Err(_), Err(_)) => {}
            (one, other) => panic!("in one piece {one:?}, in two {other:?}"),
        }
    }
});
