// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The committee's cryptography: key ceremonies, partial signatures, sealing and derivation.
//!
//! No single party ever holds the root key. A committee of `n` nodes makes it in a [ceremony](ceremony) (joint Feldman
//! over BLS12-381, `commonware-cryptography`), and `t = n − ⌊(n−1)/3⌋` of them answer together:
//!
//! ```text
//! CeremonyInfo ── DealerSession ──dealing──▶ PlayerSession ──ack──▶ DealerSession ── log ──▶ chain
//!                                                                 logs ── PlayerSession::finish ──▶ Output, Share
//! Share::sign(app message) ──Partial──▶ PublicPolynomial::combine ──▶ GroupSignature ──▶ derive::AppSecret
//! ```
//!
//! A joint Feldman key can be biased by whoever deals last. That is harmless for every use made of it here: the key is
//! only ever used through hashing to the curve, never as a beacon of randomness.
//!
//! Only bytes and arrays cross this crate's border; randomness is handed in; nothing here does I/O.

pub mod ceremony;
pub mod derive;
pub mod identity;
pub mod keys;
pub mod polynomial;
pub mod sealing;
pub mod share;
pub mod statement;

mod codec;

pub use ceremony::{
    CeremonyError, CeremonyInfo, DealerSession, Dealing, MAX_NODES, Output, PlayerSession, check_log,
    observe, quorum,
};
pub use derive::AppSecret;
pub use keys::{DealingKey, SealingKey};
pub use polynomial::{CombineError, GROUP_KEY_LENGTH, GroupSignature, PublicPolynomial};
pub use sealing::{MAX_SEALED, SealError, open, seal};
pub use share::{Partial, Share};
pub use statement::{AppStatement, InstanceStatement};
