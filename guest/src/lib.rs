// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent inside the TEE and its key client.
//!
//! ```text
//! app ──unix socket──▶ agent ──▶ held secret ◀── KeyClient ──nonces, evidence──▶ t of n KMS nodes
//!                                                   ▲ committee view: relayer (untrusted)
//!                                                   └ group key: measured configuration (trusted)
//! ```
//! What is trusted is only what was measured with the app: chain, contracts and group key. A relayer that lies about the
//! committee, and nodes that lie about their part, can keep the secret from coming; they cannot make it another (G-5).

pub mod agent;
pub mod config;
pub mod describe;
pub mod ingress;
pub mod instance;
pub mod keys;
pub mod service;

mod certificate;

pub use config::Config;
pub use keys::{Fetched, KeyClient, KeyError, NodeOutcome, NodeReport, Pinned, Stated};
pub use mandate_attestation::{Quoter, QuoterError};
pub use service::{Service, StartError};
