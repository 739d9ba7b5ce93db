// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What receipts rest on, for those who replay them: the request, and the witnesses without their codes, which are the same
//! for almost all and are kept once each.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use alloy::primitives::{Address, B256, Bytes, keccak256};
use mandate_model::{
    bundle::{self, Bundle},
    receipt::Receipt,
    wire::kms::ReleaseRequest,
};
use mandate_witness::Witness;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{CASES, CODES, META, REFUSALS, Store, StoreError, to_json};
use crate::receipts::Witnesses;

/// The longest case that is kept, in bytes: more than the largest evidence in hex with its proofs.
const MAX_CASE: usize = 1 << 20;

/// What one receipt rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Case {
    asked: ReleaseRequest,
    finalized: Option<Lean>,
    head: Option<Lean>,
}

/// A witness whose codes are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Lean {
    witness: Bytes,
    codes: Vec<B256>,
}

impl Lean {
    /// With its codes by hash.
    fn of(witness: &Witness, recent: &RecentCodes) -> (Self, BTreeMap<B256, Bytes>) {
        let codes: BTreeMap<B256, Bytes> =
            witness.codes().iter().map(|code| (recent.hash(code), code.clone())).collect();
        let hashes = codes.keys().copied().collect();
        (Self { witness: witness.without_codes().encode().into(), codes: hashes }, codes)
    }
}

/// Hashes of the codes that decisions executed lately: almost always the same few, which are quicker compared than hashed.
#[derive(Debug, Default)]
pub struct RecentCodes(Mutex<VecDeque<(Bytes, B256)>>);

impl RecentCodes {
    /// More than the contracts of a deployment and some foreign apps.
    const MAX: usize = 32;

    fn hash(&self, code: &Bytes) -> B256 {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = recent.iter().find(|(known, _)| known == code) {
            return *hash;
        }
        let hash = keccak256(code);
        recent.truncate(Self::MAX - 1);
        recent.push_front((code.clone(), hash));
        hash
    }
}

/// A case ready to be kept, with the codes that are kept beside it. Made before anybody waits for the database.
#[derive(Debug, Clone)]
pub struct EncodedCase {
    json: Vec<u8>,
    codes: BTreeMap<B256, Bytes>,
}

impl EncodedCase {
    /// Of what was asked, and what proves the verdicts.
    pub fn of(
        asked: &ReleaseRequest,
        witnesses: &Witnesses,
        recent: &RecentCodes,
    ) -> Result<Self, StoreError> {
        let lean = |witness: &Option<Witness>| witness.as_ref().map(|w| Lean::of(w, recent)).unzip();
        let ((finalized, some), (head, more)) = (lean(&witnesses.finalized), lean(&witnesses.head));
        let json = to_json(&Case { asked: asked.clone(), finalized, head })?;
        Ok(Self { json, codes: some.into_iter().chain(more).flatten().collect() })
    }
}

/// What is kept of one kind of decision: where, how many bytes of it, and under which name these are counted.
struct Shelf {
    table: TableDefinition<'static, u64, &'static [u8]>,
    budget: u64,
    counter: &'static str,
}

/// Decisions on evidence that verified: nobody without a TEE can fill this.
const JUDGED: Shelf = Shelf { table: CASES, budget: 256 << 20, counter: "case_bytes" };

/// Evidence that did not verify, which anybody can send: it must not crowd out the others.
const REFUSED: Shelf = Shelf { table: REFUSALS, budget: 16 << 20, counter: "refusal_bytes" };

