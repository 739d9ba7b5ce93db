// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The verifier: header hash → state root → accounts → storage → code, then revm on nothing else.

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
    codec::Witness,
    database::{ProofError, ProvenState},
    error::Undecided,
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

/// Executes `call` as of the trusted block on what `witness` proves, and gives back the return data.
///
/// `trusted` must come from a [`crate::HeaderSource`], or, in a replay, from the receipt that is judged.
pub fn execute(
    witness: &Witness,
    trusted: BlockRef,
    spec: &ChainSpec,
    call: &ViewCall,
) -> Result<Bytes, Undecided> {
    let header = TrustedHeader::verify(witness.header(), trusted)?;
    execute_at(&header, witness, spec, call)
}

pub(crate) fn execute_at(
    header: &TrustedHeader,
    witness: &Witness,
    spec: &ChainSpec,
    call: &ViewCall,
) -> Result<Bytes, Undecided> {
    let timestamp = header.timestamp();
    let fork = spec.fork_at(timestamp).ok_or(Undecided::UnknownFork { timestamp })?;
    let mut state = ProvenState::new(header.state_root());
    witness.nodes().iter().for_each(|n| state.nodes.insert(n.clone()));
    witness.codes().iter().for_each(|c| state.insert_code(c.clone()));
    match run(&mut state, header.header(), fork, spec.chain_id, call)? {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(Undecided::Reverted { data: output }),
        ExecutionResult::Halt { reason, .. } => Err(Undecided::Halted { reason: format!("{reason:?}") }),
    }
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
        .build_mainnet();
    evm.ctx.tx = TxEnv {
        caller: Address::ZERO,
        kind: TxKind::Call(call.to),
        data: call.data.clone(),
        gas_limit: GAS_LIMIT,
        chain_id: Some(chain_id),
        ..TxEnv::default()
    };
    MainnetHandler::<_, RunError, EthFrame>::default().run_system_call(&mut evm)
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
