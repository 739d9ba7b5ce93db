// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a connection is refused, and with which alert.

use std::io;

use rustls::AlertDescription;
use thiserror::Error;

use crate::{
    name::TargetError,
    proxy_protocol::ProxyHeaderError,
    sni::{HelloError, alert_record},
};

/// Why a connection came to nothing.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The ClientHello took too long.
    #[error("no ClientHello in time")]
    Slow,
    /// There was none, or none that is acceptable.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// It names no server.
    #[error("the client names no server")]
    NoName,
    /// What it names is no name.
    #[error(transparent)]
    Name(#[from] TargetError),
    /// `<base>` and `<id>[-port][g].<base>` need the gateway's wildcard certificate.
    #[error("the gateway has no certificate for its base domain: use the suffix s")]
    NoWildcard,
    /// The client offers no protocol that the name stands for.
    #[error(
        "the client does not offer the protocol that the name asks for: h2 without http/1.1 with the suffix g, http/1.1 without"
    )]
    NoProtocol,
    /// The client and the instance share no protocol.
    #[error("the app speaks none of the protocols that the client offers")]
    NoSharedProtocol,
    /// A balancer sent no PROXY header.
    #[error(transparent)]
    ProxyHeader(#[from] ProxyHeaderError),
    /// The client's address has its limit of connections.
    #[error("too many connections from this address")]
    ManyFromAddress,
    /// The client's address connects too often.
    #[error("too many new connections from this address")]
    OftenFromAddress,
    /// The app has its limit of connections.
    #[error("too many connections to this app")]
    ManyToApp,
    /// Nothing is known under this name.
    #[error("no such app, instance or domain")]
    UnknownName,
    /// The domain is served, but no instance of its app is allowed now.
    #[error("no instance of the app has a route")]
    NoInstance,
    /// No instance answered as it must.
    #[error("no instance answers: {0}")]
    Upstream(io::ErrorKind),
}

impl Refusal {
    /// What goes over the wire; nothing for a client that is not worth a packet.
    pub fn alert(&self) -> Vec<u8> {
        match self {
            Self::Slow | Self::ProxyHeader(_) | Self::ManyFromAddress | Self::OftenFromAddress => Vec::new(),
            Self::Hello(HelloError::NotTls { alert, .. }) => alert.clone(),
            Self::Hello(HelloError::TooLarge { .. }) => alert_record(AlertDescription::DecodeError).to_vec(),
            Self::Hello(HelloError::Closed | HelloError::Io(_)) => Vec::new(),
            Self::NoName => alert_record(AlertDescription::MissingExtension).to_vec(),
            Self::Name(_) | Self::NoWildcard | Self::UnknownName => {
                alert_record(AlertDescription::UnrecognisedName).to_vec()
            }
            Self::NoProtocol | Self::NoSharedProtocol => {
                alert_record(AlertDescription::NoApplicationProtocol).to_vec()
            }
            Self::NoInstance | Self::Upstream(_) | Self::ManyToApp => {
                alert_record(AlertDescription::InternalError).to_vec()
            }
        }
    }

    /// A label for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Hello(_) => "no_hello",
            Self::NoName => "no_name",
            Self::Name(_) => "bad_name",
            Self::NoWildcard => "no_wildcard",
            Self::NoProtocol | Self::NoSharedProtocol => "no_protocol",
            Self::ProxyHeader(_) => "no_proxy_header",
            Self::ManyFromAddress => "many_from_address",
            Self::OftenFromAddress => "often_from_address",
            Self::ManyToApp => "many_to_app",
            Self::UnknownName => "unknown_name",
            Self::NoInstance => "no_instance",
            Self::Upstream(_) => "upstream",
        }
    }
}
