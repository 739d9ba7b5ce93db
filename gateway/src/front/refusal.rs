// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a connection is refused, and with which alert.

use std::io;

use rustls::AlertDescription;
use thiserror::Error;

use crate::{
    name::TargetError,
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
    /// `<id>[-port].<base>` needs the gateway's wildcard certificate, which this version does not have: clients use the
    /// suffix `s`, or a domain of the app's own.
    #[error("the gateway has no certificate for the base domain: use the suffix s")]
    NoWildcard,
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
            Self::Slow => Vec::new(),
            Self::Hello(HelloError::NotTls { alert, .. }) => alert.clone(),
            Self::Hello(HelloError::TooLarge { .. }) => alert_record(AlertDescription::DecodeError).to_vec(),
            Self::Hello(HelloError::Closed | HelloError::Io(_)) => Vec::new(),
            Self::NoName => alert_record(AlertDescription::MissingExtension).to_vec(),
            Self::Name(_) | Self::NoWildcard | Self::UnknownName => {
                alert_record(AlertDescription::UnrecognisedName).to_vec()
            }
            Self::NoInstance | Self::Upstream(_) => alert_record(AlertDescription::InternalError).to_vec(),
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
            Self::UnknownName => "unknown_name",
            Self::NoInstance => "no_instance",
            Self::Upstream(_) => "upstream",
        }
    }
}