impl Shelf {
    fn of(receipt: &Receipt) -> &'static Self {
        if receipt.request_hash.is_zero() { &REFUSED } else { &JUDGED }
    }

    /// Keeps a case; the oldest ones make room.
    fn put(&self, txn: &WriteTransaction, sequence: u64, case: &[u8]) -> Result<(), redb::Error> {
        let mut meta = txn.open_table(META)?;
        let counted =
            meta.get(self.counter)?.and_then(|count| Some(u64::from_be_bytes(*count.value().first_chunk()?)));
        let mut bytes = counted.unwrap_or_default().saturating_add(case.len() as u64);
        let mut cases = txn.open_table(self.table)?;
        cases.insert(sequence, case)?;
        while bytes > self.budget {
            let Some((_, oldest)) = cases.pop_first()? else { break };
            bytes = bytes.saturating_sub(oldest.value().len() as u64);
        }
        meta.insert(self.counter, bytes.to_be_bytes().as_slice())?;
        Ok(())
    }
}

/// Keeps what `receipt` rests on. Evidence that is too long to be any is not kept.
pub(super) fn put_case(
    txn: &WriteTransaction,
    receipt: &Receipt,
    case: &EncodedCase,
) -> Result<(), redb::Error> {
    if case.json.len() > MAX_CASE {
        return Ok(());
    }
    Shelf::of(receipt).put(txn, receipt.sequence, &case.json)?;
    let mut known = txn.open_table(CODES)?;
    for (hash, code) in &case.codes {
        if known.get(hash.as_slice())?.is_none() {
            known.insert(hash.as_slice(), code.as_ref())?;
        }
    }
    Ok(())
}

impl Store {
    /// Everything on which the receipt with this number rests, if that is still kept.
    pub fn bundle(&self, sequence: u64, committee: Address) -> Result<Option<Bundle>, StoreError> {
        let Some(receipt) = self.receipts(sequence, 1)?.into_iter().find(|r| r.sequence == sequence) else {
            return Ok(None);
        };
        let shelf = Shelf::of(&receipt).table;
        let Some(case) = self.get_json::<u64, Case>(shelf, sequence)? else { return Ok(None) };
        let boot_request = match receipt.request_hash {
            B256::ZERO => None,
            hash => self.boot_request(hash)?,
        };
        let whole = |lean: Option<Lean>| lean.map(|lean| self.whole(&lean)).transpose();
        let (finalized, head) = (whole(case.finalized)?, whole(case.head)?);
        let version = bundle::VERSION;
        Ok(Some(Bundle { version, committee, request: case.asked, boot_request, finalized, head, receipt }))
    }

    /// The witness with its codes.
    fn whole(&self, lean: &Lean) -> Result<Bytes, StoreError> {
        let damaged = |what: String| StoreError::Damaged { what };
        let witness = Witness::decode(&lean.witness).map_err(|e| damaged(e.to_string()))?;
        let code = |hash: &B256| {
            let code = self.get(CODES, hash.as_slice())?;
            code.map(Bytes::from).ok_or_else(|| damaged(format!("code {hash}")))
        };
        let codes = lean.codes.iter().map(code).collect::<Result<Vec<_>, _>>()?;
        let whole = Witness::new(witness.header().clone(), witness.nodes().to_vec(), codes);
        Ok(whole.map_err(|e| damaged(e.to_string()))?.encode().into())
    }
}

#[cfg(test)]
mod tests {
    use mandate_model::Outcome;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::store::Kept;

    fn put(store: &Store, receipt: &Receipt, rests_on: Option<(&ReleaseRequest, &Witnesses)>) {
        let case = rests_on
            .map(|(asked, witnesses)| EncodedCase::of(asked, witnesses, &RecentCodes::default()).unwrap());
        store.put_receipts(std::iter::once(Kept { receipt, request: None, case: case.as_ref() })).unwrap();
    }
    use crate::store::Owner;

    fn store() -> Store {
        let zero = Address::ZERO;
        let owner = Owner { node: zero, chain_id: 1, kms_auth: zero, committee: zero };
        Store::with_backend(InMemoryBackend::new(), &owner).unwrap()
    }

