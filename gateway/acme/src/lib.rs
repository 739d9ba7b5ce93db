// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates from ACME authorities (RFC 8555), for whoever ends TLS inside a TEE: the gateway, and an app for its own
//! domain. Account key and certificate keys derive from the caller's own app secret and are never written down.

pub mod caa;
pub mod certificate;
pub mod challenge;
mod client;
pub mod config;
pub mod dns;
mod http;
pub mod issuer;
pub mod keys;
pub mod name;

pub use client::{
    ACCOUNT_KEY, AcmeConfig, AcmeIssuer, ExternalAccount, ExternalAccountError, P256, parse_chain,
};

/// The application protocol of a TLS-ALPN-01 validation (RFC 8737, section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";
