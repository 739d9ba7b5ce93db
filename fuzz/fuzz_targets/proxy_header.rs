// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any bytes as what a load balancer says first: refused, or a header that is taken off the stream to its last byte and no
//! further, whoever it names.
#![no_main]

use std::io::Cursor;

use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use mandate_gateway::proxy_protocol::{MAX_HEADER, parse, read};

fuzz_target!(|input: (u8, &[u8])| {
    let (start, bytes) = input;
    let begin: [&[u8]; 4] =
        [b"", b"PROXY ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"];
    let sent = [begin[usize::from(start % 4)], bytes].concat();
    if let Ok(Some(header)) = parse(&sent) {
        assert!(header.length <= sent.len());
    }
    let mut stream = Cursor::new(sent);
    let Ok(client) = block_on(read(&mut stream)) else { return };
    let taken = usize::try_from(stream.position()).expect("it is in memory");
    assert!(taken <= MAX_HEADER);
    let header = parse(&stream.get_ref()[..taken]).expect("it was read").expect("it is whole");
    assert_eq!((header.client, header.length), (client, taken));
});
