// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Routes TLS to authorised apps and obtains their certificates.
//!
//! ```text
//! instance ── POST /v1/register: evidence + TLS key ──► admission ── decide at finality and head ──► routes
//! relayer  ── POST /v1/revocations: look again ───────► revocation ─ decide at head ───────────────► close
//! relayer  ── POST /v1/domains: please order ─────────► domains ──── appOf at finality and head ───► mandate-acme
//! client   ── TLS ClientHello ──► front ──┬─ <id>[-port]s.<base>: bytes pass through
//!                                         ├─ <id>[-port][g].<base>: ends TLS, pinned TLS to the instance
//!                                         ├─ a domain of the app's own: the same, or passes it to who ends it
//!                                         ├─ <base>: its own pages
//!                                         └─ acme-tls/1: answers the authority's challenge
//! ```
//!
//! Nobody who calls is trusted. A route stands exactly while the contracts, executed locally over proven state, allow what
//! the instance's evidence proves; it ends with its lease, with its verdict, or at the block that denies it, and every
//! connection ends with it. Names below `<base>` without the suffix `s` need its wildcard certificate, which ACME gives by
//! DNS-01 alone (`gateway.base_certificate`).

mod admin;
pub mod admission;
mod api;
pub mod certificates;
pub mod chain;
pub mod challenges;
pub mod config;
pub mod domains;
pub mod facts;
pub mod front;
mod limits;
mod live;
pub mod name;
mod network;
pub mod provenance;
pub mod proxy_protocol;
pub mod revocation;
pub mod routes;
mod service;
pub mod setup;
pub mod sni;
pub mod store;
pub mod tls;
pub mod upstream;

pub use admin::{Reload, ReloadError, Reloader};
pub use config::{Config, Settings};
pub use limits::Limits;
pub use live::{Live, Lives};
pub use network::Network;
pub use service::{AdminPart, BoxError, Gateway, IssuerFactory, Parts, Running, StartError};
