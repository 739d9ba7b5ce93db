// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The dealer's side.

use std::fmt;

use commonware_codec::{Copying, DecodeExt, Encode};
use commonware_cryptography::{
    Signer,
    bls12381::{
        dkg::feldman_desmedt::{Dealer, PlayerAck},
        primitives::variant::MinPk,
    },
    ed25519,
};
use commonware_utils::N3f1;
use hkdf::Hkdf;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{CeremonyError, CeremonyInfo, error::name};
use crate::{
    codec::{DecodeError, encode_secret},
    keys::{DealingKey, public_bytes, public_key},
    share::Share,
};

/// What one player is dealt. The body is secret: seal it to the player.
pub struct Dealing {
    /// The player's dealing key.
    pub recipient: [u8; 32],
    /// Public and private part.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Dealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dealing {{ recipient: {}, .. }}", hex::encode(self.recipient))
    }
}

/// A dealer between dealing and publishing its log.
pub struct DealerSession {
    dealer: Dealer<MinPk, ed25519::PrivateKey>,
    waiting: Vec<[u8; 32]>,
}

impl DealerSession {
    /// Deals. The same arguments deal the same, so a dealer that restarts keeps `seed` (sealed) and no more; one seed
    /// deals differently in different ceremonies. `share` is the node's share of `info.previous`, if there is one.
    ///
    /// # Errors
    /// When the ceremony is malformed, the node is no dealer of it, or the share is not its own.
    pub fn start(
        info: &CeremonyInfo,
        key: &DealingKey,
        share: Option<&Share>,
        seed: [u8; 32],
    ) -> Result<(Self, Vec<Dealing>), CeremonyError> {
        let prepared = info.prepare()?;
        check_dealer(info, key, share)?;
        let rng = ChaCha20Rng::from_seed(*round_seed(info, key, &Zeroizing::new(seed))?);
        let (dealer, public, private) =
            Dealer::start::<N3f1>(rng, prepared, key.0.clone(), share.map(|share| share.0.clone()))
                .map_err(|e| CeremonyError::of_library(&e))?;
        let dealings: Vec<Dealing> = private
            .iter()
            .map(|(player, part)| Dealing {
                recipient: public_bytes(player),
                body: encode_secret(&[&public, part]),
            })
            .collect();
        let waiting = dealings.iter().map(|dealing| dealing.recipient).collect();
        Ok((Self { dealer, waiting }, dealings))
    }

    /// Takes a player's acknowledgement; a second one does no harm.
    ///
    /// # Errors
    /// When it is not this player's for this dealing.
    pub fn acknowledge(&mut self, player: &[u8; 32], ack: &[u8]) -> Result<(), CeremonyError> {
        let key = public_key(player)?;
        let ack =
            PlayerAck::decode(Copying(ack)).map_err(|e| DecodeError::malformed("acknowledgement", e))?;
        self.dealer
            .receive_player_ack(key.clone(), ack)
            .map_err(|_| CeremonyError::BadAcknowledgement { player: name(&key) })?;
        self.waiting.retain(|other| other != player);
        Ok(())
    }

    /// The players whose acknowledgement is still missing. Their shares would be published in the log; when they are
    /// more than `f`, the log withholds everything and does not count.
    pub fn waiting(&self) -> &[[u8; 32]] {
        &self.waiting
    }

    /// The signed log, to be published.
    pub fn finish(self) -> Vec<u8> {
        self.dealer.finalize::<N3f1>().encode().to_vec()
    }
}

impl fmt::Debug for DealerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DealerSession {{ waiting: {}, .. }}", self.waiting.len())
    }
}

/// Sees to it that a share is dealt exactly when the key is kept, and only by its holder: a dealing of anything else
/// would be refused by every player.
fn check_dealer(info: &CeremonyInfo, key: &DealingKey, share: Option<&Share>) -> Result<(), CeremonyError> {
    let public = key.0.public_key();
    if !info.dealers.contains(&public_bytes(&public)) {
        return Err(CeremonyError::NotADealer { key: name(&public) });
    }
    let (previous, share) = match (&info.previous, share) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(CeremonyError::UnexpectedShare),
        (Some(_), None) => return Err(CeremonyError::MissingShare),
        (Some(previous), Some(share)) => (previous, share),
    };
    let mine = previous.0.players().position(&public).and_then(|i| u32::try_from(i).ok());
    let committed = previous.sharing().partial_public(share.0.index).ok();
    if mine != Some(share.index()) || committed != Some(share.0.public::<MinPk>()) {
        return Err(CeremonyError::WrongShare);
    }
    Ok(())
}

/// The randomness of this dealer in this ceremony: every part of `info` goes in, each preceded by its length.
fn round_seed(
    info: &CeremonyInfo,
    key: &DealingKey,
    seed: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, CeremonyError> {
    let previous = info.previous.as_ref().map(super::Output::encode).unwrap_or_default();
    let (round, dealers, players) = (info.round.to_be_bytes(), sorted(&info.dealers), sorted(&info.players));
    let public = key.public();
    let parts: [&[u8]; 6] = [&info.namespace, &round, &previous, &dealers, &players, &public];
    let context = crate::derive::context("dealing", &parts);
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, seed)
        .expand(&context, out.as_mut_slice())
        .map_err(|_| CeremonyError::BadPrevious)?;
    Ok(out)
}

fn sorted(keys: &[[u8; 32]]) -> Vec<u8> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.concat()
}
