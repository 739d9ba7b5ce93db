// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The state that revm sees: what trie nodes and codes at hand prove, and nothing else.

use std::collections::HashMap;

use alloy::{
    primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256},
    rlp::decode_exact,
};
use alloy_trie::TrieAccount;
use revm::{
    Database,
    bytecode::Bytecode,
    database_interface::DBErrorMarker,
    primitives::{StorageKey, StorageValue},
    state::AccountInfo,
};
use thiserror::Error;

use crate::{
    error::Touch,
    known::Known,
    trie::{LookupError, Nodes},
};

/// Why the state could not be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum ProofError {
    #[error("{0} is not proven")]
    Unproven(Touch),
    #[error("{touch}: {why}")]
    Bad { touch: Touch, why: String },
    #[error("the hash of block {0} is not proven")]
    BlockHash(u64),
}

impl DBErrorMarker for ProofError {}

/// State below one root.
#[derive(Debug)]
pub(crate) struct ProvenState {
    root: B256,
    pub(crate) nodes: Nodes,
    accounts: HashMap<Address, Option<TrieAccount>>,
    codes: HashMap<B256, Bytes>,
    known: Known,
    used_codes: HashMap<B256, Bytes>,
}

impl ProvenState {
    pub(crate) fn new(root: B256, known: Known) -> Self {
        let nodes = Nodes::new(known.clone());
        let (accounts, codes, used_codes) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { root, nodes, accounts, codes, known, used_codes }
    }

    pub(crate) fn insert_code(&mut self, code: Bytes) {
        self.codes.insert(keccak256(&code), code);
    }

    /// The codes that were loaded.
    pub(crate) fn used_codes(&self) -> &HashMap<B256, Bytes> {
        &self.used_codes
    }

    /// The accounts that were looked at.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &Address> {
        self.accounts.keys()
    }

    /// An account that was looked at and has this code.
    pub(crate) fn owner(&self, code_hash: B256) -> Option<Address> {
        let has_it = |account: &Option<TrieAccount>| account.is_some_and(|a| a.code_hash == code_hash);
        self.accounts.iter().find(|(_, account)| has_it(account)).map(|(address, _)| *address)
    }

    /// A node or code that was given and that nothing needed.
    pub(crate) fn superfluous(&self) -> Option<B256> {
        let code = || self.codes.keys().find(|hash| !self.used_codes.contains_key(*hash)).copied();
        self.nodes.superfluous().or_else(code)
    }

    pub(crate) fn forget_use(&mut self) {
        self.nodes.forget_use();
        self.accounts.clear();
        self.used_codes.clear();
    }

    /// The account as the state trie has it; nothing when the trie proves that there is none.
    pub(crate) fn account(&mut self, address: Address) -> Result<Option<TrieAccount>, ProofError> {
        if let Some(known) = self.accounts.get(&address) {
            return Ok(*known);
        }
        let touch = Touch::Account(address);
        let account = match self.nodes.get(self.root, address.as_slice()) {
            Ok(None) => None,
            Ok(Some(rlp)) => {
                Some(decode_exact(rlp).map_err(|e| ProofError::Bad { touch, why: e.to_string() })?)
            }
            Err(e) => return Err(failed(touch, e)),
        };
        self.accounts.insert(address, account);
        Ok(account)
    }

    /// The slot's value; zero only when the account's storage trie, or the absence of the account, proves it.
    pub(crate) fn slot(&mut self, address: Address, slot: U256) -> Result<U256, ProofError> {
        let Some(account) = self.account(address)? else { return Ok(U256::ZERO) };
        let key = B256::from(slot);
        let touch = Touch::Slot(address, key);
        match self.nodes.get(account.storage_root, key.as_slice()) {
            Ok(None) => Ok(U256::ZERO),
            Ok(Some(rlp)) => decode_exact(rlp).map_err(|e| ProofError::Bad { touch, why: e.to_string() }),
            Err(e) => Err(failed(touch, e)),
        }
    }
}

fn failed(touch: Touch, error: LookupError) -> ProofError {
    match error {
        LookupError::Missing => ProofError::Unproven(touch),
        LookupError::Malformed(why) => ProofError::Bad { touch, why },
    }
}

impl Database for ProvenState {
    type Error = ProofError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ProofError> {
        Ok(self.account(address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            // Loaded only when it is run or read: what is not needed need not be proven.
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ProofError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytecode::default());
        }
        let touch = Touch::Code(hash);
        let code = self.codes.get(&hash).or_else(|| self.known.get(&hash));
        let code = code.ok_or(ProofError::Unproven(touch))?;
        self.used_codes.insert(hash, code.clone());
        self.known.bytecode(hash, code).map_err(|e| ProofError::Bad { touch, why: e.to_string() })
    }

    fn storage(&mut self, address: Address, slot: StorageKey) -> Result<StorageValue, ProofError> {
        self.slot(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ProofError> {
        Err(ProofError::BlockHash(number))
    }
}
