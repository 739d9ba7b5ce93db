// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The power goes at each write, truncation and sync in turn. Whatever the node was told to be kept is there afterwards, and
//! the receipts are one chain that goes on (G-8, G-10).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    io,
    sync::{Arc, Mutex},
};

use alloy::primitives::{Address, B256, Bytes};
use mandate_kms::{
    NodeKeys,
    receipts::{Decision, ReceiptLog, Witnesses},
    store::{Owner, Store, StoreError},
};
use mandate_model::{
    Outcome,
    receipt::Receipt,
    receipt_chain::verify_chain,
    signed,
    wire::{
        kms::ReleaseRequest,
        relayer::{Letter, LetterKind},
    },
};
use redb::StorageBackend;

const NODE: u8 = 1;

/// What of the writes that no sync followed reaches the disk.
#[derive(Debug, Clone, Copy)]
enum Loss {
    All,
    Nothing,
    /// Each second one, and of those half of the bytes.
    Torn,
}

#[derive(Debug, Default)]
struct State {
    synced: Vec<u8>,
    written: Vec<u8>,
    /// Since the last sync, in their order.
    pending: Vec<(u64, Vec<u8>)>,
    /// Calls that change something until the power goes.
    left: Option<usize>,
    used: usize,
}

/// A disk with a cache, in memory.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn of(image: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { synced: image.clone(), written: image, ..State::default() })))
    }

    fn power_goes_after(&self, calls: usize) {
        self.0.lock().unwrap().left = Some(calls);
    }

    fn calls(&self) -> usize {
        self.0.lock().unwrap().used
    }

    /// What is on the disk when the power is back.
    fn remains(&self, loss: Loss) -> Vec<u8> {
        let state = self.0.lock().unwrap();
        let mut image = state.synced.clone();
        match loss {
            Loss::All => {}
            Loss::Nothing => image.clone_from(&state.written),
            Loss::Torn => {
                for (offset, bytes) in state.pending.iter().step_by(2) {
                    put(&mut image, *offset, &bytes[..bytes.len() / 2]);
                }
            }
        }
        image
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if state.left == Some(0) {
            return Err(io::Error::other("the power is gone"));
        }
        state.left = state.left.map(|left| left - 1);
        state.used += 1;
        change(&mut state);
        Ok(())
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    if image.len() < to {
        image.resize(to, 0);
    }
    image[from..to].copy_from_slice(bytes);
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let from = offset as usize;
        out.copy_from_slice(&self.0.lock().unwrap().written[from..from + out.len()]);
        Ok(())
    }

    /// The length is kept at once: what is torn are contents.
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change(|state| {
            state.written.resize(len as usize, 0);
            state.synced.resize(len as usize, 0);
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.change(|state| {
            state.synced.clone_from(&state.written);
            state.pending.clear();
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.change(|state| {
            put(&mut state.written, offset, data);
            state.pending.push((offset, data.to_vec()));
        })
    }
}

fn keys() -> Arc<NodeKeys> {
    Arc::new(NodeKeys::from_seed([NODE; 32]).unwrap())
}

fn owner() -> Owner {
    let (node, kms_auth, committee) = (keys().address(), Address::repeat_byte(1), Address::repeat_byte(2));
    Owner { node, chain_id: 31_337, kms_auth, committee }
}

fn open(disk: &Disk) -> Result<(Store, ReceiptLog), Box<dyn std::error::Error>> {
    let store = Store::with_backend(disk.clone(), &owner())?;
    let domain = signed::domain(owner().chain_id, owner().committee);
    let log = ReceiptLog::open(store.clone(), keys(), domain, true)?;
    Ok((store, log))
}

fn decision(n: u64) -> Decision {
    Decision {
        asked: ReleaseRequest {
            chain_id: 31_337,
            kms_auth: owner().kms_auth,
            generation: 0,
            epoch: 0,
            transport_key: B256::repeat_byte(3),
            nonces: Vec::new(),
            wish: Default::default(),
            evidence: vec![7; 3_000].into(),
        },
        judged_at: n,
        block: None,
        head: None,
        witnesses: Witnesses::default(),
        request: None,
        outcome: Outcome::Allowed { valid_until: n },
    }
}

fn letter(round: u64) -> Letter {
    Letter {
        from: Address::repeat_byte(9),
        to: keys().address(),
        round,
        kind: LetterKind::Dealing,
        body: vec![8; 500].into(),
        signature: Bytes::new(),
    }
}

/// What the node was told to be kept before the power went.
#[derive(Debug, Default)]
struct Told {
    done: usize,
    receipts: Vec<Receipt>,
}

type Step = fn(&Store) -> Result<(), StoreError>;

/// A ceremony's steps with receipts between them.
async fn live(store: &Store, log: &ReceiptLog, told: &mut Told) -> Result<(), StoreError> {
    let steps: [Step; 6] = [
        |store| store.put_dealer_seed(1, b"sealed seed"),
        |store| store.put_letter(&letter(1)),
        |store| store.put_dealer_log(1, b"log"),
        |store| store.put_output(1, b"output", b"sealed share"),
        |store| store.put_output(2, b"other output", b"other sealed share"),
        |store| store.forget_secrets(&[2], 2),
    ];
    for step in steps {
        step(store)?;
        told.done += 1;
        match log.append(decision(told.done as u64)).await {
            Ok(receipt) => told.receipts.push(receipt),
            Err(error) => return Err(StoreError::Damaged { what: error.to_string() }),
        }
        log.keep_tree().await?;
    }
    Ok(())
}

/// Everything that was told to be kept is there. A step that was broken off may have been done or not.
fn check(store: &Store, told: &Told, place: &str) {
    let has = |done: usize| told.done >= done;
    let share = |round| store.output(round).unwrap().and_then(|output| output.sealed_share);
    if has(1) && !has(5) {
        assert_eq!(store.dealer_seed(1).unwrap().as_deref(), Some(b"sealed seed".as_slice()), "{place}");
    }
    if has(2) && !has(5) {
        assert_eq!(store.letters(1).unwrap(), [letter(1)], "{place}");
    }
    if has(3) {
        assert_eq!(store.dealer_log(1).unwrap().as_deref(), Some(b"log".as_slice()), "{place}");
    }
    if has(4) && !has(5) {
        assert_eq!(share(1).as_deref(), Some(b"sealed share".as_slice()), "{place}");
    }
    if has(5) {
        assert_eq!(share(2).as_deref(), Some(b"other sealed share".as_slice()), "{place}");
    }
    if has(6) {
        assert_eq!((share(1), store.dealer_seed(1).unwrap()), (None, None), "{place}");
    }
    // Never one without the other.
    let output = store.output(1).unwrap();
    assert!(has(5) || output.is_none_or(|output| output.sealed_share.is_some()), "{place}");
}

#[tokio::test]
async fn g10_what_was_kept_survives_the_loss_of_power_at_every_write() {
    let fresh = Disk::default();
    drop(open(&fresh).unwrap());
    let image = fresh.remains(Loss::Nothing);

    let whole = Disk::of(image.clone());
    let (store, log) = open(&whole).unwrap();
    let opened = whole.calls();
    live(&store, &log, &mut Told::default()).await.unwrap();
    let calls = whole.calls() - opened;
    assert!(calls > 30, "{calls} calls");

    for (at, loss) in (0..=calls).flat_map(|at| [Loss::All, Loss::Nothing, Loss::Torn].map(|loss| (at, loss)))
    {
        let place = format!("power gone after {at} of {calls} calls, {loss:?}");
        let disk = Disk::of(image.clone());
        let (store, log) = open(&disk).unwrap();
        disk.power_goes_after(at);
        let mut told = Told::default();
        let _broken_off = live(&store, &log, &mut told).await;
        let remains = disk.remains(loss);
        drop((store, log));

        let disk = Disk::of(remains);
        let (store, log) = open(&disk).unwrap_or_else(|error| panic!("{place}: {error}"));
        check(&store, &told, &place);
        let kept = log.read(0, 100).await.unwrap();
        assert!(kept.starts_with(&told.receipts), "{place}: a receipt that somebody has is gone");
        assert!(kept.len() <= told.receipts.len() + 1, "{place}");
        log.append(decision(99)).await.unwrap();
        let all = log.read(0, 100).await.unwrap();
        assert_eq!(all.len(), kept.len() + 1);
        verify_chain(&all, keys().address(), &signed::domain(31_337, owner().committee)).expect(&place);
    }
}
