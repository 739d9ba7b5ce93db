// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A key ceremony: dealers deal shares, players acknowledge them, each dealer's signed log is published, and everybody
//! computes the same output from the same logs.
//!
//! Without `previous` the ceremony makes a new root key (Genesis, Rotate). With it the dealers re-deal the shares that
//! they hold, so the group key stays and only its sharing changes (Refresh, Reshare). The model is N3f1: of `n` nodes at
//! most `f = ⌊(n−1)/3⌋` may fail or lie, and `t = n − f` make the quorum.
//!
//! The caller carries the bytes: dealings must be sealed to their recipient and come from whom they claim, and all must
//! agree on one set of logs. For that the logs are posted on chain. A log that does not verify counts as absent, for
//! everybody alike. A share that was never acknowledged is published in its dealer's log; at most `f` per dealer are.
//!
//! A restart replays. A dealer with the same seed deals the same; a player to whom the same dealings are given
//! acknowledges the same. So both keep what they were given (sealed) until the ceremony is over.

use commonware_cryptography::{
    bls12381::{
        dkg::feldman_desmedt::{self as dkg, Info, Logs, Reveal, SignedDealerLog},
        primitives::{sharing::Mode, variant::MinPk},
    },
    ed25519,
};
use commonware_utils::{Faults, N3f1, NZU32, TryCollect, ordered::Set};
use core::num::NonZeroU32;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

use crate::{codec::decode, keys};

mod dealer;
mod error;
mod output;
mod player;

pub use crate::codec::DecodeError;
pub use dealer::{DealerSession, Dealing};
pub use error::{CeremonyError, DealerFault};
pub use output::Output;
pub use player::PlayerSession;

/// The largest committee, in nodes.
pub const MAX_NODES: usize = 64;

/// The longest namespace, in bytes.
pub const MAX_NAMESPACE: usize = 256;

pub(crate) const MAX_NODES_U32: NonZeroU32 = NZU32!(64);

pub(crate) type Public = ed25519::PublicKey;
pub(crate) type LibInfo = Info<MinPk, Public>;
type LibLogs = Logs<MinPk, Public, N3f1>;
type LibLog = SignedDealerLog<MinPk, Public>;

/// What all parties of one ceremony must agree on. Every signature made in it is bound to all of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CeremonyInfo {
    /// Which committee: the same in all its rounds (chain id and contract, say), at most [`MAX_NAMESPACE`] bytes.
    pub namespace: Vec<u8>,
    /// The round's number, never reused, failed rounds included.
    pub round: u64,
    /// The output of the ceremony whose key is kept; nothing when a new key is made.
    pub previous: Option<Output>,
    /// Dealing keys of the dealers, in any order. With `previous`: a quorum or more of its players.
    pub dealers: Vec<[u8; 32]>,
    /// Dealing keys of the players, in any order; their indices follow the order of the keys' bytes.
    pub players: Vec<[u8; 32]>,
}

impl CeremonyInfo {
    /// Checks everything that can be checked before anybody deals.
    ///
    /// # Errors
    /// Says which key or number is wrong.
    pub fn check(&self) -> Result<(), CeremonyError> {
        self.prepare().map(|_| ())
    }

    pub(crate) fn prepare(&self) -> Result<LibInfo, CeremonyError> {
        if self.namespace.len() > MAX_NAMESPACE {
            return Err(CeremonyError::LongNamespace { given: self.namespace.len() });
        }
        let (dealers, players) = (node_set(&self.dealers)?, node_set(&self.players)?);
        let previous = self.previous.as_ref().map(|output| output.0.clone());
        let mode = Mode::NonZeroCounter;
        Info::new::<N3f1>(&self.namespace, self.round, previous, mode, Reveal::V1, dealers, players)
            .map_err(|e| CeremonyError::of_library(&e))
    }

