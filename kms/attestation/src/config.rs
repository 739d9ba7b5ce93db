// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The launch configuration: which app a guest was launched for, on TEEs that measure it at launch.
//!
//! A JSON document in upstream's form (its version 3). The platform binds a digest of its exact bytes, so nobody needs to
//! agree on a canonical form. Two of its fields are optional upstream and needed here, since a guest that was not
//! launched for an app could claim any: the app and the instance. One field is this suite's own: the launch ticket.

use alloy::primitives::{Address, B256, Bytes};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::EvidenceError;

/// The version that this build reads.
const VERSION: u8 = 3;
const DOMAIN: &[u8] = b"dstack-mr-config-v3:\0";
const MAX_REASON: usize = 160;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchConfig {
    /// Version of the form: 3.
    #[serde(default = "version")]
    pub version: u8,
    /// The app, 20 bytes.
    pub app_id: Address,
    /// SHA-256 of its compose file.
    pub compose_hash: B256,
    /// The instance, 20 bytes.
    pub instance_id: Address,
    /// Who gives the guest its keys.
    pub key_provider: KeyProvider,
    /// Which one.
    #[serde(default)]
    pub key_provider_id: Option<Bytes>,
    /// SHA-256 of the GPU policy.
    #[serde(default)]
    pub gpu_policy_hash: Option<B256>,
    /// SHA-256 of each init script, in the order in which they run.
    #[serde(default)]
    pub init_script_hashes: Option<Vec<B256>>,
    /// SHA-256 of the launch ticket.
    #[serde(default)]
    pub launch_ticket_hash: Option<B256>,
}

/// Who gives a guest its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyProvider {
    /// Nobody.
    None,
    /// An enclave beside it.
    Local,
    /// A key management service.
    Kms,
    /// A TPM.
    Tpm,
}

impl KeyProvider {
    /// As the document has it.
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Local => "local",
            Self::Kms => "kms",
            Self::Tpm => "tpm",
        }
    }

    /// As it is recorded at boot.
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Local => "local-sgx",
            Self::Kms => "kms",
            Self::Tpm => "tpm",
        }
    }
}

impl LaunchConfig {
    /// Reads a document.
    ///
    /// # Errors
    /// [`EvidenceError::BadConfig`].
    pub fn parse(document: &[u8]) -> Result<Self, EvidenceError> {
        let config: Self = serde_json::from_slice(document).map_err(|e| bad(&e.to_string()))?;
        match config.version {
            VERSION => Ok(config),
            other => Err(bad(&format!("version {other} is not known, {VERSION} is"))),
        }
    }

    /// The bytes that evidence carries. Keys are sorted, nothing is indented and hex has no prefix, as upstream's hosts
    /// write it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let hex = |bytes: &[u8]| Value::from(hex::encode(bytes));
        let scripts = |hashes: &Vec<B256>| hashes.iter().map(|hash| hex(hash.as_slice())).collect();
        let fields = [
            ("app_id", Some(hex(self.app_id.as_slice()))),
            ("compose_hash", Some(hex(self.compose_hash.as_slice()))),
            ("gpu_policy_hash", self.gpu_policy_hash.map(|hash| hex(hash.as_slice()))),
            ("init_script_hashes", self.init_script_hashes.as_ref().map(scripts)),
            ("instance_id", Some(hex(self.instance_id.as_slice()))),
            ("key_provider", Some(self.key_provider.word().into())),
            ("key_provider_id", self.key_provider_id.as_ref().map(|id| hex(id))),
            ("launch_ticket_hash", self.launch_ticket_hash.map(|hash| hex(hash.as_slice()))),
            ("version", Some(self.version.into())),
        ];
        let present: Vec<_> = fields.iter().filter_map(|(key, value)| Some((key, value.as_ref()?))).collect();
        let members: Vec<_> = present.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    }

    /// What a guest's OS records about its key provider.
    pub(crate) fn key_provider_info(&self) -> Vec<u8> {
        let id = self.key_provider_id.as_ref().map(hex::encode).unwrap_or_default();
        format!(r#"{{"name":"{}","id":"{id}"}}"#, self.key_provider.name()).into_bytes()
    }
}

/// HOST_DATA of a guest that was launched with this document.
pub fn host_data(document: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::new().chain_update(DOMAIN).chain_update(document).finalize()))
}

fn version() -> u8 {
    VERSION
}

fn bad(reason: &str) -> EvidenceError {
    EvidenceError::BadConfig { reason: reason.chars().take(MAX_REASON).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LaunchConfig {
        LaunchConfig {
            version: VERSION,
            app_id: Address::repeat_byte(0x11),
            compose_hash: B256::repeat_byte(0x22),
            instance_id: Address::repeat_byte(0x44),
            key_provider: KeyProvider::Kms,
            key_provider_id: Some(vec![0x33; 32].into()),
            gpu_policy_hash: Some(B256::repeat_byte(0x55)),
            init_script_hashes: None,
            launch_ticket_hash: None,
        }
    }

    /// The document and the order of its keys are those of upstream's own test.
    #[test]
    fn config_is_written_as_upstream_writes_it() {
        let hex = |byte: &str, length: usize| byte.repeat(length);
        let expected = format!(
            "{{\"app_id\":\"{}\",\"compose_hash\":\"{}\",\"gpu_policy_hash\":\"{}\",\"instance_id\":\"{}\",\
             \"key_provider\":\"kms\",\"key_provider_id\":\"{}\",\"version\":3}}",
            hex("11", 20),
            hex("22", 32),
            hex("55", 32),
            hex("44", 20),
            hex("33", 32),
        );
        assert_eq!(String::from_utf8(config().to_bytes()).unwrap(), expected);
        assert_eq!(LaunchConfig::parse(expected.as_bytes()), Ok(config()));
    }

    #[test]
    fn config_hash_is_over_domain_zero_and_exact_bytes() {
        let digest: [u8; 32] = Sha256::digest(b"dstack-mr-config-v3:\x00{}").into();
        assert_eq!(host_data(b"{}"), B256::from(digest));
        assert_ne!(host_data(b"{}"), host_data(b"{} "));
    }

    #[test]
    fn config_is_read_strictly() {
        let good = String::from_utf8(config().to_bytes()).unwrap();
        let cases = [
            ("\"version\":3", "\"version\":2"),
            ("\"version\":3", "\"version\":3,\"more\":1"),
            ("\"version\":3", "\"version\":3,\"version\":3"),
            ("1111\"", "11\""),
            ("\"kms\"", "\"KMS\""),
            ("\"app_id\"", "\"app\""),
            ("\"instance_id\"", "\"instance\""),
        ];
        for (from, to) in cases {
            let document = good.replacen(from, to, 1);
            assert!(
                matches!(LaunchConfig::parse(document.as_bytes()), Err(EvidenceError::BadConfig { .. })),
                "{to}"
            );
        }
    }
}
