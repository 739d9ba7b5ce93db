// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Letters between nodes, so that a node needs no port that others can reach.
//!
//! What is in a letter is sealed and signed; the mailbox can withhold, not read or forge. It takes letters only from and for
//! registered nodes and bounds how many wait, so that neither strangers nor one bad node can fill it.

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, keccak256},
    providers::DynProvider,
    sol_types::SolStruct,
};
use mandate_model::{
    signed,
    wire::relayer::{Delivered, Letter},
};
use mandate_runtime::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    chain::{ChainView, Contracts},
    config::MailboxConfig,
    intake::IntakeError,
    store::{Delivery, MailboxCaps, Store, StoreError},
};

/// Letters per answer, and the bytes of bodies after which no more are added: the answer stays below a megabyte of JSON.
const LETTERS_PER_ANSWER: u32 = 64;
const BYTES_PER_ANSWER: usize = 256 << 10;

/// How often an unknown key makes the relayer ask the chain again.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(500);

/// How often one who waits looks for letters that came through another relayer of the same database.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The mailbox of every node.
#[derive(Clone)]
pub struct Mailbox {
    contracts: Contracts,
    provider: DynProvider,
    store: Arc<dyn Store>,
    view: ChainView,
    clock: Arc<dyn Clock>,
    config: MailboxConfig,
    /// The newest cursor; changes wake those who wait.
    newest: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
}

impl Mailbox {
    /// A mailbox over `store`. Readers that wait are answered when `stop` fires.
    pub fn new(
        contracts: Contracts,
        provider: DynProvider,
        store: Arc<dyn Store>,
        view: ChainView,
        clock: Arc<dyn Clock>,
        config: MailboxConfig,
        stop: CancellationToken,
    ) -> Self {
        Self {
            contracts,
            provider,
            store,
            view,
            clock,
            config,
            newest: Arc::new(watch::Sender::new(0)),
            stop,
        }
    }

    /// Takes a letter. The same letter again changes nothing.
    ///
    /// # Errors
    /// When it is too long, forged, not between nodes, or one too many.
    pub async fn post(&self, letter: Letter) -> Result<(), IntakeError> {
        let most = self.config.max_letter;
        if letter.body.len() > most {
            return Err(IntakeError::TooLong { what: "the letter", given: letter.body.len(), most });
        }
        let message = signed::Letter {
            to: letter.to,
            round: letter.round,
            kind: letter.kind.as_str().to_owned(),
            bodyHash: keccak256(&letter.body),
        };
        let domain = self.contracts.signing_domain();
        if signed::signer(&message, &domain, &letter.signature) != Some(letter.from) {
            return Err(IntakeError::Forged(letter.from));
        }
        for node in [letter.from, letter.to] {
            if !self.is_node(node).await? {
                return Err(IntakeError::NotANode(node));
            }
        }
        // By what is said and by whom, not by the signature's bytes, of which there can be several for one message.
        let hash =
            keccak256([letter.from.as_slice(), message.eip712_signing_hash(&domain).as_slice()].concat());
        self.keep(letter, hash).await
    }

    async fn is_node(&self, key: Address) -> Result<bool, alloy::contract::Error> {
        let now = self.clock.monotonic();
        self.view.is_node_now(key, &self.provider, self.contracts.committee, now, ASK_EVERY).await
    }

    async fn keep(&self, letter: Letter, hash: B256) -> Result<(), IntakeError> {
        let caps =
            MailboxCaps { per_recipient: self.config.per_recipient, per_sender: self.config.per_sender };
        let full = |what: &str| Err(IntakeError::TooMany(what.to_owned()));
        match self.store.deliver(letter, hash, caps).await? {
            Delivery::At(cursor) => {
                self.newest.send_modify(|newest| *newest = cursor.max(*newest));
                Ok(())
            }
            Delivery::RecipientFull => full("the recipient's mailbox is full"),
            Delivery::SenderFull => full("too many letters of this sender wait for this recipient"),
        }
    }

    /// Letters for `node` after `cursor`; when there are none, waits for one as long as `wait`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(
        &self,
        node: Address,
        after: u64,
        wait: Duration,
    ) -> Result<Vec<Delivered>, StoreError> {
        let mut newest = self.newest.subscribe();
        let waited = self.clock.sleep(wait.min(self.config.max_wait));
        tokio::pin!(waited);
        loop {
            newest.mark_unchanged();
            let letters = self.store.letters(node, after, LETTERS_PER_ANSWER).await?;
            if !letters.is_empty() || wait.is_zero() {
                return Ok(fitting(letters));
            }
            tokio::select! {
                _ = newest.changed() => {}
                () = self.clock.sleep(LOOK_EVERY) => {}
                () = &mut waited => return Ok(Vec::new()),
                () = self.stop.cancelled() => return Ok(Vec::new()),
            }
        }
    }
}

/// As many as fit one answer; the first always does.
fn fitting(mut letters: Vec<Delivered>) -> Vec<Delivered> {
    let mut bytes = 0_usize;
    let fit = letters.iter().take_while(|delivered| {
        let before = bytes;
        bytes = bytes.saturating_add(delivered.letter.body.len());
        before == 0 || bytes <= BYTES_PER_ANSWER
    });
    let fit = fit.count();
    letters.truncate(fit);
    letters
}
