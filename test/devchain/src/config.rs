// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a chain is made of before its first block.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, U256},
    signers::{
        k256::ecdsa::SigningKey,
        local::{
            PrivateKeySigner,
            coins_bip39::{English, Mnemonic},
        },
    },
};
use coins_bip32::prelude::Parent as _;

use crate::error::DevChainError;

/// The mnemonic every Ethereum development tool knows.
pub const JUNK_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Where the accounts are derived below.
const ACCOUNTS_PATH: &str = "m/44'/60'/0'/0";

/// Seconds since the Unix epoch, from wherever the caller takes its time.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How the base fee of a block follows from its parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseFee {
    /// The same in every block.
    Constant(u64),
    /// EIP-1559, starting from this value.
    Eip1559(u64),
}

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// One block for each transaction that arrives.
    Auto,
    /// A block each time this long has passed, empty or not.
    Interval(Duration),
    /// Only when asked for.
    Manual,
}

/// Everything that decides what a [`DevChain`](crate::DevChain) does.
#[derive(Clone)]
pub struct Config {
    /// The chain id, also answered as the network id.
    pub chain_id: u64,
    /// The mnemonic that the funded accounts are derived from (`m/44'/60'/0'/0/i`).
    pub mnemonic: String,
    /// How many accounts are funded.
    pub accounts: u32,
    /// What each of them starts with, in wei.
    pub balance: U256,
    /// Further accounts that start with a balance.
    pub funded: Vec<(Address, U256)>,
    /// `safe` is this many blocks behind the head.
    pub safe_lag: u64,
    /// `finalized` is this many blocks behind the head.
    pub finalized_lag: u64,
    /// The timestamp of block 0; `None` takes the clock's.
    pub genesis_timestamp: Option<u64>,
    /// The gas limit of every block.
    pub gas_limit: u64,
    /// The base fee rule.
    pub base_fee: BaseFee,
    /// Who receives priority fees.
    pub coinbase: Address,
    /// When blocks are made.
    pub mining: Mining,
    /// How many of the newest blocks keep their state; `None` keeps all.
    pub state_history: Option<u64>,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chain_id: 31337,
            mnemonic: JUNK_MNEMONIC.to_owned(),
            accounts: 10,
            balance: U256::from(10_000u64) * U256::from(10u64).pow(U256::from(18u64)),
            funded: Vec::new(),
            safe_lag: 1,
            finalized_lag: 2,
            genesis_timestamp: None,
            gas_limit: 30_000_000,
            base_fee: BaseFee::Constant(1_000_000_000),
            coinbase: Address::ZERO,
            mining: Mining::Auto,
            state_history: None,
            clock: Arc::new(system_time),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The mnemonic may be a caller's own, so it is left out.
        f.debug_struct("Config")
            .field("chain_id", &self.chain_id)
            .field("accounts", &self.accounts)
            .field("safe_lag", &self.safe_lag)
            .field("finalized_lag", &self.finalized_lag)
            .field("gas_limit", &self.gas_limit)
            .field("base_fee", &self.base_fee)
            .field("mining", &self.mining)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// The keys of the funded accounts, in order.
    ///
    /// # Errors
    /// The mnemonic is not one.
    pub fn signers(&self) -> Result<Vec<PrivateKeySigner>, DevChainError> {
        // The seed is stretched once for all accounts; alloy's builder would do so for each.
        let parent = Mnemonic::<English>::new_from_phrase(&self.mnemonic)
            .and_then(|mnemonic| mnemonic.derive_key(ACCOUNTS_PATH, None))
            .map_err(|error| DevChainError::Mnemonic(error.to_string()))?;
        let derive = |index| {
            let child =
                parent.derive_child(index).map_err(|error| DevChainError::Mnemonic(error.to_string()))?;
            let key: &SigningKey = child.as_ref();
            Ok(PrivateKeySigner::from_signing_key(key.clone()))
        };
        (0..self.accounts).map(derive).collect()
    }
}

fn system_time() -> u64 {
    // A clock before 1970 is answered as 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}
