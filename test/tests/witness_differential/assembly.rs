// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random contracts in bytecode: each looks at all kinds of state and answers all that it saw.
//!
//! Left out is what `eth_call` itself makes up (gas, gas price, caller, origin; the base fee, which it sets to zero) and the
//! hashes of earlier blocks, which no witness proves.

use alloy::primitives::{Address, B256, U256};
use proptest::prelude::*;

/// One thing that a contract looks at.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    Slot(u8),
    /// A slot that the call's argument names.
    ArgumentSlot,
    /// Writes and reads back, for the time of the call.
    Written(u8, u8),
    Transient(u8, u8),
    Balance(usize),
    OwnBalance,
    CodeSize(usize),
    CodeHash(usize),
    CodeWord(usize, u8),
    Environment(u8),
    Precompile(u8, u8),
    /// By call, static call or delegate call; passes the argument on.
    Call(Manner, usize),
    Hash(u8),
    /// Reverts with what was seen so far when the argument's last byte is this.
    RevertIf(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    Call,
    Static,
    Delegate,
}

/// A contract, by what it looks at and what its constructor stores.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    pub(crate) looks: Vec<Look>,
    pub(crate) storage: Vec<(u8, u64)>,
}

/// Opcodes that push something of the block or call.
const ENVIRONMENT: [u8; 9] = [
    0x30, // ADDRESS
    0x34, // CALLVALUE
    0x36, // CALLDATASIZE
    0x41, // COINBASE
    0x42, // TIMESTAMP
    0x43, // NUMBER
    0x44, // PREVRANDAO
    0x46, // CHAINID
    0x4a, // BLOBBASEFEE
];

fn look() -> impl Strategy<Value = Look> {
    let who = || 0usize..12;
    prop_oneof![
        4 => (0u8..6).prop_map(Look::Slot),
        2 => Just(Look::ArgumentSlot),
        1 => (0u8..6, any::<u8>()).prop_map(|(slot, value)| Look::Written(slot, value)),
        1 => (0u8..6, any::<u8>()).prop_map(|(slot, value)| Look::Transient(slot, value)),
        2 => who().prop_map(Look::Balance),
        1 => Just(Look::OwnBalance),
        1 => who().prop_map(Look::CodeSize),
        1 => who().prop_map(Look::CodeHash),
        1 => (who(), any::<u8>()).prop_map(|(who, at)| Look::CodeWord(who, at)),
        2 => (0u8..ENVIRONMENT.len() as u8).prop_map(Look::Environment),
        2 => (1u8..10, 0u8..=192).prop_map(|(which, length)| Look::Precompile(which, length)),
        4 => (
            prop_oneof![Just(Manner::Call), Just(Manner::Static), Just(Manner::Delegate)],
            who(),
        ).prop_map(|(manner, who)| Look::Call(manner, who)),
        1 => any::<u8>().prop_map(Look::Hash),
        1 => (0u8..8).prop_map(Look::RevertIf),
    ]
}

pub(crate) fn contract() -> impl Strategy<Value = Contract> {
    let storage = proptest::collection::vec((0u8..6, 1u64..=u64::MAX), 0..5);
    (proptest::collection::vec(look(), 1..14), storage)
        .prop_map(|(looks, storage)| Contract { looks, storage })
}

/// Appends opcodes.
#[derive(Default)]
struct Code(Vec<u8>);

impl Code {
    fn op(&mut self, opcodes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(opcodes);
        self
    }

    fn push(&mut self, value: u64) -> &mut Self {
        self.op(&[0x67]).op(&value.to_be_bytes())
    }

    fn push_address(&mut self, address: Address) -> &mut Self {
        self.op(&[0x73]).op(address.as_slice())
    }
}

impl Contract {
    /// The code, with `others` to look at.
    pub(crate) fn runtime(&self, others: &[Address]) -> Vec<u8> {
        let mut code = Code::default();
        for (index, look) in self.looks.iter().enumerate() {
            look.encode(&mut code, others, index as u64);
            // What it pushed goes to its place in memory.
            code.push(32 * index as u64).op(&[0x52]);
        }
        code.push(32 * self.looks.len() as u64).op(&[0x5f, 0xf3]);
        code.0
    }

