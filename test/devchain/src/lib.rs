// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An in-process revm chain with JSON-RPC, proofs, finality and reorgs.
//!
//! The chain executes under the rules of Cancun and seals real headers: hash, state root, transactions root, receipts
//! root and bloom are what any Ethereum client would compute, and `eth_getProof` at any kept block verifies against
//! that block's state root. What it leaves out is consensus: whoever drives it decides when a block is made
//! ([`Mining`]), what time it is ([`Config::clock`]), how far finality lags, and when the newest blocks are replaced
//! ([`DevChain::reorg`]). Blobs and authorizations (EIP-4844, EIP-7702 transactions) are refused.
//!
//! One JSON-RPC implementation is offered three ways: in process as an alloy transport ([`DevChain::provider`]), and
//! over HTTP and WebSocket on one port ([`DevChain::serve`]).
//!
//! ```
//! use alloy::providers::Provider;
//! use mandate_devchain::{Config, DevChain};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let chain = DevChain::new(Config::default())?;
//! chain.mine(3);
//! assert_eq!(chain.provider().get_block_number().await?, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod block;
mod build;
mod call;
mod chain;
mod config;
mod envelope;
mod error;
mod evm;
mod filters;
mod handle;
mod inject;
mod mine;
mod pool;
mod reorg;
mod rpc;
mod server;
mod state;
mod subscriptions;
mod time;
mod transport;
mod trie;

pub use block::{Block, Mined};
pub use chain::Change;
pub use config::{BaseFee, Clock, Config, JUNK_MNEMONIC, Mining};
pub use error::{DevChainError, RpcError};
pub use handle::{Changes, DevChain};
pub use inject::Injection;
pub use reorg::{Reorged, Replacement};
pub use server::Server;
