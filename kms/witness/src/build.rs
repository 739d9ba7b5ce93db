// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The builder: runs the call on what is proven so far, fetches what it missed, and runs it again, until nothing is
//! missing. The provider is not trusted for the result, yet what it says is checked at once, so that its owner learns
//! which endpoint is wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider},
    rlp::encode,
    rpc::types::EIP1186AccountProofResponse,
    transports::TransportError,
};
use futures::{StreamExt, TryStreamExt, stream};
use mandate_model::wire::ViewCall;
use revm::{
    Database,
    bytecode::Bytecode,
    context::result::EVMError,
    primitives::{StorageKey, StorageValue},
    state::AccountInfo,
};
use thiserror::Error;

use crate::{
    codec::{CodecError, MAX_NODES, Witness},
    database::{ProofError, ProvenState},
    error::Touch,
    execute::run,
    known::Known,
    spec::{ChainSpec, Fork},
};

/// Most rounds of fetching: each round is one step further along a chain of dependent reads.
const MAX_ROUNDS: usize = 128;
/// Most accounts and slots of one call.
const MAX_TOUCHES: usize = 1024;
/// Most slots that one request asks a proof for.
const MAX_KEYS: usize = 64;
/// Requests under way at once.
const CONCURRENCY: usize = 8;

/// Why no witness could be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The provider did not answer.
    #[error("{method} failed: {source}")]
    Rpc {
        /// What was asked.
        method: &'static str,
        /// What came back.
        #[source]
        source: TransportError,
    },
    /// The provider does not know the block.
    #[error("the provider does not know block {0}: it may lag, or the block was reorganised away")]
    UnknownBlock(B256),
    /// The provider's header is not the block's.
    #[error("the provider's header of block {expected} hashes to {got}: the provider is wrong or too old")]
    WrongHeader {
        /// What was asked for.
        expected: B256,
        /// What came.
        got: B256,
    },
    /// The chain's rules at that time are not known here.
    #[error("no rules are known for block time {0}: configure the chain's forks")]
    UnknownFork(u64),
    /// The provider's proof or code does not prove what it was asked for.
    #[error("the provider's answer does not prove {0}: the provider is wrong or pruned")]
    NotProven(Touch),
    /// What the trie holds there is not what the protocol puts there.
    #[error("the trie's entry for {touch} cannot be read: {why}")]
    BadEntry {
        /// Where.
        touch: Touch,
        /// What is wrong.
        why: String,
    },
    /// The call asks for the hash of an earlier block.
    #[error("the call asks for the hash of block {0}, which no witness proves")]
    BlockHash(u64),
    /// The call touches too much.
    #[error(
        "the call touches more than {MAX_TOUCHES} accounts and slots, or needs more than {MAX_ROUNDS} rounds"
    )]
    TooMuch,
    /// The witness exceeds a cap.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The EVM itself refused to run.
    #[error("the EVM failed: {0}")]
    Evm(String),
}

/// Builds the witness of `call` at the block with `block_hash`. A call that reverts has a witness too.
///
/// # Errors
/// When the provider does not answer, or its answers do not prove what the call needs.
pub async fn build(
    provider: &DynProvider,
    spec: &ChainSpec,
    block_hash: B256,
    call: &ViewCall,
) -> Result<Witness, BuildError> {
    build_beyond(&Known::default(), provider, spec, block_hash, call).await
}

/// Likewise for somebody who has `known`: what is in it is neither fetched nor put into the witness.
///
/// # Errors
/// As [`build`].
pub async fn build_beyond(
    known: &Known,
    provider: &DynProvider,
    spec: &ChainSpec,
    block_hash: B256,
    call: &ViewCall,
) -> Result<Witness, BuildError> {
    let header = fetch_header(provider, block_hash).await?;
    let fork = spec.fork_at(header.timestamp).ok_or(BuildError::UnknownFork(header.timestamp))?;
    let mut builder = Builder::new(provider, block_hash, header.state_root, known);
    builder.prefetch(call.to).await?;
    for _ in 0..MAX_ROUNDS {
        let missing = missing(&mut builder.state, &header, fork, spec.chain_id, call)?;
        if missing.is_empty() {
            return builder.finish(&header);
        }
        builder.fetch(missing).await?;
    }
    Err(BuildError::TooMuch)
}

