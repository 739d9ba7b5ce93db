// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who took part in a ceremony that is over, when the committee's list names some of them no more.
//!
//! A node that was away computes the output of a round from the logs on chain, and for that needs the dealing keys of all who
//! took part. Eviction takes a node's keys out of the list. But the epoch's output names the keys of all players, which
//! includes the dealers, since whoever may deal also plays; and a log shows by its signature whose it is.

use alloy::primitives::{Address, Bytes};
use mandate_threshold::{CeremonyInfo, Output, check_log};

use crate::committee::{Ceremony, Member};

/// What is on chain of a round that made an epoch.
#[derive(Debug)]
pub(crate) struct Past {
    /// The ceremonies' namespace.
    pub(crate) namespace: Vec<u8>,
    /// What a quorum confirmed.
    pub(crate) output: Output,
    /// The output whose key the round kept, if it kept one.
    pub(crate) previous: Option<Output>,
    /// The logs that were posted.
    pub(crate) logs: Vec<(Address, Bytes)>,
}

impl Past {
    /// The keys of all players of `ceremony`: those that `listed` still has, and for the others those that nobody else has.
    /// Nobody needs a sealing key of theirs any more.
    pub(crate) fn members(&self, ceremony: &Ceremony, listed: Vec<Member>) -> Vec<Member> {
        let mut free = self.output.players();
        let mut members = listed;
        // Who was evicted and came back with another key is not who it was then.
        members.retain(|m| ceremony.players.contains(&m.node) && free.contains(&m.dealing_key));
        free.retain(|key| members.iter().all(|m| m.dealing_key != *key));
        let is_missing = |node: &&Address| members.iter().all(|m| m.node != **node);
        let missing: Vec<Address> = ceremony.players.iter().filter(is_missing).copied().collect();
        // Those whose log counts first: of the others only the set of their keys matters.
        let (mut known, unknown): (Vec<_>, Vec<_>) = missing
            .into_iter()
            .map(|node| (node, self.signer(ceremony, node, &free)))
            .partition(|(_, key)| key.is_some());
        free.retain(|key| known.iter().all(|(_, signer)| *signer != Some(*key)));
        for (node, _) in unknown {
            let deals = ceremony.dealers.contains(&node);
            let at = free.iter().position(|key| self.dealt(key) == deals);
            known.push((node, at.map(|at| free.swap_remove(at))));
        }
        let gone = |(node, key): (Address, Option<[u8; 32]>)| {
            key.map(|dealing_key| Member { node, dealing_key, sealing_key: [0; 32], url: String::new() })
        };
        members.extend(known.into_iter().filter_map(gone));
        members
    }

    /// Whether a player with this key dealt too: everybody when a new key was made, or whoever held a share of the old one.
    fn dealt(&self, key: &[u8; 32]) -> bool {
        self.previous.as_ref().is_none_or(|previous| previous.players().contains(key))
    }

    /// Which of `keys` signed the log that `node` posted.
    fn signer(&self, ceremony: &Ceremony, node: Address, keys: &[[u8; 32]]) -> Option<[u8; 32]> {
        let (_, log) = self.logs.iter().find(|(dealer, _)| *dealer == node)?;
        let players = self.output.players();
        let dealers = players.iter().copied().filter(|key| self.dealt(key)).collect();
        let (namespace, previous) = (self.namespace.clone(), self.previous.clone());
        let info = CeremonyInfo { namespace, round: ceremony.round, previous, dealers, players };
        keys.iter().find(|key| check_log(&info, key, log).is_ok()).copied()
    }
}

#[cfg(test)]
mod tests {
    use mandate_threshold::{DealerSession, DealingKey, PlayerSession, Share};

    use super::*;
    use crate::committee::{Kind, State};

    fn key(n: u8) -> DealingKey {
        DealingKey::from_seed([n; 32])
    }

    fn node(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn info(round: u64, previous: Option<&Output>, dealers: &[u8], players: &[u8]) -> CeremonyInfo {
        let keys = |of: &[u8]| of.iter().map(|n| key(*n).public()).collect();
        let (namespace, previous) = (b"test".to_vec(), previous.cloned());
        CeremonyInfo { namespace, round, previous, dealers: keys(dealers), players: keys(players) }
    }

    /// The output, each player's share, and the logs.
    fn run(
        info: &CeremonyInfo,
        dealers: &[u8],
        players: &[u8],
        shares: &[Share],
    ) -> (Output, Vec<Share>, Vec<(Address, Bytes)>) {
        let mut sessions: Vec<_> =
            players.iter().map(|n| PlayerSession::new(info, &key(*n)).unwrap()).collect();
        let mut logs = Vec::new();
        for (place, n) in dealers.iter().enumerate() {
            let (mut dealer, dealings) =
                DealerSession::start(info, &key(*n), shares.get(place), [*n; 32]).unwrap();
            for (session, player) in sessions.iter_mut().zip(players) {
                let own = dealings.iter().find(|d| d.recipient == key(*player).public()).unwrap();
                let ack = session.deal(&key(*n).public(), &own.body).unwrap();
                dealer.acknowledge(&own.recipient, &ack).unwrap();
            }
            logs.push((node(*n), Bytes::from(dealer.finish())));
        }
        let given: Vec<_> =
            dealers.iter().zip(&logs).map(|(n, (_, log))| (key(*n).public(), log.to_vec())).collect();
        let done: Vec<_> = sessions.into_iter().map(|session| session.finish(&given).unwrap()).collect();
        (done[0].0.clone(), done.into_iter().map(|(_, share)| share).collect(), logs)
    }

    #[test]
    fn evicted_players_have_the_keys_that_nobody_else_has() {
        let (old, new) = ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]);
        let (previous, shares, _) = run(&info(1, None, &old, &old), &old, &old, &[]);
        // The fourth deals nothing.
        let next = info(2, Some(&previous), &old, &new);
        let (output, _, logs) = run(&next, &old[..3], &new, &shares);
        let (dealers, players) = (old.map(node).to_vec(), new.map(node).to_vec());
        let (kind, state, round) = (Kind::Reshare, State::Finished, 2);
        let ceremony = Ceremony { kind, state, round, deal_until: 0, dealers, players };
        let past = Past { namespace: b"test".to_vec(), output, previous: Some(previous), logs };

        let member = |n: u8| Member {
            node: node(n),
            dealing_key: key(n).public(),
            sealing_key: [9; 32],
            url: String::new(),
        };
        // The second came back with another key, the eighth is new.
        let rekeyed = Member { dealing_key: key(99).public(), ..member(2) };
        let members = past.members(&ceremony, vec![member(8), member(1), rekeyed, member(7), member(6)]);
        assert_eq!(members.len(), 7);
        for n in new {
            let found = members.iter().find(|m| m.node == node(n)).unwrap();
            assert_eq!(found.dealing_key, key(n).public(), "node {n}");
        }
    }
}
