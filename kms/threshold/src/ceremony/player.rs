// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The player's side.

use std::{collections::BTreeMap, fmt};

use commonware_codec::{Copying, Encode, FixedSize, Read, ReadExt};
use commonware_cryptography::{
    bls12381::{
        dkg::feldman_desmedt::{DealerMessageError, DealerPrivMsg, DealerPubMsg, Player},
        primitives::variant::MinPk,
    },
    ed25519,
};
use commonware_parallel::Sequential;
use commonware_utils::N3f1;
use sha2::{Digest, Sha256};

use super::{CeremonyError, CeremonyInfo, LibInfo, MAX_NODES_U32, Output, collect, error::name};
use crate::{
    codec::DecodeError,
    keys::{DealingKey, public_key},
    share::Share,
};

/// A player between being dealt to and computing its share. After a restart: make it anew and give it all dealings of
/// the round again, in the order in which they first came.
pub struct PlayerSession {
    info: CeremonyInfo,
    prepared: LibInfo,
    player: Player<MinPk, ed25519::PrivateKey>,
    seen: BTreeMap<[u8; 32], Seen>,
}

/// The digest of the dealing that was accepted, and the acknowledgement it got.
struct Seen {
    digest: [u8; 32],
    ack: Vec<u8>,
}

impl PlayerSession {
    /// Begins without dealings.
    ///
    /// # Errors
    /// When the ceremony is malformed or the node is no player of it.
    pub fn new(info: &CeremonyInfo, key: &DealingKey) -> Result<Self, CeremonyError> {
        let prepared = info.prepare()?;
        let player = Player::new(prepared.clone(), key.0.clone())
            .map_err(|_| CeremonyError::NotAPlayer { key: hex::encode(key.public()) })?;
        Ok(Self { info: info.clone(), prepared, player, seen: BTreeMap::new() })
    }

    /// Takes a dealing of which the caller knows that it comes from `dealer`, and answers with the acknowledgement to
    /// send back. The same dealing again gets the same acknowledgement.
    ///
    /// # Errors
    /// When the dealing is malformed, not what it commits to, or differs from the dealer's first.
    pub fn deal(&mut self, dealer: &[u8; 32], body: &[u8]) -> Result<Vec<u8>, CeremonyError> {
        let key = public_key(dealer)?;
        let digest: [u8; 32] = Sha256::digest(body).into();
        if let Some(seen) = self.seen.get(dealer) {
            let same = seen.digest == digest;
            return if same {
                Ok(seen.ack.clone())
            } else {
                Err(CeremonyError::Equivocation { dealer: name(&key) })
            };
        }
        let (public, private) = read_dealing(body)?;
        let ack = match self.player.dealer_message::<N3f1>(key.clone(), public, private) {
            Ok(Some(ack)) => ack.encode().to_vec(),
            Ok(None) => return Err(CeremonyError::Equivocation { dealer: name(&key) }),
            Err(DealerMessageError::UnexpectedDealer) => {
                return Err(CeremonyError::NotADealer { key: name(&key) });
            }
            Err(why) => {
                return Err(CeremonyError::DealingRefused { dealer: name(&key), why: why.to_string() });
            }
        };
        self.seen.insert(*dealer, Seen { digest, ack: ack.clone() });
        Ok(ack)
    }

    /// How many dealings were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.seen.len()
    }

    /// Computes output and share from the published logs. Everybody with the same logs gets the same output, also
    /// [`super::observe`].
    ///
    /// # Errors
    /// When too few logs can be used, or a dealing that was acknowledged was not replayed.
    pub fn finish(self, logs: &[([u8; 32], Vec<u8>)]) -> Result<(Output, Share), CeremonyError> {
        let (collected, mut rng) = collect(&self.info, self.prepared, logs);
        self.player
            .finalize::<N3f1>(&mut rng, collected, &Sequential)
            .map(|(output, share)| (Output(output), Share(share)))
            .map_err(|e| CeremonyError::of_finalize(&e))
    }
}

impl fmt::Debug for PlayerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlayerSession {{ round: {}, acknowledged: {}, .. }}", self.info.round, self.seen.len())
    }
}

fn read_dealing(body: &[u8]) -> Result<(DealerPubMsg<MinPk>, DealerPrivMsg), DecodeError> {
    let max = DealerPubMsg::<MinPk>::max_encode_size(MAX_NODES_U32) + DealerPrivMsg::SIZE;
    if body.len() > max {
        return Err(DecodeError::TooLong { what: "dealing", given: body.len(), max });
    }
    let malformed = |e| DecodeError::malformed("dealing", e);
    let mut rest = Copying(body);
    let public = DealerPubMsg::read_cfg(&mut rest, &MAX_NODES_U32).map_err(malformed)?;
    let private = DealerPrivMsg::read(&mut rest).map_err(malformed)?;
    if !rest.0.is_empty() {
        return Err(DecodeError::malformed("dealing", "bytes are left over"));
    }
    Ok((public, private))
}
