// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Revocations that this node has seen at a head, by proof: remembered, so that an endpoint which falls behind afterwards
//! cannot bring them back (G-7).
//!
//! A notice is only a hint where to look. What is found at a head can still be reorganised away; so once its height is
//! final the finalised chain is asked again, and has the last word.

use std::sync::{Arc, PoisonError, RwLock};

use alloy::primitives::{Address, B256};
use mandate_model::{outcome::PolicyReason, wire::kms::RevocationNotice};
use mandate_witness::{At, BlockRef, Undecided};
use thiserror::Error;

use crate::{
    chain::{Judge, Pause},
    store::{Denial, DenialKind, Store, StoreError},
};

/// The most code hashes that one notice may name.
pub const MAX_CODES: usize = 64;

/// Why a notice came to nothing. The relayer should try again, `TooMany` excepted.
#[derive(Debug, Error)]
pub enum NoticeError {
    /// Too long a list.
    #[error("a notice names at most {MAX_CODES} code hashes, not {0}")]
    TooMany(usize),
    /// This node's endpoints are behind the relayer's.
    #[error("this node's head is at {head}, the notice is of block {notice}: try again")]
    Behind {
        /// This node's head.
        head: u64,
        /// The notice's height.
        notice: u64,
    },
    /// The chain could not be read.
    #[error("could not be verified at the head: {0}")]
    Undecided(#[from] Undecided),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Remembered revocations. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Revocations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    judge: Arc<dyn Judge>,
    memory: RwLock<Vec<Denial>>,
}

impl Revocations {
    /// Takes up what the store remembers.
    pub fn open(store: Store, judge: Arc<dyn Judge>) -> Result<Self, StoreError> {
        let memory = RwLock::new(store.denials()?);
        Ok(Self(Arc::new(Inner { store, judge, memory })))
    }

    /// Why `code` of `app` is denied whatever an endpoint says now, and the block at which that was seen.
    pub fn remembered(&self, app: Address, code: B256) -> Option<(PolicyReason, BlockRef)> {
        let memory = self.0.memory.read().unwrap_or_else(PoisonError::into_inner);
        memory.iter().filter(|denial| denial.app == app).find_map(|denial| match denial.kind {
            DenialKind::CodeRevoked { code: revoked } => {
                (revoked == code).then_some((PolicyReason::CodeRevoked, denial.seen))
            }
            DenialKind::Paused { .. } => Some((PolicyReason::AppPaused, denial.seen)),
        })
    }

    /// Looks where `notice` points, and remembers what is really there.
    pub async fn notice(&self, notice: &RevocationNotice) -> Result<Vec<Denial>, NoticeError> {
        if notice.code_hashes.len() > MAX_CODES {
            return Err(NoticeError::TooMany(notice.code_hashes.len()));
        }
        let mut found = Vec::new();
        for code in &notice.code_hashes {
            let revoked = self.0.judge.is_revoked(notice.app, *code, At::Head).await;
            if let (true, seen) = self.asked(notice, revoked)? {
                found.push(self.denial(notice.app, DenialKind::CodeRevoked { code: *code }, seen));
            }
        }
        let pause = self.0.judge.paused_until(notice.app, At::Head).await.map(|pause| (pause, pause.block));
        let (Pause { until, timestamp, .. }, seen) = self.asked(notice, pause)?;
        if until > timestamp {
            found.push(self.denial(notice.app, DenialKind::Paused { until }, seen));
        }
        for denial in &found {
            self.remember(*denial).await?;
        }
        Ok(found)
    }

    /// Asks the finalised chain about everything that was seen at or below `finalized`.
    pub async fn settle(&self, finalized: BlockRef) -> Result<(), NoticeError> {
        let due: Vec<Denial> = {
            let memory = self.0.memory.read().unwrap_or_else(PoisonError::into_inner);
            let open = |d: &&Denial| !d.confirmed || matches!(d.kind, DenialKind::Paused { .. });
            memory.iter().filter(open).filter(|d| d.seen.number <= finalized.number).copied().collect()
        };
        let mut first = Ok(());
        for denial in due {
            let settled = match self.still_holds(&denial).await {
                Ok(true) if denial.confirmed => Ok(()),
                Ok(true) => {
                    self.remember(Denial { confirmed: true, ..denial }).await.map_err(NoticeError::from)
                }
                Ok(false) => self.forget(denial).await.map_err(NoticeError::from),
                Err(error) => Err(error.into()),
            };
            // One app that cannot be read now must not keep the others from being settled.
            first = first.and(settled);
        }
        first
    }

    async fn still_holds(&self, denial: &Denial) -> Result<bool, Undecided> {
        Ok(match denial.kind {
            DenialKind::CodeRevoked { code } => {
                self.0.judge.is_revoked(denial.app, code, At::Finalized).await?.0
            }
            DenialKind::Paused { until } => {
                let pause = self.0.judge.paused_until(denial.app, At::Finalized).await?;
                pause.until >= until && pause.until > pause.timestamp
            }
        })
    }

    /// Refuses an answer of a block that is older than the one the notice is about.
    fn asked<T>(
        &self,
        notice: &RevocationNotice,
        answer: Result<(T, BlockRef), Undecided>,
    ) -> Result<(T, BlockRef), NoticeError> {
        match answer? {
            (_, at) if at.number < notice.block_number => {
                Err(NoticeError::Behind { head: at.number, notice: notice.block_number })
            }
            found => Ok(found),
        }
    }

    fn denial(&self, app: Address, kind: DenialKind, seen: BlockRef) -> Denial {
        Denial { app, kind, seen, confirmed: false }
    }

    async fn remember(&self, denial: Denial) -> Result<(), StoreError> {
        // In memory first: a denial that cannot be kept must still deny.
        {
            let mut memory = self.0.memory.write().unwrap_or_else(PoisonError::into_inner);
            match memory.iter_mut().find(|known| known.same_subject(&denial)) {
                Some(known) if known.confirmed && known.kind == denial.kind => return Ok(()),
                Some(known) => *known = denial,
                None => memory.push(denial),
            }
        }
        tracing::info!(app = %denial.app, kind = ?denial.kind, block = denial.seen.number, "revocation is remembered");
        self.0.store.run(move |store| store.put_denial(&denial)).await
    }

    async fn forget(&self, denial: Denial) -> Result<(), StoreError> {
        tracing::info!(app = %denial.app, kind = ?denial.kind, "a remembered revocation does not hold any more");
        self.0.store.run(move |store| store.remove_denial(&denial)).await?;
        let mut memory = self.0.memory.write().unwrap_or_else(PoisonError::into_inner);
        memory.retain(|known| *known != denial);
        Ok(())
    }
}
