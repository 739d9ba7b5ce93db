// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The PROXY protocol of load balancers, versions 1 and 2 (haproxy's `proxy-protocol.txt`): for whom a connection was made.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use ppp::{HeaderResult, PartialResult, v1, v2};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest header that is read. Version 1 has 107 bytes at most; more than this in version 2 are extensions that nobody
/// needs here.
pub const MAX_HEADER: usize = 1 << 10;

/// The longest line of version 1.
const MAX_LINE: usize = 107;

/// Why there is no header.
#[derive(Debug, Error)]
pub enum ProxyHeaderError {
    /// The balancer went away.
    #[error("the balancer closed before its PROXY header was whole")]
    Closed,
    /// Something else came.
    #[error("the balancer sent no PROXY header of at most {MAX_HEADER} bytes")]
    NoHeader,
    /// The socket failed.
    #[error("reading the PROXY header: {0}")]
    Io(#[from] io::Error),
}

/// What a header says, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The client; none when the balancer speaks for itself, as in its health checks.
    pub client: Option<SocketAddr>,
    /// Bytes of the header.
    pub length: usize,
}

/// Reads the header that begins `bytes`: none while it is not whole.
///
/// # Errors
/// When no header begins like that.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    // A line of version 1 is judged when it is whole: cut off in the middle of a word, it looks like a wrong one.
    if bytes.first() == Some(&b'P') && bytes.len() < MAX_LINE && bytes.last() != Some(&b'\n') {
        return Ok(None);
    }
    let parsed = HeaderResult::parse(bytes);
    if parsed.is_incomplete() {
        return Ok(None);
    }
    match parsed {
        HeaderResult::V1(Ok(header)) => {
            Ok(Some(Header { client: client_v1(&header.addresses), length: header.header.len() }))
        }
        HeaderResult::V2(Ok(header)) => Ok(Some(Header { client: client_v2(&header), length: header.len() })),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(ProxyHeaderError::NoHeader),
    }
}

fn client_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(four) => Some((IpAddr::V4(four.source_address), four.source_port).into()),
        v1::Addresses::Tcp6(six) => Some((IpAddr::V6(six.source_address), six.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn client_v2(header: &v2::Header<'_>) -> Option<SocketAddr> {
    match (header.command, header.addresses) {
        (v2::Command::Proxy, v2::Addresses::IPv4(four)) => {
            Some((IpAddr::V4(four.source_address), four.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(six)) => {
            Some((IpAddr::V6(six.source_address), six.source_port).into())
        }
        _ => None,
    }
}

/// Takes the header off the front of `stream`, and not a byte more.
///
/// # Errors
/// When there is none.
pub async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut seen = Vec::with_capacity(MAX_HEADER);
    loop {
        // The TLS that follows must stay in the stream, and nothing before the last byte says how long a header of version 1
        // is: so it is read byte by byte from the kernel, which costs little beside the handshake to come.
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(ProxyHeaderError::Closed),
            Err(e) => return Err(e.into()),
        }
        if let Some(header) = parse(&seen)? {
            return Ok(header.client);
        }
        if seen.len() >= MAX_HEADER {
            return Err(ProxyHeaderError::NoHeader);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Version 2, TCP over IPv4, from 192.0.2.1:1000 to 192.0.2.2:443, with one extension of three bytes.
    fn version_2() -> Vec<u8> {
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x12".to_vec();
        bytes.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2, 3, 0xe8, 1, 0xbb, 4, 0, 3, 1, 2, 3]);
        bytes
    }

    async fn read_all(bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyHeaderError>, Vec<u8>) {
        let mut stream = std::io::Cursor::new(bytes.to_vec());
        let read = read(&mut stream).await;
        let rest = usize::try_from(stream.position()).unwrap();
        (read, bytes[rest..].to_vec())
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_what_follows() {
        let client = "192.0.2.1:1000".parse().unwrap();
        for header in [b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n".to_vec(), version_2()] {
            let (read, rest) = read_all(&[header, b"\x16\x03\x01".to_vec()].concat()).await;
            assert_eq!(read.unwrap(), Some(client));
            assert_eq!(rest, b"\x16\x03\x01");
        }
        let (six, _) = read_all(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n").await;
        assert_eq!(six.unwrap(), Some("[2001:db8::1]:1".parse().unwrap()));
        let (unknown, _) = read_all(b"PROXY UNKNOWN\r\n").await;
        assert_eq!(unknown.unwrap(), None);
        let (local, _) = read_all(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00").await;
        assert_eq!(local.unwrap(), None);
        // Which may name itself; it is not the client.
        let mut own = version_2();
        own[12] = 0x20;
        assert_eq!(read_all(&own).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for bytes in [
            b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(),
            b"PROXY TCP4 nobody 192.0.2.2 1000 443\r\n".to_vec(),
            [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(), vec![0; 2 * MAX_HEADER]].concat(),
            [b"PROXY TCP4 ".to_vec(), vec![b'1'; MAX_HEADER]].concat(),
        ] {
            assert!(matches!(read_all(&bytes).await.0, Err(ProxyHeaderError::NoHeader)), "{bytes:?}");
        }
        // A line is over when it is as long as a line can be.
        assert!(parse(&[b"PROXY TCP4 ".as_slice(), &[b'1'; MAX_LINE]].concat()).is_err());
        let (cut, _) = read_all(&version_2()[..20]).await;
        assert!(matches!(cut, Err(ProxyHeaderError::Closed)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(header)) = parse(&bytes) {
                prop_assert!(header.length <= bytes.len());
            }
        }
    }
}
