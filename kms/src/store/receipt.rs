// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receipts, and the boot requests that they name.

use alloy::primitives::{B256, Bytes};
use mandate_model::{receipt::Receipt, receipt_tree::ReceiptTree, wire::kms::ReleaseRequest};
use redb::{ReadableDatabase, ReadableTable};

use super::{
    META, RECEIPTS, REQUESTS, Store, StoreError,
    case::{Case, put_case},
    parse, redb_error, to_json,
};
use crate::receipts::Witnesses;

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

    /// Keeps a receipt, the boot request whose hash it names, and what it rests on.
    pub fn put_receipt(
        &self,
        receipt: &Receipt,
        request: Option<&Bytes>,
        rests_on: Option<(&ReleaseRequest, &Witnesses)>,
    ) -> Result<(), StoreError> {
        let json = to_json(receipt)?;
        let case = rests_on.map(|(asked, witnesses)| Case::of(asked, witnesses));
        let case = case.map(|(case, codes)| Ok::<_, StoreError>((to_json(&case)?, codes))).transpose()?;
        let write = || -> Result<(), redb::Error> {
            let txn = self.0.db.begin_write()?;
            txn.open_table(RECEIPTS)?.insert(receipt.sequence, json.as_slice())?;
            if let Some(request) = request {
                txn.open_table(REQUESTS)?.insert(receipt.request_hash.as_slice(), request.as_ref())?;
            }
            if let Some((case, codes)) = &case {
                put_case(&txn, receipt, case, codes)?;
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
