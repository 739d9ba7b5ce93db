// SPDX-License-Identifier: Apache-2.0 OR MIT
//! EIP-1559 transactions.

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Encodable2718,
    primitives::{TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};

use crate::{effects::ContractCall, store::SignedTx};

/// What is offered per gas, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max_fee: u128,
    pub(super) priority_fee: u128,
}

impl Fees {
    /// The least that nodes accept in place of `old` (a tenth more), with some room.
    pub(super) fn replacing(old: &SignedTx) -> Self {
        let more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        Self { max_fee: more(old.max_fee), priority_fee: more(old.priority_fee) }
    }

    pub(super) fn at_least(self, other: Self) -> Self {
        Self {
            max_fee: self.max_fee.max(other.max_fee),
            priority_fee: self.priority_fee.max(other.priority_fee),
        }
    }
}

pub(super) fn sign(
    signer: &PrivateKeySigner,
    chain_id: u64,
    call: &ContractCall,
    nonce: u64,
    gas: u64,
    fees: Fees,
) -> Result<SignedTx, alloy::signers::Error> {
    let tx = TxEip1559 {
        chain_id,
        nonce,
        gas_limit: gas,
        max_fee_per_gas: fees.max_fee,
        max_priority_fee_per_gas: fees.priority_fee.min(fees.max_fee),
        to: TxKind::Call(call.to),
        value: U256::ZERO,
        access_list: Default::default(),
        input: call.data.clone(),
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash())?;
    let signed: TxEnvelope = tx.into_signed(signature).into();
    Ok(SignedTx {
        hash: *signed.tx_hash(),
        signer: signer.address(),
        nonce,
        max_fee: fees.max_fee,
        priority_fee: fees.priority_fee,
        raw: signed.encoded_2718().into(),
    })
}

#[cfg(test)]
mod tests {
    use alloy::{
        consensus::{Transaction, transaction::SignerRecoverable},
        eips::Decodable2718,
        primitives::{Address, B256, Bytes},
    };

    use super::*;

    #[test]
    fn a_signed_transaction_is_the_signers_and_says_what_was_asked() {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let call = ContractCall { to: Address::repeat_byte(1), data: Bytes::from_static(b"data") };
        let fees = Fees { max_fee: 20, priority_fee: 3 };
        let tx = sign(&signer, 31_337, &call, 4, 21_000, fees).unwrap();
        let envelope = TxEnvelope::decode_2718(&mut tx.raw.as_ref()).unwrap();
        assert_eq!(envelope.recover_signer().unwrap(), signer.address());
        assert_eq!(*envelope.tx_hash(), tx.hash);
        assert_eq!((envelope.nonce(), envelope.to(), envelope.input()), (4, Some(call.to), &call.data));
    }

    #[test]
    fn a_replacement_offers_more_than_a_tenth_more() {
        let old = SignedTx {
            hash: B256::ZERO,
            signer: Address::ZERO,
            nonce: 0,
            max_fee: 100,
            priority_fee: 0,
            raw: Bytes::new(),
        };
        let fees = Fees::replacing(&old).at_least(Fees { max_fee: 5, priority_fee: 9 });
        assert_eq!(fees, Fees { max_fee: 113, priority_fee: 9 });
    }
}
