// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an instance proved about itself, in the words of the policy contracts.

use alloy::primitives::{Address, B256};
use mandate_attestation::Verified;

/// The attested facts of one boot, of which the policy is asked again and again while a route stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The app.
    pub app: Address,
    /// The instance, by its own claim.
    pub instance: Address,
    /// The compose hash.
    pub code_hash: B256,
    /// The OS image.
    pub os_image_hash: B256,
    /// The machine.
    pub device: B256,
    /// Digest of all measurements.
    pub mr_aggregated: B256,
    /// Digest of the system's measurements.
    pub mr_system: B256,
    /// The kind of TEE, as the contracts number it.
    pub tee: u8,
    /// TCB status in the vendor's words.
    pub tcb_status: String,
    /// Advisories that apply to the platform.
    pub advisories: Vec<String>,
    /// SHA-256 of the launch ticket; zero when there was none.
    pub ticket: B256,
}

impl From<&Verified> for Facts {
    fn from(verified: &Verified) -> Self {
        Self {
            app: verified.app_id(),
            instance: verified.instance_id(),
            code_hash: verified.compose_hash(),
            os_image_hash: verified.os_image_hash(),
            device: verified.device_id(),
            mr_aggregated: verified.mr_aggregated(),
            mr_system: verified.mr_system(),
            tee: verified.tee().code(),
            tcb_status: verified.tcb_status().to_owned(),
            advisories: verified.advisories().to_vec(),
            ticket: verified.launch_ticket().unwrap_or_default(),
        }
    }
}
