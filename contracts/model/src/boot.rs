// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The question that is put to `KmsAuth.decide`, from plain parts.

use alloy::{
    primitives::{Address, B256, keccak256},
    sol_types::SolValue,
};

use crate::bindings::{AppBootInfo, BootRequest, KmsAuth::decideReturn};
use crate::outcome::{Outcome, PolicyReason, Reason};

/// What verified evidence says of one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// The app.
    pub app_id: Address,
    /// SHA-256 of its compose file.
    pub compose_hash: B256,
    /// The instance.
    pub instance_id: Address,
    /// The device.
    pub device_id: B256,
    /// All measurements.
    pub mr_aggregated: B256,
    /// The measurements of the system alone.
    pub mr_system: B256,
    /// The OS image.
    pub os_image_hash: B256,
    /// The TCB's status, as in Intel's TCB info.
    pub tcb_status: String,
    /// Security advisories that apply.
    pub advisory_ids: Vec<String>,
    /// The kind of TEE: 1 TDX, 2 SNP, 3 Nitro.
    pub tee: u8,
    /// SHA-256 of the launch ticket; zero when there was none.
    pub ticket: B256,
}

impl BootFacts {
    /// The question, for keys of `generation` (0 stands for the current one).
    pub fn request(&self, generation: u64) -> BootRequest {
        BootRequest { info: self.info(), tee: self.tee, generation, ticket: self.ticket }
    }

    /// Upstream's part of it.
    pub fn info(&self) -> AppBootInfo {
        AppBootInfo {
            appId: self.app_id,
            composeHash: self.compose_hash,
            instanceId: self.instance_id,
            deviceId: self.device_id,
            mrAggregated: self.mr_aggregated,
            mrSystem: self.mr_system,
            osImageHash: self.os_image_hash,
            tcbStatus: self.tcb_status.clone(),
            advisoryIds: self.advisory_ids.clone(),
        }
    }
}

/// keccak256 of the ABI-encoded request: what a receipt names it by.
pub fn request_hash(request: &BootRequest) -> B256 {
    keccak256(request.abi_encode())
}

/// What `decide` answered, as an outcome. Anything but a clear answer is undecided (G-6).
pub fn outcome(answer: &decideReturn) -> Outcome {
    match (answer.verdict, PolicyReason::try_from(answer.reason)) {
        (1, Ok(PolicyReason::Allowed)) => Outcome::Allowed { valid_until: answer.validUntil },
        (0, Ok(reason)) if reason != PolicyReason::Allowed => {
            Outcome::Denied { reason: Reason::Policy(reason) }
        }
        (verdict, _) => Outcome::Undecided {
            why: format!(
                "KmsAuth.decide answered verdict {verdict} with reason {}, which this build does not know",
                answer.reason
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(verdict: u8, reason: u8, valid_until: u64) -> Outcome {
        outcome(&decideReturn { verdict, reason, validUntil: valid_until })
    }

    #[test]
    fn g6_only_a_clear_answer_decides() {
        assert_eq!(answer(1, 0, 9), Outcome::Allowed { valid_until: 9 });
        let reason = Reason::Policy(PolicyReason::CodeRevoked);
        assert_eq!(answer(0, 11, 0), Outcome::Denied { reason });
        for (verdict, reason) in [(0, 0), (1, 1), (2, 0), (0, 200), (255, 255)] {
            assert!(matches!(answer(verdict, reason, u64::MAX), Outcome::Undecided { .. }));
        }
    }

    #[test]
    fn request_carries_every_fact() {
        let facts = BootFacts {
            app_id: Address::repeat_byte(1),
            compose_hash: B256::repeat_byte(2),
            instance_id: Address::repeat_byte(3),
            device_id: B256::repeat_byte(4),
            mr_aggregated: B256::repeat_byte(5),
            mr_system: B256::repeat_byte(6),
            os_image_hash: B256::repeat_byte(7),
            tcb_status: "UpToDate".into(),
            advisory_ids: vec!["INTEL-SA-00001".into()],
            tee: 1,
            ticket: B256::repeat_byte(8),
        };
        let request = facts.request(3);
        assert_eq!((request.tee, request.generation, request.ticket), (1, 3, facts.ticket));
        assert_eq!(request.info.advisoryIds, facts.advisory_ids);
        assert_ne!(request_hash(&request), request_hash(&facts.request(4)));
    }
}
