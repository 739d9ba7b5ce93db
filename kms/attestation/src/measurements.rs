// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Digests over measurement registers, by upstream's formulas.

use alloy::primitives::B256;
use dcap_qvl::quote::TDReport10;
use sha2::{Digest, Sha256};

const UNSET: [u8; 48] = [0; 48];

/// SHA-256 of the provisioning id.
pub(crate) fn device_id(ppid: &[u8]) -> B256 {
    sha256(&[ppid])
}

/// SHA-256(MRTD ‖ RTMR0..2 ‖ SHA-256(key provider)); 32 zero bytes stand for an empty key provider.
pub(crate) fn mr_system(td: &TDReport10, key_provider: &[u8]) -> B256 {
    let provider = if key_provider.is_empty() { B256::ZERO } else { sha256(&[key_provider]) };
    sha256(&[&td.mr_td, &td.rt_mr0, &td.rt_mr1, &td.rt_mr2, provider.as_slice()])
}

/// SHA-256(MRTD ‖ RTMR0..3), followed by the three configuration registers when any of them is set.
pub(crate) fn mr_aggregated(td: &TDReport10) -> B256 {
    let mut parts: Vec<&[u8]> = vec![&td.mr_td, &td.rt_mr0, &td.rt_mr1, &td.rt_mr2, &td.rt_mr3];
    let config = [&td.mr_config_id, &td.mr_owner, &td.mr_owner_config];
    if config.iter().any(|register| **register != UNSET) {
        parts.extend(config.iter().map(|register| register.as_slice()));
    }
    sha256(&parts)
}

pub(crate) fn sha256(parts: &[&[u8]]) -> B256 {
    let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    B256::from(<[u8; 32]>::from(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn td() -> TDReport10 {
        TDReport10 {
            tee_tcb_svn: [0; 16],
            mr_seam: [0; 48],
            mr_signer_seam: [0; 48],
            seam_attributes: [0; 8],
            td_attributes: [0; 8],
            xfam: [0; 8],
            mr_td: [1; 48],
            mr_config_id: UNSET,
            mr_owner: UNSET,
            mr_owner_config: UNSET,
            rt_mr0: [2; 48],
            rt_mr1: [3; 48],
            rt_mr2: [4; 48],
            rt_mr3: [5; 48],
            report_data: [0; 64],
        }
    }

    fn registers(of: &[u8]) -> Vec<u8> {
        of.iter().flat_map(|byte| [*byte; 48]).collect()
    }

    #[test]
    fn aggregated_covers_the_configuration_only_when_set() {
        assert_eq!(mr_aggregated(&td()), sha256(&[&registers(&[1, 2, 3, 4, 5])]));
        let owned = TDReport10 { mr_owner: [6; 48], ..td() };
        assert_eq!(mr_aggregated(&owned), sha256(&[&registers(&[1, 2, 3, 4, 5, 0, 6, 0])]));
    }

    #[test]
    fn system_covers_the_key_provider() {
        let registers = registers(&[1, 2, 3, 4]);
        assert_eq!(mr_system(&td(), b""), sha256(&[&registers, &[0; 32]]));
        assert_eq!(mr_system(&td(), b"kms"), sha256(&[&registers, sha256(&[b"kms"]).as_slice()]));
        assert_eq!(mr_system(&TDReport10 { rt_mr3: [9; 48], ..td() }, b""), mr_system(&td(), b""));
    }
}