async fn fetch_header(provider: &DynProvider, hash: B256) -> Result<Header, BuildError> {
    let block = provider
        .get_block_by_hash(hash)
        .await
        .map_err(|source| BuildError::Rpc { method: "eth_getBlockByHash", source })?
        .ok_or(BuildError::UnknownBlock(hash))?;
    let header = block.header.inner;
    match header.hash_slow() {
        got if got == hash => Ok(header),
        got => Err(BuildError::WrongHeader { expected: hash, got }),
    }
}

/// Runs the call and tells what it missed. A slot that is missing is taken for zero for the rest of this run, so that
/// one run finds many; its result is used only when nothing was missing.
fn missing(
    state: &mut ProvenState,
    header: &Header,
    fork: Fork,
    chain_id: u64,
    call: &ViewCall,
) -> Result<Vec<Touch>, BuildError> {
    state.forget_use();
    let mut guess = Guess { state, missing: Vec::new() };
    let result = run(&mut guess, header, fork, chain_id, call);
    let missing = guess.missing;
    if !missing.is_empty() {
        return Ok(missing);
    }
    match result {
        Ok(_) => Ok(Vec::new()),
        Err(EVMError::Database(ProofError::Unproven(touch))) => Err(BuildError::NotProven(touch)),
        Err(EVMError::Database(ProofError::Bad { touch, why })) => Err(BuildError::BadEntry { touch, why }),
        Err(EVMError::Database(ProofError::BlockHash(number))) => Err(BuildError::BlockHash(number)),
        Err(other) => Err(BuildError::Evm(other.to_string())),
    }
}

struct Guess<'a> {
    state: &'a mut ProvenState,
    missing: Vec<Touch>,
}

impl Guess<'_> {
    fn note<T>(&mut self, result: Result<T, ProofError>) -> Result<T, ProofError> {
        if let Err(ProofError::Unproven(touch)) = &result {
            self.missing.push(*touch);
        }
        result
    }
}

