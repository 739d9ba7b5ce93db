// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a node states of an instance.

use alloy::sol_types::SolValue;
use mandate_attestation::Verified;
use mandate_model::{
    bindings::{AppBootInfo, BootRequest},
    wire::kms::{InstancePartial, ReleaseRequest, RouteWish},
};
use mandate_threshold::InstanceStatement;

use super::{CHAIN, EPOCH, KMS_AUTH, Manner, Node};

impl Node {
    pub(super) fn instance(
        &self,
        request: &ReleaseRequest,
        route: &RouteWish,
        verified: &Verified,
    ) -> InstancePartial {
        let info = AppBootInfo {
            appId: verified.app_id(),
            composeHash: verified.compose_hash(),
            instanceId: verified.instance_id(),
            deviceId: verified.device_id(),
            mrAggregated: verified.mr_aggregated(),
            mrSystem: verified.mr_system(),
            osImageHash: verified.os_image_hash(),
            tcbStatus: verified.tcb_status().to_owned(),
            advisoryIds: verified.advisories().to_vec(),
        };
        let tee = if self.manner() == Manner::OtherFindings { 0 } else { verified.tee().code() };
        let ticket = verified.launch_ticket().unwrap_or_default();
        let boot_request = BootRequest { info, tee, generation: 0, ticket }.abi_encode();
        let until = if self.manner() == Manner::WrongMessage { route.until + 1 } else { route.until };
        let statement = InstanceStatement {
            chain_id: CHAIN,
            kms_auth: KMS_AUTH.into(),
            boot_request: &boot_request,
            registration: &route.registration.0,
            until,
        };
        let share = if self.manner() == Manner::WrongShare { &self.others } else { &self.share };
        let partial = share.sign_instance(&statement).encode().to_vec().into();
        let epoch = if self.manner() == Manner::OldEpoch { EPOCH - 1 } else { request.epoch };
        InstancePartial { epoch, boot_request: boot_request.into(), partial }
    }
}
