// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a name whose TLS the gateway ends stands for.

use alloy::primitives::Address;
use mandate_acme::{ACME_TLS, name::DomainName};
use tokio_util::sync::CancellationToken;

use crate::{
    certificates::Served,
    name::{IdName, Mode},
    sni::Hello,
};

pub(super) const HTTP_1: &[u8] = b"http/1.1";
pub(super) const HTTP_2: &[u8] = b"h2";

/// A name whose TLS the gateway ends.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The id that it consists of.
    pub(super) id: Option<IdName>,
    /// The app that it belongs to.
    pub(super) app: Option<Address>,
    /// The name as the client gave it.
    pub(super) name: String,
    /// What the client and the name both allow to be spoken, the client's favourite first.
    pub(super) protocols: Vec<Vec<u8>>,
    /// Whether the client can speak what the name stands for.
    pub(super) offered: bool,
    /// Cancelled when the name is taken away.
    pub(super) ended: Option<CancellationToken>,
}

impl Ends {
    /// `<id>[-port].<base>` stands for HTTP/1.1 and the suffix `g` for HTTP/2.
    ///
    /// All of these names share a certificate and an address. A browser with an HTTP/2 connection to one of them sends over it what
    /// it has for the others (RFC 9113, section 9.1.1), and one app would get the requests of all, cookies included. Browsers
    /// offer HTTP/1.1 as well, clients of gRPC do not: so HTTP/2 is for those that do not.
    pub(super) fn id(id: IdName, name: &str, hello: &Hello) -> Self {
        let only = if id.mode == Mode::TerminateH2 { HTTP_2 } else { HTTP_1 };
        let protocols: Vec<_> = hello.protocols.iter().filter(|p| p.as_slice() == only).cloned().collect();
        let offered = match id.mode {
            Mode::TerminateH2 => !protocols.is_empty() && !hello.protocols.iter().any(|p| p == HTTP_1),
            // HTTP/1.1 needs no agreement.
            _ => !protocols.is_empty() || hello.protocols.is_empty(),
        };
        Self { id: Some(id), app: None, name: name.to_owned(), protocols, offered, ended: None }
    }

    pub(super) fn domain(served: &Served, name: DomainName, hello: &Hello) -> Self {
        let protocols = hello.protocols.iter().filter(|p| p.as_slice() != ACME_TLS).cloned().collect();
        let (app, ended) = (Some(served.app), Some(served.ended.clone()));
        Self { id: None, app, name: name.to_string(), protocols, offered: true, ended }
    }
}
