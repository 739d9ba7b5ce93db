// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receipts that somebody holds, from files: what a guest was answered, a bundle, or a list.

use std::{collections::BTreeMap, path::PathBuf};

use alloy::{primitives::Address, sol_types::Eip712Domain};
use mandate_model::{
    bundle::{Bundle, MAX_BUNDLE},
    receipt::Receipt,
    wire::kms::ReleaseResponse,
};

use super::super::judged::read_capped;
use crate::{
    audit::Held,
    error::{CliError, Result},
};

/// By node.
pub(super) type HeldByNode = BTreeMap<Address, Vec<Held>>;

/// Reads all files. A receipt that its node did not sign says nothing about it, and is refused.
pub(super) fn read(files: &[PathBuf], domain: &Eip712Domain) -> Result<HeldByNode> {
    let mut all = HeldByNode::new();
    for path in files {
        let name = path.display().to_string();
        let receipts = parse(&read_capped(path, MAX_BUNDLE)?).ok_or_else(|| {
            CliError::data(format!("{name}: no receipt, list of receipts, answer or bundle"))
        })?;
        for receipt in receipts {
            let Receipt { node, sequence, .. } = receipt;
            if !receipt.is_signed(domain) {
                let text = format!("{name}: receipt {sequence} is not signed by {node} for this deployment");
                return Err(CliError::data(text));
            }
            let held = Held { sequence, hash: receipt.hash(domain), by: name.clone() };
            all.entry(node).or_default().push(held);
        }
    }
    Ok(all)
}

fn parse(bytes: &[u8]) -> Option<Vec<Receipt>> {
    if let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) {
        return Some(vec![receipt]);
    }
    if let Ok(receipts) = serde_json::from_slice::<Vec<Receipt>>(bytes) {
        return Some(receipts);
    }
    if let Ok(answer) = serde_json::from_slice::<ReleaseResponse>(bytes) {
        return Some(answer.receipt.into_iter().collect());
    }
    serde_json::from_slice::<Bundle>(bytes).ok().map(|bundle| vec![bundle.receipt])
}