    fn receipt(sequence: u64) -> Receipt {
        Receipt {
            node: Address::ZERO,
            sequence,
            previous: B256::ZERO,
            judged_at: 1,
            block_number: 0,
            block_hash: B256::ZERO,
            head_number: 0,
            head_hash: B256::ZERO,
            request_hash: B256::ZERO,
            evidence_hash: B256::ZERO,
            binding_hash: B256::ZERO,
            outcome: Outcome::Allowed { valid_until: 1 },
            transport_key_hash: B256::ZERO,
            dev_anchors: true,
            signature: Bytes::new(),
        }
    }

    fn asked(n: u64) -> ReleaseRequest {
        ReleaseRequest {
            chain_id: n,
            kms_auth: Address::ZERO,
            generation: 0,
            epoch: 0,
            transport_key: B256::ZERO,
            nonces: Vec::new(),
            wish: Default::default(),
            evidence: Bytes::from_static(b"evidence"),
        }
    }

    fn witness(node: u8) -> Witness {
        let codes = vec![Bytes::from_static(b"code a"), Bytes::from_static(b"code b")];
        Witness::new(Bytes::from_static(b"header"), vec![vec![node].into()], codes).unwrap()
    }

    #[test]
    fn recent_codes_have_their_own_hash_and_are_few() {
        let recent = RecentCodes::default();
        for round in 0..2 {
            for n in 0..100_u8 {
                let code = Bytes::from(vec![n; 40]);
                assert_eq!(recent.hash(&code), keccak256(&code), "{round}");
                assert_eq!(recent.hash(&code), keccak256(&code), "{round}");
            }
        }
        assert_eq!(recent.0.lock().unwrap().len(), RecentCodes::MAX);
    }

    #[test]
    fn g8_bundle_has_whole_witnesses_though_codes_are_kept_once() {
        let store = store();
        let witnesses = Witnesses { finalized: Some(witness(1)), head: Some(witness(2)) };
        put(&store, &receipt(0), Some((&asked(7), &witnesses)));
        let bundle = store.bundle(0, Address::repeat_byte(9)).unwrap().unwrap();
        assert_eq!(bundle.finalized, Some(witness(1).encode().into()));
        assert_eq!(bundle.head, Some(witness(2).encode().into()));
        assert_eq!((bundle.request, bundle.receipt), (asked(7), receipt(0)));
        assert_eq!(store.bundle(1, Address::ZERO).unwrap(), None);
    }

    #[test]
    fn oldest_cases_make_room_and_receipts_stay() {
        let store = store();
        let shelf = Shelf { budget: 1000, ..REFUSED };
        for n in 0..10 {
            put(&store, &receipt(n), None);
            let txn = store.0.db.begin_write().unwrap();
            shelf.put(&txn, n, &[b' '; 300]).unwrap();
            txn.commit().unwrap();
        }
        let kept = |n| store.get(REFUSALS, n).unwrap().is_some();
        assert_eq!((0..10).filter(|n| kept(*n)).collect::<Vec<u64>>(), [7, 8, 9]);
        assert_eq!(store.receipts(0, 100).unwrap().len(), 10);
    }

    /// Anybody can send evidence that does not verify; it lies on a shelf of its own.
    #[test]
    fn refused_evidence_does_not_crowd_out_decisions_and_what_is_too_long_is_not_kept() {
        let store = store();
        let none = Witnesses::default();
        let put = |receipt: Receipt, asked: &ReleaseRequest| {
            put(&store, &receipt, Some((asked, &none)));
        };
        put(Receipt { request_hash: B256::repeat_byte(1), ..receipt(0) }, &asked(0));
        put(receipt(1), &asked(1));
        put(receipt(2), &ReleaseRequest { evidence: vec![7; 600 << 10].into(), ..asked(2) });
        let on = |table, n| store.get(table, n).unwrap().is_some();
        assert!(on(CASES, 0) && on(REFUSALS, 1) && !on(CASES, 1) && !on(REFUSALS, 2));
        assert_eq!(store.receipts(0, 100).unwrap().len(), 3);
    }
}
