// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receipts, and the boot requests that they name.

use alloy::primitives::{B256, Bytes};
use mandate_model::{receipt::Receipt, receipt_tree::ReceiptTree};
use redb::{ReadableDatabase, ReadableTable};

use super::{
    META, RECEIPTS, REQUESTS, Store, StoreError,
    case::{EncodedCase, put_case},
    parse, redb_error, to_json,
};

/// A receipt with what is kept beside it.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// The receipt.
    pub receipt: &'a Receipt,
    /// The boot request whose hash it names.
    pub request: Option<&'a Bytes>,
    /// What it rests on.
    pub case: Option<&'a EncodedCase>,
}

impl Store {
    /// The newest receipt.
    pub fn last_receipt(&self) -> Result<Option<Receipt>, StoreError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let table = self.0.db.begin_read()?.open_table(RECEIPTS)?;
            Ok(table.last()?.map(|(_, value)| value.value().to_vec()))
        };
        read().map_err(redb_error)?.map(|bytes| parse(&bytes, "receipt")).transpose()
    }

    /// At most `limit` receipts from `sequence` on.
    pub fn receipts(&self, sequence: u64, limit: usize) -> Result<Vec<Receipt>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let table = self.0.db.begin_read()?.open_table(RECEIPTS)?;
            table.range(sequence..)?.take(limit).map(|entry| Ok(entry?.1.value().to_vec())).collect()
        };
        read().map_err(redb_error)?.iter().map(|bytes| parse(bytes, "receipt")).collect()
    }

    /// Keeps receipts, the boot requests whose hashes they name, and what they rest on: all of it, or nothing.
    pub fn put_receipts<'a>(&self, kept: impl Iterator<Item = Kept<'a>>) -> Result<(), StoreError> {
        let encoded = |kept: Kept<'a>| to_json(kept.receipt).map(|json| (kept, json));
        let ready = kept.map(encoded).collect::<Result<Vec<_>, _>>()?;
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            for (kept, json) in &ready {
                txn.open_table(RECEIPTS)?.insert(kept.receipt.sequence, json.as_slice())?;
                if let Some(request) = kept.request {
                    let hash = kept.receipt.request_hash;
                    txn.open_table(REQUESTS)?.insert(hash.as_slice(), request.as_ref())?;
                }
                if let Some(case) = kept.case {
                    put_case(&txn, kept.receipt, case)?;
                }
            }
            Ok(txn.commit()?)
        };
        write().map_err(redb_error)
    }

    /// The tree over the receipts as it was kept last.
    pub fn receipt_tree(&self) -> Result<Option<ReceiptTree>, StoreError> {
        self.get_json(META, "receipt_tree")
    }

    /// Keeps it.
    pub fn put_receipt_tree(&self, tree: &ReceiptTree) -> Result<(), StoreError> {
        self.put_json(META, "receipt_tree", tree)
    }

    /// The ABI-encoded boot request with this hash, so that a receipt can be replayed (G-8).
    pub fn boot_request(&self, hash: B256) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(REQUESTS, hash.as_slice())?.map(Bytes::from))
    }
}