    /// Randomness that nobody chooses freely: it depends on everything in `parts`. Used to weigh signatures in batches,
    /// where the weights must not be known before the signatures are; and so that everybody judges alike.
    fn judge(&self, parts: &[([u8; 32], &[u8])]) -> ChaCha20Rng {
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        put(b"mandate-ceremony-judge-v1");
        put(&self.namespace);
        put(&self.round.to_be_bytes());
        for (dealer, log) in parts {
            put(dealer);
            put(log);
        }
        ChaCha20Rng::from_seed(hash.finalize().into())
    }
}

/// How many of `n` nodes answer together, `n − ⌊(n−1)/3⌋`; 0 for no nodes.
pub fn quorum(n: u32) -> u32 {
    if n == 0 { 0 } else { N3f1::quorum(n) }
}

/// Whether `log` is a log that `dealer` signed for this ceremony and that can be used.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_log(info: &CeremonyInfo, dealer: &[u8; 32], log: &[u8]) -> Result<(), CeremonyError> {
    let prepared = info.prepare()?;
    let (key, checked) = read_log(&prepared, dealer, log)?;
    let mut logs = LibLogs::new(prepared);
    logs.record(key, checked);
    let mut rng = info.judge(&[(*dealer, log)]);
    match dkg::observe::<MinPk, Public, N3f1>(&mut rng, logs, &commonware_parallel::Sequential) {
        Ok(_) => Ok(()),
        Err(dkg::Failure::InsufficientLogs { found: 1.., .. }) => Ok(()),
        Err(failure) => Err(CeremonyError::of_failure(&failure)),
    }
}

/// Computes the output as everybody does who knows the logs. Logs that do not verify count as absent.
///
/// # Errors
/// When too few usable logs are left; the error names the dealers at fault.
pub fn observe(info: &CeremonyInfo, logs: &[([u8; 32], Vec<u8>)]) -> Result<Output, CeremonyError> {
    let (collected, mut rng) = collect(info, info.prepare()?, logs);
    dkg::observe::<MinPk, Public, N3f1>(&mut rng, collected, &commonware_parallel::Sequential)
        .map(Output)
        .map_err(|failure| CeremonyError::of_failure(&failure))
}

/// The logs that are signed by whom they claim; the first of a dealer counts.
fn collect(info: &CeremonyInfo, prepared: LibInfo, logs: &[([u8; 32], Vec<u8>)]) -> (LibLogs, ChaCha20Rng) {
    let mut collected = LibLogs::new(prepared.clone());
    let mut seen: Vec<([u8; 32], &[u8])> = Vec::new();
    for (dealer, log) in logs {
        if seen.iter().any(|(known, _)| known == dealer) {
            continue;
        }
        if let Ok((key, checked)) = read_log(&prepared, dealer, log) {
            seen.push((*dealer, log));
            collected.record(key, checked);
        }
    }
    seen.sort_unstable();
    (collected, info.judge(&seen))
}

fn read_log(
    prepared: &LibInfo,
    dealer: &[u8; 32],
    log: &[u8],
) -> Result<(Public, dkg::DealerLog<MinPk, Public>), CeremonyError> {
    let max = LibLog::max_encode_size(MAX_NODES_U32);
    let signed: LibLog = decode("dealer log", log, max, &MAX_NODES_U32)?;
    let misattributed = || CeremonyError::LogNotSigned { dealer: hex::encode(dealer) };
    let (key, checked) = signed.check(prepared).ok_or_else(misattributed)?;
    if keys::public_bytes(&key) != *dealer {
        return Err(misattributed());
    }
    Ok((key, checked))
}

fn node_set(nodes: &[[u8; 32]]) -> Result<Set<Public>, CeremonyError> {
    if nodes.is_empty() || nodes.len() > MAX_NODES {
        return Err(CeremonyError::NodeCount { given: nodes.len() });
    }
    let keys: Vec<Public> = nodes.iter().map(keys::public_key).collect::<Result<_, _>>()?;
    keys.into_iter().try_collect().map_err(|_| CeremonyError::RepeatedKey)
}
