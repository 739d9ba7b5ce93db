// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The accounts of one block, as revm reads them and as `eth_getProof` proves them.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
};

use alloy::{
    consensus::constants::KECCAK_EMPTY,
    primitives::{Address, B256, Bytes, U256, keccak256},
    rpc::types::{EIP1186AccountProofResponse, EIP1186StorageProof},
    serde::JsonStorageKey,
};
use alloy_trie::TrieAccount;
use revm::{
    DatabaseRef,
    state::{Account as Touched, AccountInfo, Bytecode, EvmState},
};

use crate::trie::{Leaf, Trie};

/// One account as the state trie holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    code_hash: B256,
    storage: Trie<U256>,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY, storage: Trie::default() }
    }
}

impl Leaf for Account {
    fn rlp(&self) -> Vec<u8> {
        alloy::rlp::encode(TrieAccount {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: self.storage.root(),
            code_hash: self.code_hash,
        })
    }
}

impl Leaf for U256 {
    fn rlp(&self) -> Vec<u8> {
        alloy::rlp::encode(self)
    }
}

/// Code by hash, shared by all states of a chain: code is immutable and its hash is its name.
#[derive(Clone, Debug, Default)]
struct Codes(Arc<RwLock<HashMap<B256, Bytecode>>>);

impl Codes {
    fn get(&self, hash: &B256) -> Bytecode {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(hash).cloned().unwrap_or_default()
    }

    fn put(&self, hash: B256, code: Bytecode) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(hash).or_insert(code);
    }
}

/// All accounts after one block. Cloning is cheap; a clone never sees later changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    accounts: Trie<Account>,
    codes: Codes,
}

impl State {
    /// A state in which these accounts have a balance.
    pub(crate) fn funded(balances: impl IntoIterator<Item = (Address, U256)>) -> Self {
        let mut state = Self::default();
        for (address, balance) in balances {
            if !balance.is_zero() {
                state.accounts.insert(&keccak256(address), Account { balance, ..Account::default() });
            }
        }
        state
    }

    /// The state root.
    pub(crate) fn root(&self) -> B256 {
        self.accounts.root()
    }

    /// The account, when there is one.
    pub(crate) fn account(&self, address: Address) -> Option<&Account> {
        self.accounts.get(&keccak256(address))
    }

    /// The account's nonce; 0 when there is none.
    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.account(address).map_or(0, |account| account.nonce)
    }

    /// The account's balance.
    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.account(address).map_or(U256::ZERO, |account| account.balance)
    }

    /// The account's code as deployed.
    pub(crate) fn code(&self, address: Address) -> Bytes {
        match self.account(address) {
            Some(account) if account.code_hash != KECCAK_EMPTY => {
                self.codes.get(&account.code_hash).original_bytes()
            }
            _ => Bytes::new(),
        }
    }

    /// The account's code hash, when there is an account.
    pub(crate) fn code_hash(&self, address: Address) -> Option<B256> {
        self.account(address).map(|account| account.code_hash)
    }

    /// One storage slot.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> U256 {
        let stored = |account: &Account| account.storage.get(&slot_key(slot)).copied();
        self.account(address).and_then(stored).unwrap_or_default()
    }

    /// The EIP-1186 proof of an account and some of its slots, or of their absence.
    pub(crate) fn proof(&self, address: Address, slots: &[JsonStorageKey]) -> EIP1186AccountProofResponse {
        let key = keccak256(address);
        let account = self.accounts.get(&key).cloned().unwrap_or_default();
        let prove = |slot: &JsonStorageKey| {
            let key = keccak256(slot.as_b256());
            EIP1186StorageProof {
                key: *slot,
                value: account.storage.get(&key).copied().unwrap_or_default(),
                proof: account.storage.proof(&key),
            }
        };
        EIP1186AccountProofResponse {
            address,
            balance: account.balance,
            code_hash: account.code_hash,
            nonce: account.nonce,
            storage_hash: account.storage.root(),
            account_proof: self.accounts.proof(&key),
            storage_proof: slots.iter().map(prove).collect(),
        }
    }

    /// Makes `to` what `of` is.
    pub(crate) fn copy(&mut self, of: Address, to: Address) {
        if let Some(account) = self.account(of).cloned() {
            self.accounts.insert(&keccak256(to), account);
        }
    }

    /// Writes slots of one account.
    pub(crate) fn put_slots(&mut self, address: Address, slots: &[(U256, U256)]) {
        let key = keccak256(address);
        let mut account = self.accounts.get(&key).cloned().unwrap_or_default();
        for (slot, value) in slots {
            match *value {
                U256::ZERO => account.storage.remove(&slot_key(*slot)),
                value => account.storage.insert(&slot_key(*slot), value),
            }
        }
        self.accounts.insert(&key, account);
    }

    /// Takes over what a transaction left behind.
    pub(crate) fn apply(&mut self, changes: EvmState) {
        for (address, touched) in changes {
            if touched.is_touched() {
                self.apply_account(&keccak256(address), touched);
            }
        }
    }

    fn apply_account(&mut self, key: &B256, touched: Touched) {
        // EIP-161: an account that is touched and empty is no account.
        if touched.is_selfdestructed() || touched.is_empty() {
            return self.accounts.remove(key);
        }
        let mut account = match self.accounts.get(key) {
            Some(account) => account.clone(),
            None => Account::default(),
        };
        if touched.is_created() {
            account.storage = Trie::default();
        }
        for (slot, value) in touched.changed_storage_slots() {
            match value.present_value {
                U256::ZERO => account.storage.remove(&slot_key(*slot)),
                value => account.storage.insert(&slot_key(*slot), value),
            }
        }
        if let Some(code) = touched.info.code.filter(|code| !code.is_empty()) {
            self.codes.put(touched.info.code_hash, code);
        }
        account.nonce = touched.info.nonce;
        account.balance = touched.info.balance;
        account.code_hash = touched.info.code_hash;
        self.accounts.insert(key, account);
    }
}

fn slot_key(slot: U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

/// The hashes of the newest blocks, for the `BLOCKHASH` opcode.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ancestors {
    /// The number of the first hash.
    pub(crate) first: u64,
    pub(crate) hashes: Vec<B256>,
}

/// What revm reads from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a State,
    pub(crate) ancestors: &'a Ancestors,
}

impl DatabaseRef for View<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.state.account(address).map(|account| AccountInfo {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
            code: None,
            ..AccountInfo::default()
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.state.codes.get(&code_hash))
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, Infallible> {
        Ok(self.state.slot(address, index))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let index = number.checked_sub(self.ancestors.first).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| self.ancestors.hashes.get(index)).copied().unwrap_or_default())
    }
}
