// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From proven evidence to the question that the contracts answer.

use alloy::{
    primitives::{B256, Bytes, keccak256},
    sol_types::SolValue,
};
use mandate_attestation::Verified;
use mandate_model::bindings::{AppBootInfo, BootRequest};

/// The contracts' question about a boot: nothing in it comes from anywhere but the evidence, the generation excepted.
pub fn boot_request(verified: &Verified, generation: u64) -> BootRequest {
    BootRequest {
        info: AppBootInfo {
            appId: verified.app_id(),
            composeHash: verified.compose_hash(),
            instanceId: verified.instance_id(),
            deviceId: verified.device_id(),
            mrAggregated: verified.mr_aggregated(),
            mrSystem: verified.mr_system(),
            osImageHash: verified.os_image_hash(),
            tcbStatus: verified.tcb_status().to_owned(),
            advisoryIds: verified.advisories().to_vec(),
        },
        tee: verified.tee().code(),
        generation,
        ticket: verified.launch_ticket().unwrap_or_default(),
    }
}

/// What a receipt names: keccak256(abi.encode(request)), and the bytes themselves.
pub fn encode(request: &BootRequest) -> (B256, Bytes) {
    let bytes = Bytes::from(request.abi_encode());
    (keccak256(&bytes), bytes)
}
