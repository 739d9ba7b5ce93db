// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The verifier: header hash → state root → accounts → storage → code, then revm on nothing else.

use std::collections::{BTreeMap, HashMap};

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, TxKind, U256, keccak256},
    rlp::decode_exact,
};
use mandate_model::wire::{BlockRef, ViewCall};
use revm::{
    Context, Database, MainBuilder, MainContext,
    context::{
        BlockEnv, CfgEnv, TxEnv,
        result::{EVMError, ExecutionResult, InvalidTransaction},
    },
    handler::{EthFrame, Handler, MainnetHandler},
};

use crate::{
    codec::{CodecError, Witness},
    database::{ProofError, ProvenState},
    error::Undecided,
    known::Known,
    precompiles::ForkPrecompiles,
    spec::{ChainSpec, Fork},
};

/// The gas that a call may use.
pub const GAS_LIMIT: u64 = 30_000_000;

/// A header whose RLP hashes to a trusted hash. Only [`TrustedHeader::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedHeader {
    block: BlockRef,
    header: Header,
}

impl TrustedHeader {
    /// Checks `rlp` against the block that is trusted.
    pub fn verify(rlp: &[u8], trusted: BlockRef) -> Result<Self, Undecided> {
        let got = keccak256(rlp);
        if got != trusted.hash {
            return Err(Undecided::WrongBlock { expected: trusted.hash, got });
        }
        let malformed = |why: String| Undecided::HeaderMalformed { block: trusted.hash, why };
        let header: Header = decode_exact(rlp).map_err(|e| malformed(e.to_string()))?;
        if header.number != trusted.number {
            return Err(malformed(format!("its height is {}, not {}", header.number, trusted.number)));
        }
        Ok(Self { block: trusted, header })
    }

    /// Height and hash.
    pub fn block(&self) -> BlockRef {
        self.block
    }

    /// Seconds since the epoch.
    pub fn timestamp(&self) -> u64 {
        self.header.timestamp
    }

    /// Root of the state trie.
    pub fn state_root(&self) -> B256 {
        self.header.state_root
    }

    /// The whole header.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// What a call answered, and all that it took to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    output: Bytes,
    header: Bytes,
    nodes: BTreeMap<B256, Bytes>,
    codes: BTreeMap<B256, Bytes>,
    accounts: Vec<Address>,
}

impl Execution {
    /// The return data.
    pub fn output(&self) -> &Bytes {
        &self.output
    }

    /// The call's whole witness, with what the verifier knew already: for somebody else, who knows nothing.
    ///
    /// # Errors
    /// When that exceeds a cap.
    pub fn witness(&self) -> Result<Witness, CodecError> {
        let list = |parts: &BTreeMap<B256, Bytes>| parts.values().cloned().collect();
        Witness::new(self.header.clone(), list(&self.nodes), list(&self.codes))
    }

    /// The header's RLP.
    pub(crate) fn header(&self) -> &Bytes {
        &self.header
    }

    /// The accounts that were looked at.
    pub(crate) fn accounts(&self) -> &[Address] {
        &self.accounts
    }

    /// Everything that was used, by hash; nodes first.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&B256, &Bytes)> {
        self.nodes.iter().chain(&self.codes)
    }
}

/// Executes `call` as of the trusted block on what `witness` proves, and gives back the return data.
///
/// `trusted` must come from a [`crate::HeaderSource`], or, in a replay, from the receipt that is judged. A witness that
/// holds more than the call needs is refused: one call at one block has one witness.
///
/// # Errors
/// Everything but an answer is undecided.
pub fn execute(
    witness: &Witness,
    trusted: BlockRef,
    spec: &ChainSpec,
    call: &ViewCall,
) -> Result<Bytes, Undecided> {
    execute_beyond(&Known::default(), witness, trusted, spec, call).map(|execution| execution.output)
}