impl Database for Guess<'_> {
    type Error = ProofError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ProofError> {
        let result = self.state.basic(address);
        self.note(result)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ProofError> {
        let result = self.state.code_by_hash(hash);
        self.note(result)
    }

    fn storage(&mut self, address: Address, slot: StorageKey) -> Result<StorageValue, ProofError> {
        let result = self.state.storage(address, slot);
        match self.note(result) {
            Err(ProofError::Unproven(_)) => Ok(U256::ZERO),
            other => other,
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ProofError> {
        self.state.block_hash(number)
    }
}

/// What one request asks of one account.
#[derive(Debug, Default)]
struct Want {
    account: bool,
    slots: Vec<B256>,
    code: bool,
}

struct Builder<'a> {
    provider: &'a DynProvider,
    block_hash: B256,
    known: &'a Known,
    state: ProvenState,
    asked: BTreeSet<Touch>,
}

impl<'a> Builder<'a> {
    fn new(provider: &'a DynProvider, block_hash: B256, root: B256, known: &'a Known) -> Self {
        let (state, asked) = (ProvenState::new(root, known.clone()), BTreeSet::new());
        Self { provider, block_hash, known, state, asked }
    }

    /// The target is needed in any case, and so are likely the accounts that were needed before: asking at once saves
    /// rounds. Their codes are likely known.
    async fn prefetch(&mut self, to: Address) -> Result<(), BuildError> {
        if self.known.is_empty() {
            return self.fetch(vec![Touch::Account(to)]).await;
        }
        let accounts: BTreeSet<Address> = self.known.accounts().iter().copied().chain([to]).collect();
        let mut wanted = BTreeMap::new();
        for address in accounts.into_iter().take(MAX_TOUCHES) {
            self.asked.insert(Touch::Account(address));
            wanted.insert(address, Want { account: true, ..Want::default() });
        }
        self.request(wanted).await
    }

    /// Fetches proofs and codes. What was asked for before and is missing still, the provider does not prove.
    async fn fetch(&mut self, missing: Vec<Touch>) -> Result<(), BuildError> {
        let mut wanted: BTreeMap<Address, Want> = BTreeMap::new();
        for touch in missing.into_iter().collect::<BTreeSet<_>>() {
            if !self.asked.insert(touch) {
                return Err(BuildError::NotProven(touch));
            }
            match touch {
                // Almost every account that a call touches is one that it calls.
                Touch::Account(address) => {
                    let want = wanted.entry(address).or_default();
                    (want.account, want.code) = (true, true);
                }
                Touch::Slot(address, slot) => wanted.entry(address).or_default().slots.push(slot),
                // The account is known, or it was proven by the way: where another one would be, if there were one.
                Touch::Code(hash) => {
                    let owner = self.state.owner(hash).ok_or(BuildError::NotProven(touch))?;
                    wanted.entry(owner).or_default().code = true;
                }
            }
        }
        if self.asked.len() > MAX_TOUCHES {
            return Err(BuildError::TooMuch);
        }
        self.request(wanted).await
    }

    async fn request(&mut self, wanted: BTreeMap<Address, Want>) -> Result<(), BuildError> {
        let requests: Vec<(Address, Want)> = wanted.into_iter().flat_map(split).collect();
        let (provider, block_hash) = (self.provider, self.block_hash);
        let answers: Vec<Answer> = stream::iter(requests)
            .map(|(address, want)| ask(provider, block_hash, address, want))
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        answers.into_iter().try_for_each(|answer| self.take(answer))
    }

    fn take(&mut self, answer: Answer) -> Result<(), BuildError> {
        let Answer { address, nodes, code } = answer;
        nodes.into_iter().for_each(|n| self.state.nodes.insert(n));
        let account =
            self.state.account(address).map_err(|_| BuildError::NotProven(Touch::Account(address)))?;
        let Some(account) = account else { return Ok(()) };
        match code {
            Some(code) if keccak256(&code) == account.code_hash => self.state.insert_code(code),
            Some(_) => return Err(BuildError::NotProven(Touch::Code(account.code_hash))),
            None => {}
        }
        Ok(())
    }

    fn finish(self, header: &Header) -> Result<Witness, BuildError> {
        let unknown = |used: &HashMap<B256, Bytes>| {
            let unknown = used.iter().filter(|(hash, _)| self.known.get(hash).is_none());
            unknown.map(|(_, part)| part.clone()).collect()
        };
        let (nodes, codes) = (unknown(self.state.nodes.used()), unknown(self.state.used_codes()));
        Ok(Witness::new(encode(header).into(), nodes, codes)?)
    }
}

fn split((address, want): (Address, Want)) -> Vec<(Address, Want)> {
    let Want { account, slots, code } = want;
    if slots.is_empty() {
        return vec![(address, Want { account, slots, code })];
    }
    let mut parts: Vec<_> = slots
        .chunks(MAX_KEYS)
        .map(|part| (address, Want { account, slots: part.to_vec(), code: false }))
        .collect();
    if let Some((_, first)) = parts.first_mut() {
        first.code = code;
    }
    parts
}

struct Answer {
    address: Address,
    nodes: Vec<Bytes>,
    code: Option<Bytes>,
}

async fn ask(
    provider: &DynProvider,
    block: B256,
    address: Address,
    want: Want,
) -> Result<Answer, BuildError> {
    let proof = async {
        if !want.account && want.slots.is_empty() {
            return Ok(None);
        }
        let proof = provider.get_proof(address, want.slots).hash(block);
        proof.await.map(Some).map_err(|source| BuildError::Rpc { method: "eth_getProof", source })
    };
    let code = async {
        if !want.code {
            return Ok(None);
        }
        let code = provider.get_code_at(address).hash(block);
        code.await.map(Some).map_err(|source| BuildError::Rpc { method: "eth_getCode", source })
    };
    let (proof, code) = futures::try_join!(proof, code)?;
    let storage = |proof: &EIP1186AccountProofResponse| {
        proof.storage_proof.iter().flat_map(|slot| slot.proof.clone()).collect::<Vec<_>>()
    };
    let nodes: Vec<Bytes> = proof
        .into_iter()
        .flat_map(|proof| {
            let below = storage(&proof);
            proof.account_proof.into_iter().chain(below)
        })
        .collect();
    if nodes.len() > MAX_NODES {
        return Err(BuildError::TooMuch);
    }
    Ok(Answer { address, nodes, code })
}
