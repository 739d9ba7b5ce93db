// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `GET /v1/committee`: who the nodes of an epoch are and its group key, from the folded state.

use alloy::primitives::Address;
use axum::extract::State;
use mandate_model::{
    state::{Ceremony, Committee, Epoch},
    wire::{
        BlockRef,
        relayer::{CommitteeView, Member, Outgoing},
    },
};
use mandate_runtime::http::{ApiError, ApiJson, ApiQuery};
use serde::Deserialize;

use super::{Answer, Shared, page};
use crate::chain::Contracts;

/// Which epoch is meant: the one in force unless it is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    epoch: Option<u64>,
}

pub(super) async fn committee(State(api): Shared, ApiQuery(which): ApiQuery<Which>) -> Answer<CommitteeView> {
    let read = api.store.folded_committee().await.map_err(ApiError::internal)?;
    let block = read.at.ok_or_else(page::none_yet)?;
    let committee = &read.value;
    let shown = match which.epoch {
        None => committee.current_epoch(),
        Some(number) => {
            let epoch = committee.epochs.get(&number);
            Some((number, epoch.ok_or_else(|| ApiError::bad_request(format!("there is no epoch {number}")))?))
        }
    };
    Ok(ApiJson(assemble(&api.contracts, block, committee, shown)))
}

fn assemble(
    contracts: &Contracts,
    block: BlockRef,
    committee: &Committee,
    shown: Option<(u64, &Epoch)>,
) -> CommitteeView {
    // An evicted member keeps its place, which fixes the others' indices, but cannot be reached.
    let member = |key: &Address| {
        let known = committee.nodes.get(key);
        Member {
            node: *key,
            dealing_key: known.map(|node| node.dealing_key).unwrap_or_default(),
            url: known.map(|node| node.url.clone()).unwrap_or_default(),
        }
    };
    let ceremony = shown.and_then(|(_, epoch)| committee.ceremonies.get(&epoch.round));
    let outgoing = committee.epochs.get(&committee.outgoing);
    CommitteeView {
        block,
        chain_id: contracts.chain_id,
        kms_auth: contracts.kms_auth,
        committee: contracts.committee,
        epoch: shown.map_or(0, |(number, _)| number),
        outgoing: outgoing
            .map(|epoch| Outgoing { epoch: committee.outgoing, valid_until: epoch.valid_until }),
        quorum: ceremony.map_or(0, |ceremony| ceremony.quorum),
        members: ceremony.map_or_else(Vec::new, |ceremony| ceremony.players.iter().map(member).collect()),
        replicas: replicas(committee, ceremony).iter().map(member).collect(),
        group_key: shown.map(|(_, epoch)| epoch.group_key.clone()).unwrap_or_default(),
        polynomial: shown.map(|(_, epoch)| epoch.polynomial.clone()).unwrap_or_default(),
    }
}

/// The nodes that may have a copy of a single member's share. Whether they have, a guest finds out by asking.
fn replicas(committee: &Committee, ceremony: Option<&Ceremony>) -> Vec<Address> {
    let single =
        ceremony.and_then(|ceremony| ceremony.players.first().filter(|_| ceremony.players.len() == 1));
    match single {
        Some(member) if committee.replicated_from != 0 => {
            committee.nodes.keys().filter(|node| *node != member).copied().collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes};
    use mandate_model::state::Node;

    use super::*;

    #[test]
    fn members_keep_the_ceremonys_order_and_an_evicted_one_its_place() {
        let keys = [Address::repeat_byte(9), Address::repeat_byte(1), Address::repeat_byte(5)];
        let mut committee = Committee::default();
        for key in [keys[0], keys[2]] {
            let url = format!("http://{key}");
            committee.nodes.insert(key, Node { url, dealing_key: B256::repeat_byte(3), ..Node::default() });
        }
        let ceremony = Ceremony { quorum: 2, players: keys.to_vec(), ..Ceremony::default() };
        committee.ceremonies.insert(4, ceremony);
        let epoch = |round, key: u8| Epoch {
            round,
            started_at: 1,
            valid_until: 2,
            group_key: Bytes::from(vec![key; 48]),
            polynomial: Bytes::new(),
        };
        committee.epochs.insert(1, epoch(3, 1));
        committee.epochs.insert(2, epoch(4, 2));
        let block = BlockRef { number: 7, hash: B256::repeat_byte(7) };
        let view = assemble(&Contracts::for_tests(), block, &committee, committee.current_epoch());
        assert_eq!((view.block, view.epoch, view.quorum), (block, 2, 2));
        assert_eq!(view.group_key, vec![2; 48]);
        assert_eq!(view.members.iter().map(|m| m.node).collect::<Vec<_>>(), keys);
        assert_eq!((view.members[1].url.as_str(), view.members[1].dealing_key), ("", B256::ZERO));
        assert_eq!(view.outgoing, None);
        committee.outgoing = 1;
        let before = (1, &committee.epochs[&1]);
        let view = assemble(&Contracts::for_tests(), block, &committee, Some(before));
        assert_eq!((view.epoch, view.group_key.as_ref()), (1, [1; 48].as_slice()));
        assert_eq!(view.outgoing, Some(Outgoing { epoch: 1, valid_until: 2 }));
        assert_eq!(view.replicas, Vec::new());
        committee.replicated_from = 5;
        let several = assemble(&Contracts::for_tests(), block, &committee, committee.current_epoch());
        assert_eq!(several.replicas, Vec::new(), "copies are of a single member's share only");
        committee.ceremonies.get_mut(&4).unwrap().players.truncate(1);
        let single = assemble(&Contracts::for_tests(), block, &committee, committee.current_epoch());
        assert_eq!(single.replicas.iter().map(|m| m.node).collect::<Vec<_>>(), [keys[2]]);
        let none = assemble(&Contracts::for_tests(), block, &Committee::default(), None);
        assert_eq!((none.epoch, none.members.len()), (0, 0));
    }
}
