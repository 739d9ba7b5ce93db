// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The proof token: what verified evidence proves.

use alloy::primitives::{Address, B256};

use crate::error::EvidenceError;

/// Kinds of TEE, numbered as the contracts' `TeeKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tee {
    /// Intel TDX.
    Tdx = 1,
    /// AMD SEV-SNP.
    Snp = 2,
    /// AWS Nitro Enclaves.
    Nitro = 3,
}

impl Tee {
    /// The number in the contracts' `TeeKind` and in the encoding of evidence.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for Tee {
    type Error = EvidenceError;

    fn try_from(code: u8) -> Result<Self, EvidenceError> {
        [Self::Tdx, Self::Snp, Self::Nitro]
            .into_iter()
            .find(|tee| tee.code() == code)
            .ok_or(EvidenceError::UnsupportedTee { got: code })
    }
}

/// The facts of one boot. Only [`crate::verify`] makes one, so holding it is the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub(crate) app_id: Address,
    pub(crate) compose_hash: B256,
    pub(crate) launch_ticket: Option<B256>,
    pub(crate) os_image_hash: B256,
    pub(crate) instance_id: Address,
    pub(crate) device_id: B256,
    pub(crate) mr_aggregated: B256,
    pub(crate) mr_system: B256,
    pub(crate) tee: Tee,
    pub(crate) tcb_status: String,
    pub(crate) advisories: Vec<String>,
    pub(crate) key_provider: Vec<u8>,
    pub(crate) development: bool,
}

impl Verified {
    /// The app that the OS started.
    pub fn app_id(&self) -> Address {
        self.app_id
    }

    /// SHA-256 of the app's compose file: its code hash.
    pub fn compose_hash(&self) -> B256 {
        self.compose_hash
    }

    /// SHA-256 of the launch ticket that the OS was started with, where there was one.
    pub fn launch_ticket(&self) -> Option<B256> {
        self.launch_ticket
    }

    /// The OS image, whose manifest lists exactly the measurements that were booted.
    pub fn os_image_hash(&self) -> B256 {
        self.os_image_hash
    }

    /// The instance.
    pub fn instance_id(&self) -> Address {
        self.instance_id
    }

    /// SHA-256 of the platform's provisioning id.
    pub fn device_id(&self) -> B256 {
        self.device_id
    }

    /// Digest of all measurement registers.
    pub fn mr_aggregated(&self) -> B256 {
        self.mr_aggregated
    }

    /// Digest of the registers of firmware and OS, and of the key provider.
    pub fn mr_system(&self) -> B256 {
        self.mr_system
    }

    /// The kind of TEE.
    pub fn tee(&self) -> Tee {
        self.tee
    }

    /// The platform's TCB status in the vendor's words, for example `UpToDate`. It is for the policy to judge.
    pub fn tcb_status(&self) -> &str {
        &self.tcb_status
    }

    /// The vendor's security advisories that apply.
    pub fn advisories(&self) -> &[String] {
        &self.advisories
    }

    /// What the OS recorded about its key provider.
    pub fn key_provider(&self) -> &[u8] {
        &self.key_provider
    }

    /// Whether the trust anchors were a development's: then these facts prove nothing about real hardware.
    pub fn is_development(&self) -> bool {
        self.development
    }
}
