// SPDX-License-Identifier: Apache-2.0 OR MIT
//! ClientHellos byte by byte, so that each can be wrong in one way, and what comes back.

pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

pub const SSL_3: u16 = 0x0300;
pub const TLS_1_0: u16 = 0x0301;
pub const TLS_1_1: u16 = 0x0302;
pub const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

pub const SERVER_NAME: u16 = 0;
pub const GROUPS: u16 = 10;
pub const SIGNATURES: u16 = 13;
pub const HEARTBEAT: u16 = 15;
pub const PROTOCOLS: u16 = 16;
pub const EARLY_DATA: u16 = 42;
pub const VERSIONS: u16 = 43;
pub const KEY_SHARE: u16 = 51;

const X25519: u16 = 29;
const SECP256R1: u16 = 23;

/// One, and all that may be wrong with it.
#[derive(Debug, Clone)]
pub struct Hello {
    pub version: u16,
    pub session_id: Vec<u8>,
    pub suites: Vec<u16>,
    pub compression: Vec<u8>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

/// `body` behind its length.
fn short(body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len()).unwrap()], body].concat()
}

/// The same with two bytes for the length.
pub fn long(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn numbers(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// The content of a `server_name` extension.
pub fn server_names(names: &[&[u8]]) -> Vec<u8> {
    const HOST_NAME: u8 = 0;
    let entries: Vec<_> =
        names.iter().flat_map(|name| [&[HOST_NAME], long(name).as_slice()].concat()).collect();
    long(&entries)
}

/// A record.
pub fn record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    [&[kind], version.to_be_bytes().as_slice(), &long(payload)].concat()
}

/// A handshake message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind], &length[1..], body].concat()
}

impl Hello {
    /// One for TLS 1.3 to which nothing can be objected. The key share is the curve's base point.
    pub fn tls_1_3(name: &str) -> Self {
        let point = [&[9], [0; 31].as_slice()].concat();
        let share = [numbers(&[X25519]), long(&point)].concat();
        let mut hello = Self::tls_1_2(name);
        hello.suites = vec![0x1301, 0x1302, 0x1303];
        hello.session_id = vec![7; 32];
        hello.extensions.push((VERSIONS, short(&numbers(&[TLS_1_3]))));
        hello.extensions.push((KEY_SHARE, long(&share)));
        hello
    }

    /// One for TLS 1.2.
    pub fn tls_1_2(name: &str) -> Self {
        let extensions = vec![
            (SERVER_NAME, server_names(&[name.as_bytes()])),
            (GROUPS, long(&numbers(&[X25519, SECP256R1]))),
            (SIGNATURES, long(&numbers(&[0x0403, 0x0804]))),
        ];
        Self {
            version: TLS_1_2,
            session_id: Vec::new(),
            suites: vec![0xc02b],
            compression: vec![0],
            extensions,
        }
    }

    /// With one more extension.
    pub fn and(mut self, kind: u16, content: &[u8]) -> Self {
        self.extensions.push((kind, content.to_vec()));
        self
    }

    /// With another content of an extension that it has.
    pub fn but(mut self, kind: u16, content: &[u8]) -> Self {
        self.extensions.retain(|(other, _)| *other != kind);
        self.and(kind, content)
    }

    /// Without an extension.
    pub fn without(mut self, kind: u16) -> Self {
        self.extensions.retain(|(other, _)| *other != kind);
        self
    }

    fn body(&self) -> Vec<u8> {
        let extensions: Vec<_> = self
            .extensions
            .iter()
            .flat_map(|(kind, body)| [numbers(&[*kind]), long(body)].concat())
            .collect();
        [
            self.version.to_be_bytes().to_vec(),
            vec![42; 32],
            short(&self.session_id),
            long(&numbers(&self.suites)),
            short(&self.compression),
            long(&extensions),
        ]
        .concat()
    }

    /// The handshake message, with `more` at its end that belongs to nothing.
    pub fn message_and(&self, more: &[u8]) -> Vec<u8> {
        message(CLIENT_HELLO, &[self.body().as_slice(), more].concat())
    }

    pub fn message(&self) -> Vec<u8> {
        self.message_and(&[])
    }

    /// In one record.
    pub fn record(&self) -> Vec<u8> {
        record(HANDSHAKE, TLS_1_0, &self.message())
    }

    /// In records of `size` bytes each.
    pub fn records(&self, size: usize) -> Vec<u8> {
        self.message().chunks(size).flat_map(|part| record(HANDSHAKE, TLS_1_0, part)).collect()
    }
}

/// What the other side says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It goes on, and what it has chosen.
    Hello { compression: u8, extensions: Vec<u16> },
    /// It refuses, with this alert.
    Alert(u8),
    /// It closes.
    Silence,
}

impl Answer {
    /// Reads the first record.
    pub fn of(said: &[u8]) -> Self {
        match said {
            [] => Self::Silence,
            [ALERT, _, _, 0, 2, FATAL, description, ..] => Self::Alert(*description),
            [HANDSHAKE, _, _, _, _, SERVER_HELLO, ..] => Self::hello(&said[9..]),
            other => panic!("no answer of TLS: {other:?}"),
        }
    }

    fn hello(body: &[u8]) -> Self {
        let session = usize::from(body[34]);
        let rest = &body[35 + session + 2..];
        let (compression, mut rest) = (rest[0], &rest[3..]);
        let end = usize::from(u16::from_be_bytes([body[35 + session + 3], body[35 + session + 4]]));
        rest = &rest[..end];
        let mut extensions = Vec::new();
        while let [a, b, c, d, ..] = rest {
            extensions.push(u16::from_be_bytes([*a, *b]));
            rest = &rest[4 + usize::from(u16::from_be_bytes([*c, *d]))..];
        }
        Self::Hello { compression, extensions }
    }

    pub fn is_hello(&self) -> bool {
        matches!(self, Self::Hello { .. })
    }
}

const FATAL: u8 = 2;