/// Likewise with a witness that may leave `known` out.
///
/// # Errors
/// Everything but an answer is undecided.
pub fn execute_beyond(
    known: &Known,
    witness: &Witness,
    trusted: BlockRef,
    spec: &ChainSpec,
    call: &ViewCall,
) -> Result<Execution, Undecided> {
    let header = TrustedHeader::verify(witness.header(), trusted)?;
    execute_at(&header, known, witness, spec, call)
}

pub(crate) fn execute_at(
    header: &TrustedHeader,
    known: &Known,
    witness: &Witness,
    spec: &ChainSpec,
    call: &ViewCall,
) -> Result<Execution, Undecided> {
    let timestamp = header.timestamp();
    let fork = spec.fork_at(timestamp).ok_or(Undecided::UnknownFork { timestamp })?;
    let mut state = ProvenState::new(header.state_root(), known.clone());
    witness.nodes().iter().for_each(|n| state.nodes.insert(n.clone()));
    witness.codes().iter().for_each(|c| state.insert_code(c.clone()));
    let result = run(&mut state, header.header(), fork, spec.chain_id, call)?;
    if let Some(hash) = state.superfluous() {
        return Err(Undecided::Superfluous(hash));
    }
    let output = match result {
        ExecutionResult::Success { output, .. } => output.into_data(),
        ExecutionResult::Revert { output, .. } => return Err(Undecided::Reverted { data: output }),
        ExecutionResult::Halt { reason, .. } => {
            return Err(Undecided::Halted { reason: format!("{reason:?}") });
        }
    };
    let sorted = |parts: &HashMap<B256, Bytes>| parts.iter().map(|(h, p)| (*h, p.clone())).collect();
    let (nodes, codes) = (sorted(state.nodes.used()), sorted(state.used_codes()));
    let mut accounts: Vec<Address> = state.touched().copied().collect();
    accounts.sort_unstable();
    Ok(Execution { output, header: witness.header().clone(), nodes, codes, accounts })
}

/// Runs the call from the zero address without value, fee or balance check: as a system call, so that nothing is touched
/// but what the call itself touches.
pub(crate) fn run<DB: Database<Error = ProofError>>(
    state: &mut DB,
    header: &Header,
    fork: Fork,
    chain_id: u64,
    call: &ViewCall,
) -> Result<ExecutionResult, RunError> {
    let mut evm = Context::mainnet()
        .with_db(state)
        .modify_cfg_chained(|cfg| configure(cfg, fork, chain_id))
        .with_block(block_env(header, fork))
        .build_mainnet()
        .with_precompiles(ForkPrecompiles::of(fork.name));
    evm.ctx.tx = TxEnv {
        caller: Address::ZERO,
        kind: TxKind::Call(call.to),
        data: call.data.clone(),
        gas_limit: GAS_LIMIT,
        chain_id: Some(chain_id),
        ..TxEnv::default()
    };
    let mut handler = MainnetHandler::<_, RunError, EthFrame>::default();
    // What is warm in any transaction: what a call costs, and so what one with a gas cap answers, depends on it
    // (EIP-2929, EIP-3651). A system call begins with nothing.
    handler.load_accounts(&mut evm)?;
    handler.run_system_call(&mut evm)
}

/// What revm fails with.
pub(crate) type RunError = EVMError<ProofError, InvalidTransaction>;

fn configure(cfg: &mut CfgEnv, fork: Fork, chain_id: u64) {
    cfg.set_spec_and_mainnet_gas_params(fork.name.into());
    cfg.chain_id = chain_id;
}

fn block_env(header: &Header, fork: Fork) -> BlockEnv {
    let mut env = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        ..BlockEnv::default()
    };
    env.set_blob_excess_gas_and_price(header.excess_blob_gas.unwrap_or_default(), fork.blob_fraction);
    env
}

impl From<RunError> for Undecided {
    fn from(error: RunError) -> Self {
        match error {
            EVMError::Database(ProofError::Unproven(touch)) => Self::Unproven(touch),
            EVMError::Database(ProofError::Bad { touch, why }) => Self::BadEntry { touch, why },
            EVMError::Database(ProofError::BlockHash(number)) => Self::BlockHash { number },
            other => Self::Evm { why: other.to_string() },
        }
    }
}
