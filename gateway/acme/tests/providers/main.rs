// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Zones at providers: Cloudflare against a server that follows its published API, Route 53 against moto, and providers that
//! lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod attacks;
mod cloudflare;
mod cloudflare_api;
mod name_server;
mod route53;

use mandate_acme::{caa::Property, name::DomainName};

const ZONE: &str = "tee.test";

fn name(text: &str) -> DomainName {
    DomainName::try_from(text).unwrap()
}

fn property(flags: u8, tag: &str, value: &str) -> Property {
    Property { flags, tag: tag.to_owned(), value: value.as_bytes().to_vec() }
}
