// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verified chain reads: a call's witness, built with a provider and verified without one.
//!
//! Whoever builds a witness is not trusted. What is trusted is one block hash, vouched for by a [`HeaderSource`];
//! [`execute`] checks everything else against it and runs the call in revm on nothing but what was proven (G-5). A touch
//! that is not proven makes the call [`Undecided`], never zero (G-6).
//!
//! ```text
//! HeaderSource ── BlockRef ──┐
//! WitnessSource ─ Witness ───┼─ execute ── return data ── VerifiedReader ── typed value
//! ProofCache ──── Known ─────┘
//! ```

mod build;
mod codec;
mod database;
mod error;
mod execute;
mod freshness;
mod header;
mod known;
mod precompiles;
mod reader;
mod source;
mod spec;
mod trie;

pub use build::{BuildError, build, build_beyond};
pub use codec::{CodecError, MAX_CODE, MAX_CODES, MAX_HEADER, MAX_NODE, MAX_NODES, MAX_WITNESS, Witness};
pub use error::{Touch, Undecided};
pub use execute::{Execution, GAS_LIMIT, TrustedHeader, execute, execute_beyond};
pub use freshness::Freshness;
pub use header::{
    Contradiction, Endpoint, EndpointError, HeaderError, HeaderSource, Pinned, Quorum, QuorumConfigError,
    QuorumTimes,
};
pub use known::{Known, ProofCache};
pub use mandate_model::wire::{BlockRef, ViewCall};
pub use reader::{At, Read, VerifiedReader};
pub use source::{RpcWitnessSource, SourceError, WitnessSource};
pub use spec::{ChainSpec, Fork, ForkName};
