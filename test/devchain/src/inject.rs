// SPDX-License-Identifier: Apache-2.0 OR MIT
//! State that no transaction made, for chains that are to be large.

use std::sync::Arc;

use alloy::primitives::{Address, U256};

use crate::{
    DevChain,
    block::Block,
    build::{self, Site},
    chain::{Chain, Entry},
    state::State,
};

/// What is written into the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// Accounts that become copies of others: nonce, balance, code and storage. `(of, to)`; a missing `of` is left out.
    pub copies: Vec<(Address, Address)>,
    /// Slots of accounts, each account best named once.
    pub slots: Vec<(Address, Vec<(U256, U256)>)>,
}

impl DevChain {
    /// Writes into the state and makes an empty block over it, which commits to it as to any other. Copies share what they
    /// have in common, so that a million accounts take seconds and less than a gigabyte.
    pub fn inject(&self, injection: &Injection) -> Arc<Block> {
        self.write(|chain| chain.inject(injection))
    }
}

impl Chain {
    fn inject(&mut self, injection: &Injection) -> Arc<Block> {
        let mut state = self.head_state();
        injection.copies.iter().for_each(|(of, to)| state.copy(*of, *to));
        injection.slots.iter().for_each(|(account, slots)| state.put_slots(*account, slots));
        let entry = self.empty_block(&state);
        let block = entry.block.clone();
        self.push(entry);
        block
    }

    fn empty_block(&mut self, state: &State) -> Entry {
        let timestamp = self.time.preview(&self.config.clock, self.head().block.timestamp());
        self.time.advance(&self.config.clock, self.head().block.timestamp());
        let parent = self.head().block.clone();
        let site = Site {
            config: &self.config,
            parent: parent.header(),
            parent_hash: parent.hash(),
            state,
            ancestors: &Default::default(),
            timestamp,
            extra_data: Default::default(),
        };
        let built = build::build(&site, Vec::new());
        Entry { block: Arc::new(built.block), state: Some(built.state) }
    }
}

#[cfg(test)]
mod tests {
    use alloy::{eips::BlockNumberOrTag, primitives::keccak256, providers::Provider};

    use super::*;
    use crate::Config;

    #[tokio::test]
    async fn injected_state_is_committed_to_and_stays() {
        let chain = DevChain::new(Config::default()).unwrap();
        let (of, to) = (chain.accounts()[0], Address::repeat_byte(7));
        let slots = (0..100u64).map(|n| (U256::from(n), U256::from(n + 1))).collect();
        let before = chain.head();
        let block = chain.inject(&Injection { copies: vec![(of, to)], slots: vec![(to, slots)] });
        assert_eq!((block.number(), block.header().parent_hash), (before.number() + 1, before.hash()));
        assert_ne!(block.header().state_root, before.header().state_root);
        let provider = chain.provider();
        assert_eq!(provider.get_balance(to).await.unwrap(), provider.get_balance(of).await.unwrap());
        assert_eq!(provider.get_storage_at(to, U256::from(41)).await.unwrap(), U256::from(42));
        let proof = provider.get_proof(to, vec![U256::from(41).into()]).hash(block.hash()).await.unwrap();
        assert_eq!(keccak256(&proof.account_proof[0]), block.header().state_root);
        chain.mine(1);
        assert_eq!(chain.head().header().state_root, block.header().state_root);
        let earlier = provider.get_balance(to).block_id(BlockNumberOrTag::Number(before.number()).into());
        assert_eq!(earlier.await.unwrap(), U256::ZERO);
    }
}