    /// What deploys it.
    pub(crate) fn init(&self, others: &[Address]) -> Vec<u8> {
        let runtime = self.runtime(others);
        let mut code = Code::default();
        for (slot, value) in &self.storage {
            code.push(*value).push(u64::from(*slot)).op(&[0x55]);
        }
        // Three pushes, CODECOPY, push, PUSH0, RETURN.
        let offset = code.0.len() as u64 + 9 + 9 + 1 + 1 + 9 + 1 + 1;
        code.push(runtime.len() as u64).push(offset).op(&[0x5f, 0x39]);
        code.push(runtime.len() as u64).op(&[0x5f, 0xf3]);
        assert_eq!(code.0.len() as u64, offset);
        code.op(&runtime);
        code.0
    }
}

impl Look {
    /// Leaves one word on the stack.
    fn encode(&self, code: &mut Code, others: &[Address], index: u64) {
        let who =
            |n: &usize| others.get(n % others.len().max(1)).copied().unwrap_or(Address::repeat_byte(0xdd));
        // Above all that was seen.
        let scratch = 0x1000 + 0x100 * index;
        match self {
            Self::Slot(slot) => code.push(u64::from(*slot)).op(&[0x54]),
            Self::ArgumentSlot => code.op(&[0x5f, 0x35, 0x54]),
            Self::Written(slot, value) => {
                code.push(u64::from(*value)).push(u64::from(*slot)).op(&[0x55]);
                code.push(u64::from(*slot)).op(&[0x54])
            }
            Self::Transient(slot, value) => {
                code.push(u64::from(*value)).push(u64::from(*slot)).op(&[0x5d]);
                code.push(u64::from(*slot)).op(&[0x5c])
            }
            Self::Balance(n) => code.push_address(who(n)).op(&[0x31]),
            Self::OwnBalance => code.op(&[0x47]),
            Self::CodeSize(n) => code.push_address(who(n)).op(&[0x3b]),
            Self::CodeHash(n) => code.push_address(who(n)).op(&[0x3f]),
            Self::CodeWord(n, at) => {
                code.push(32).push(u64::from(*at)).push(scratch).push_address(who(n)).op(&[0x3c]);
                code.push(scratch).op(&[0x51])
            }
            Self::Environment(which) => code.op(&[ENVIRONMENT[usize::from(*which)]]),
            Self::Precompile(which, length) => {
                // A static call with what is in memory; its answer's first word and whether it succeeded.
                code.push(32).push(scratch).push(u64::from(*length)).push(0);
                code.push(u64::from(*which)).push(100_000).op(&[0xfa]);
                code.push(scratch).op(&[0x51, 0x01])
            }
            Self::Call(manner, n) => {
                code.op(&[0x5f, 0x35]).push(scratch).op(&[0x52]);
                code.push(32).push(scratch).push(32).push(scratch);
                if matches!(manner, Manner::Call) {
                    code.op(&[0x5f]);
                }
                code.push_address(who(n)).push(2_000_000);
                code.op(match manner {
                    Manner::Call => &[0xf1],
                    Manner::Static => &[0xfa],
                    Manner::Delegate => &[0xf4],
                });
                // Success, length of the answer and its first word.
                code.op(&[0x3d, 0x01]).push(scratch).op(&[0x51, 0x18])
            }
            Self::Hash(length) => code.push(u64::from(*length)).op(&[0x5f, 0x20]),
            Self::RevertIf(byte) => {
                code.op(&[0x5f, 0x35]).push(0xff).op(&[0x16]).push(u64::from(*byte)).op(&[0x14, 0x15]);
                // Jumps over the revert unless they are equal: PUSH8, JUMPI, PUSH8, PUSH0, REVERT, JUMPDEST.
                let target = code.0.len() as u64 + 9 + 1 + 9 + 1 + 1;
                code.push(target).op(&[0x57]).push(32 * index).op(&[0x5f, 0xfd, 0x5b]);
                code.push(u64::from(*byte))
            }
        };
    }
}

/// Call data: one word.
pub(crate) fn argument(n: u64) -> Vec<u8> {
    B256::from(U256::from(n)).to_vec()
}
