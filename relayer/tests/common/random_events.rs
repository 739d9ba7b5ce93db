// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random events of the folded contracts, of every kind that their ABI has, from so few addresses and hashes that they meet.

use alloy::{
    dyn_abi::{DynSolType, DynSolValue},
    json_abi,
    primitives::{Address, B256, U256},
};
use mandate_model::{abi, event::Event, state::Contracts, wire::BlockRef};
use mandate_relayer::store::StoredLog;
use mandate_runtime::entropy::{self, SeededEntropy};

pub const CONTRACTS: Contracts = Contracts {
    kms_auth: Address::repeat_byte(0x11),
    committee: Address::repeat_byte(0x22),
    domain_registry: Address::repeat_byte(0x33),
};

pub struct Random {
    entropy: SeededEntropy,
    events: Vec<(Vec<Address>, json_abi::Event)>,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        let apps = (1..=3).map(|n| Address::repeat_byte(0xa0 + n)).collect::<Vec<_>>();
        let emitters = [
            ("KmsAuth", vec![CONTRACTS.kms_auth]),
            ("KmsCommittee", vec![CONTRACTS.committee]),
            ("DomainRegistry", vec![CONTRACTS.domain_registry]),
            ("AppAuth", apps),
        ];
        let events = emitters.into_iter().flat_map(|(name, at)| {
            let events: Vec<json_abi::Event> =
                abi::of(name).unwrap().events.values().flatten().cloned().collect();
            let events = events.into_iter().filter(|event| Event::TOPICS.contains(&event.selector()));
            events.map(move |event| (at.clone(), event))
        });
        Self { entropy: SeededEntropy::from_u64(seed), events: events.collect() }
    }

    /// Below `n`.
    pub fn below(&self, n: u64) -> u64 {
        u64::from_le_bytes(entropy::bytes(&self.entropy)) % n
    }

    pub fn hash(&self) -> B256 {
        B256::from(entropy::bytes::<32>(&self.entropy))
    }

    /// How many kinds of events there are.
    pub fn kinds(&self) -> usize {
        self.events.len()
    }

    /// Some event at a place.
    pub fn log(&self, block: BlockRef, log_index: u64) -> StoredLog {
        let (emitters, event) = &self.events[self.below(self.events.len() as u64) as usize];
        let mut topics = vec![event.selector()];
        let mut data = Vec::new();
        for input in &event.inputs {
            let value = self.value(&input.ty.parse().unwrap());
            match input.indexed {
                true => topics.push(value.as_word().unwrap()),
                false => data.push(value),
            }
        }
        StoredLog {
            block_number: block.number,
            block_hash: block.hash,
            timestamp: 1_700_000_000 + 12 * block.number,
            tx_hash: B256::with_last_byte(log_index as u8),
            log_index,
            address: emitters[self.below(emitters.len() as u64) as usize],
            topics,
            data: DynSolValue::Tuple(data).abi_encode_params().into(),
        }
    }

    fn value(&self, ty: &DynSolType) -> DynSolValue {
        let few = self.below(4);
        match ty {
            DynSolType::Address => DynSolValue::Address(Address::repeat_byte(0xa0 + few as u8)),
            DynSolType::FixedBytes(size) => DynSolValue::FixedBytes(B256::repeat_byte(few as u8), *size),
            DynSolType::Bool => DynSolValue::Bool(few.is_multiple_of(2)),
            DynSolType::Uint(8) => DynSolValue::Uint(U256::from(few), 8),
            // Around the time of the blocks, so that some of what is announced has come to pass.
            DynSolType::Uint(40) => DynSolValue::Uint(U256::from(1_700_000_000 + 300 * few), 40),
            DynSolType::Uint(bits) => DynSolValue::Uint(U256::from(few), *bits),
            DynSolType::String => DynSolValue::String(format!("text {few}")),
            DynSolType::Bytes => DynSolValue::Bytes(vec![few as u8; few as usize]),
            DynSolType::Array(of) => DynSolValue::Array((0..few).map(|_| self.value(of)).collect()),
            other => panic!("a new type of field: {other}"),
        }
    }
}
