// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Letters between nodes: signed by the sender, dealings also sealed to the recipient.

use alloy::primitives::{Address, keccak256};
use mandate_model::{
    signed,
    wire::relayer::{Letter, LetterKind},
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Context;
use crate::keys::{KeyError, derive};

/// The longest body that is accepted, in bytes: a dealing for the largest committee is about 4 KiB.
pub(crate) const MAX_LETTER: usize = 16 * 1024;

/// Why a letter was dropped. Nobody else than its sender is to blame, and nothing else is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LetterError {
    /// For somebody else or another round.
    #[error("the letter is not for this node and round")]
    Misdelivered,
    /// Its sender has no such part in this ceremony.
    #[error("{0} may not send this letter")]
    WrongSender(Address),
    /// Too long.
    #[error("a letter of {0} bytes is longer than {MAX_LETTER}")]
    TooLong(usize),
    /// Not signed by its sender.
    #[error("the letter is not signed by {0}")]
    Signature(Address),
    /// Not sealed to this node for this round.
    #[error("the dealing of {0} does not open")]
    Sealed(Address),
    /// The ceremony refused what it holds.
    #[error("what {from} sent is refused: {why}")]
    Refused {
        /// Sender.
        from: Address,
        /// Why.
        why: String,
    },
}

impl Context {
    /// A signed letter of this node.
    pub(crate) fn write(
        &self,
        to: Address,
        round: u64,
        kind: LetterKind,
        body: Vec<u8>,
    ) -> Result<Letter, KeyError> {
        let message =
            signed::Letter { to, round, kind: kind.as_str().to_owned(), bodyHash: keccak256(&body) };
        let signature = self.keys.sign(&message, &self.domain())?.into();
        Ok(Letter { from: self.keys.address(), to, round, kind, body: body.into(), signature })
    }

    /// Checks address, length and signature. Whether the sender has a part in the ceremony is for the round to say.
    pub(crate) fn check(&self, letter: &Letter, round: u64) -> Result<(), LetterError> {
        if letter.to != self.keys.address() || letter.round != round {
            return Err(LetterError::Misdelivered);
        }
        if letter.body.len() > MAX_LETTER {
            return Err(LetterError::TooLong(letter.body.len()));
        }
        let message = signed::Letter {
            to: letter.to,
            round,
            kind: letter.kind.as_str().to_owned(),
            bodyHash: keccak256(&letter.body),
        };
        if signed::signer(&message, &self.domain(), &letter.signature) != Some(letter.from) {
            return Err(LetterError::Signature(letter.from));
        }
        Ok(())
    }

    /// Seals a dealing. The same seed and dealing give the same letter, so a restart repeats itself.
    pub(crate) fn seal_dealing(
        &self,
        seed: &[u8; 32],
        round: u64,
        to: Address,
        key: &[u8; 32],
        dealing: &[u8],
    ) -> Result<Vec<u8>, KeyError> {
        // The dealing's own hash goes in: two different dealings never share randomness, whatever happened to the seed.
        let label = format!("letter/{round}/{to}/{}", keccak256(dealing));
        let entropy = *derive(seed, &label);
        mandate_threshold::seal(
            key,
            &self.dealing_info(round),
            &dealing_binding(self.keys.address(), to),
            dealing,
            entropy,
        )
        .map_err(|_| KeyError::Seal { what: "dealing" })
    }

    /// Opens a dealing that was sealed to this node.
    pub(crate) fn open_dealing(&self, letter: &Letter) -> Result<Zeroizing<Vec<u8>>, LetterError> {
        let binding = dealing_binding(letter.from, letter.to);
        mandate_threshold::open(self.keys.sealing(), &self.dealing_info(letter.round), &binding, &letter.body)
            .map_err(|_| LetterError::Sealed(letter.from))
    }

    fn dealing_info(&self, round: u64) -> Vec<u8> {
        let (chain, round) = (self.chain_id.to_be_bytes(), round.to_be_bytes());
        [b"mandate-dealing-v1".as_slice(), &chain, self.committee.as_slice(), &round].concat()
    }
}

fn dealing_binding(from: Address, to: Address) -> Vec<u8> {
    [from.as_slice(), to.as_slice()].concat()
}
