// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an instance proved about itself, in the words of the policy contracts.

use alloy::primitives::{Address, B256};
use mandate_attestation::Verified;
use mandate_model::bindings::{AppBootInfo, BootRequest};

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

/// The question that nodes asked the policy, and signed.
impl From<BootRequest> for Facts {
    fn from(BootRequest { info, tee, generation: _, ticket }: BootRequest) -> Self {
        Self {
            app: info.appId,
            instance: info.instanceId,
            code_hash: info.composeHash,
            os_image_hash: info.osImageHash,
            device: info.deviceId,
            mr_aggregated: info.mrAggregated,
            mr_system: info.mrSystem,
            tee,
            tcb_status: info.tcbStatus,
            advisories: info.advisoryIds,
            ticket,
        }
    }
}

/// The question that the policy answers.
impl From<&Facts> for BootRequest {
    fn from(facts: &Facts) -> Self {
        let info = AppBootInfo {
            appId: facts.app,
            composeHash: facts.code_hash,
            instanceId: facts.instance,
            deviceId: facts.device,
            mrAggregated: facts.mr_aggregated,
            mrSystem: facts.mr_system,
            osImageHash: facts.os_image_hash,
            tcbStatus: facts.tcb_status.clone(),
            advisoryIds: facts.advisories.clone(),
        };
        // Generation 0 stands for the current one: a route needs no key of an earlier generation.
        Self { info, tee: facts.tee, generation: 0, ticket: facts.ticket }
    }
}
