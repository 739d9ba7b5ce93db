// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs whole ceremonies in memory.
#![allow(dead_code, unreachable_pub)]

use mandate_threshold::{
    CeremonyError, CeremonyInfo, DealerSession, DealingKey, Output, PlayerSession, Share, derive,
};

pub type Logs = Vec<([u8; 32], Vec<u8>)>;
pub type Finished = Vec<(Output, ([u8; 32], Share))>;

/// Keys 0, 1, 2 … of a world that is the same in every run.
pub fn keys(range: std::ops::Range<u8>) -> Vec<DealingKey> {
    range.map(|i| DealingKey::from_seed([i.wrapping_add(1); 32])).collect()
}

pub fn publics(keys: &[DealingKey]) -> Vec<[u8; 32]> {
    keys.iter().map(DealingKey::public).collect()
}

pub fn info(
    round: u64,
    previous: Option<&Output>,
    dealers: &[DealingKey],
    players: &[DealingKey],
) -> CeremonyInfo {
    CeremonyInfo {
        namespace: b"test committee".to_vec(),
        round,
        previous: previous.cloned(),
        dealers: publics(dealers),
        players: publics(players),
    }
}

pub fn share_of<'a>(shares: &'a [([u8; 32], Share)], key: &DealingKey) -> Option<&'a Share> {
    shares.iter().find(|(public, _)| *public == key.public()).map(|(_, share)| share)
}

/// A finished ceremony: the output, each player's share with its key, and the logs.
#[derive(Debug)]
pub struct Done {
    pub info: CeremonyInfo,
    pub output: Output,
    pub shares: Vec<([u8; 32], Share)>,
    pub logs: Logs,
}

/// The sessions of all players.
pub fn players_of(info: &CeremonyInfo, players: &[DealingKey]) -> Vec<([u8; 32], PlayerSession)> {
    players.iter().map(|key| (key.public(), PlayerSession::new(info, key).unwrap())).collect()
}

/// One dealer deals to all `sessions` and publishes.
pub fn deal(
    info: &CeremonyInfo,
    dealer: &DealingKey,
    share: Option<&Share>,
    sessions: &mut [([u8; 32], PlayerSession)],
) -> ([u8; 32], Vec<u8>) {
    let (mut session, dealings) = DealerSession::start(info, dealer, share, [42; 32]).unwrap();
    for dealing in dealings {
        if let Some((_, player)) = sessions.iter_mut().find(|(key, _)| *key == dealing.recipient) {
            let ack = player.deal(&dealer.public(), &dealing.body).unwrap();
            session.acknowledge(&dealing.recipient, &ack).unwrap();
        }
    }
    (dealer.public(), session.finish())
}

pub fn finish(sessions: Vec<([u8; 32], PlayerSession)>, logs: &Logs) -> Result<Finished, CeremonyError> {
    sessions
        .into_iter()
        .map(|(key, s)| s.finish(logs).map(|(output, share)| (output, (key, share))))
        .collect()
}

/// A ceremony in which everybody who is named takes part.
pub fn run(round: u64, previous: Option<&Done>, dealers: &[DealingKey], players: &[DealingKey]) -> Done {
    let info = info(round, previous.map(|done| &done.output), dealers, players);
    let mut sessions = players_of(&info, players);
    let logs: Logs = dealers
        .iter()
        .map(|dealer| {
            deal(&info, dealer, previous.and_then(|done| share_of(&done.shares, dealer)), &mut sessions)
        })
        .collect();
    let (outputs, shares): (Vec<_>, Vec<_>) = finish(sessions, &logs).unwrap().into_iter().unzip();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
    Done { info, output: outputs[0].clone(), shares, logs }
}

pub fn genesis(n: u8) -> Done {
    run(1, None, &keys(0..n), &keys(0..n))
}

/// The message of app 0xaa…aa, generation 1.
pub fn message(output: &Output) -> Vec<u8> {
    derive::app_message(31_337, [0xbb; 20], [0xaa; 20], 1, &output.group_key())
}
