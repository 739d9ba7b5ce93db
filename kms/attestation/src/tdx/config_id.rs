// SPDX-License-Identifier: Apache-2.0 OR MIT
//! MR_CONFIG_ID: what the host committed to when it launched the TD.
//!
//! ```text
//! 01 ‖ compose hash                                                        ‖ 15 zero bytes
//! 02 ‖ keccak256(compose hash ‖ app id ‖ key provider kind ‖ key provider id) ‖ 15 zero bytes
//! 03 ‖ SHA-256("dstack-mr-config-v3:" ‖ 00 ‖ document)                      ‖ 15 zero bytes
//! ```
//! A host that committed is held to it. The document of the third form is not part of evidence; it, and any form that is
//! not upstream's, count in `mr_aggregated`. None of them says anything that RTMR3 does not say with more right.

use alloy::primitives::{Address, B256, Keccak256};
use serde::Deserialize;

use crate::{error::EvidenceError, event_log::BootFacts};

const COMPOSE: u8 = 1;
const COMPOSE_APP_AND_PROVIDER: u8 = 2;

pub(super) fn check(config_id: &[u8; 48], boot: &BootFacts) -> Result<(), EvidenceError> {
    let [form, committed @ ..] = config_id;
    let expected = match *form {
        COMPOSE => boot.compose_hash,
        COMPOSE_APP_AND_PROVIDER => digest(boot.compose_hash, boot.app_id, &boot.key_provider)?,
        _ => return Ok(()),
    };
    let (digest, rest) = committed.split_at(32);
    if digest == expected.as_slice() && rest.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err(EvidenceError::ConfigIdMismatch)
    }
}

fn digest(compose_hash: B256, app_id: Address, key_provider: &[u8]) -> Result<B256, EvidenceError> {
    let provider = KeyProvider::read(key_provider)?;
    let mut keccak = Keccak256::new();
    keccak.update(compose_hash);
    keccak.update(app_id);
    keccak.update([provider.kind]);
    keccak.update(&provider.id);
    Ok(keccak.finalize())
}

/// What the `key-provider` event says, as the host states it.
struct KeyProvider {
    kind: u8,
    id: Vec<u8>,
}

impl KeyProvider {
    fn read(payload: &[u8]) -> Result<Self, EvidenceError> {
        #[derive(Deserialize)]
        struct Payload<'a> {
            name: &'a str,
            #[serde(default)]
            id: &'a str,
        }
        let payload: Payload<'_> =
            serde_json::from_slice(payload).map_err(|_| EvidenceError::ConfigIdMismatch)?;
        let kind = match payload.name {
            "none" => 0,
            "local" | "local-sgx" => 1,
            "kms" => 2,
            "tpm" => 3,
            _ => return Err(EvidenceError::ConfigIdMismatch),
        };
        let id = hex::decode(payload.id).map_err(|_| EvidenceError::ConfigIdMismatch)?;
        Ok(Self { kind, id })
    }
}

/// The second form for development guests.
#[cfg(feature = "dev-pki")]
pub(crate) fn second_form(
    compose_hash: B256,
    app_id: Address,
    key_provider: &[u8],
) -> Result<[u8; 48], EvidenceError> {
    let mut config_id = [0; 48];
    let digest = digest(compose_hash, app_id, key_provider)?;
    for (to, from) in config_id.iter_mut().zip([COMPOSE_APP_AND_PROVIDER].into_iter().chain(digest.0)) {
        *to = from;
    }
    Ok(config_id)
}

#[cfg(test)]
mod tests {
    use alloy::hex;

    use super::*;

    fn boot(key_provider: &[u8]) -> BootFacts {
        BootFacts {
            app_id: Address::repeat_byte(0x11),
            compose_hash: B256::repeat_byte(0x22),
            launch_ticket: None,
            instance_id: Address::ZERO,
            os_image_hash: None,
            key_provider: key_provider.to_vec(),
        }
    }

    fn id(form: u8, digest: [u8; 32]) -> [u8; 48] {
        let mut id = [0; 48];
        id[0] = form;
        id[1..33].copy_from_slice(&digest);
        id
    }

    const KMS: &[u8] = br#"{"name":"kms","id":"3333"}"#;

    #[test]
    fn the_first_form_names_the_compose_hash_and_nothing_else() {
        assert_eq!(check(&id(1, [0x22; 32]), &boot(KMS)), Ok(()));
        assert_eq!(check(&id(1, [0x23; 32]), &boot(KMS)), Err(EvidenceError::ConfigIdMismatch));
        let mut longer = id(1, [0x22; 32]);
        longer[47] = 1;
        assert_eq!(check(&longer, &boot(KMS)), Err(EvidenceError::ConfigIdMismatch));
    }

    /// The digest was computed apart from this code, with `cast keccak`.
    #[test]
    fn the_second_form_covers_compose_hash_app_and_key_provider() {
        let digest = hex!("51584aa546cbc5a0fb3c911a951517c757a4f8a614f0c0216708ed9cebe8f19f");
        assert_eq!(check(&id(2, digest), &boot(KMS)), Ok(()));
        for other in [&br#"{"name":"tpm","id":"3333"}"#[..], br#"{"name":"kms","id":"3334"}"#, b"", b"{}"] {
            assert_eq!(check(&id(2, digest), &boot(other)), Err(EvidenceError::ConfigIdMismatch));
        }
        let other_app = BootFacts { app_id: Address::ZERO, ..boot(KMS) };
        assert_eq!(check(&id(2, digest), &other_app), Err(EvidenceError::ConfigIdMismatch));
    }

    #[test]
    fn other_forms_are_for_the_policy() {
        for form in [0, 3, 4, 255] {
            assert_eq!(check(&id(form, [9; 32]), &boot(KMS)), Ok(()));
        }
    }
}
