// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What evidence says about its own guest, unverified: enough for the guest to know itself. Whoever receives the
//! evidence verifies it with `mandate_attestation::verify` and uses nothing of this.

use alloy::primitives::Address;
use mandate_attestation::{DigestVersion, Event, Evidence};
use serde::Serialize;
use sha2::{Digest, Sha256};

const SYSTEM_READY: &str = "system-ready";
const HEADER: usize = 48;
/// Version 5 states type and size of the body before it.
const HEADER_V5: usize = HEADER + 6;

/// The guest as its evidence describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The app, from the event log.
    pub app: Address,
    /// The instance, from the event log; zero without one.
    pub instance: Address,
    /// The app's code hash.
    pub compose_hash: Vec<u8>,
    /// The OS image's hash.
    pub os_image_hash: Vec<u8>,
    /// What the OS recorded about its key provider.
    pub key_provider: Vec<u8>,
    /// The quote's registers.
    pub registers: Registers,
    /// The events, as upstream's clients read them.
    pub events: Vec<LoggedEvent>,
}

/// The registers of a TD report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers {
    /// The firmware's measurement.
    pub mrtd: [u8; 48],
    /// The runtime registers.
    pub rtmr: [[u8; 48]; 4],
    /// MR_CONFIG_ID, MR_OWNER, MR_OWNER_CONFIG.
    pub config: [[u8; 48]; 3],
}

/// One event as upstream writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedEvent {
    /// Register.
    pub imr: u32,
    /// Type.
    pub event_type: u32,
    /// Hex.
    pub digest: String,
    /// Name.
    pub event: String,
    /// Hex.
    pub event_payload: String,
    /// Version of a runtime event's digest; not written when it is 1, as upstream does.
    #[serde(skip_serializing_if = "is_first")]
    pub version: u8,
}

const fn is_first(version: &u8) -> bool {
    *version == 1
}

impl Description {
    /// Reads it from the evidence; nothing when the evidence lacks an app id or is no TD quote.
    pub fn of(evidence: &Evidence) -> Option<Self> {
        let Evidence::Tdx(tdx) = evidence else { return None };
        let boot = tdx.event_log.iter().take_while(|event| event.name != SYSTEM_READY);
        let find =
            |name: &str| boot.clone().find(|event| event.name == name).map(|event| event.payload.clone());
        let address = |name: &str| find(name).and_then(|bytes| Address::try_from(bytes.as_slice()).ok());
        Some(Self {
            app: address("app-id")?,
            instance: address("instance-id").unwrap_or_default(),
            compose_hash: find("compose-hash").unwrap_or_default(),
            os_image_hash: find("os-image-hash").unwrap_or_default(),
            key_provider: find("key-provider").unwrap_or_default(),
            registers: Registers::of(&tdx.quote)?,
            events: tdx.event_log.iter().map(LoggedEvent::from).collect(),
        })
    }
}

impl From<&Event> for LoggedEvent {
    fn from(event: &Event) -> Self {
        Self {
            imr: event.register,
            event_type: event.kind,
            digest: hex::encode(event.digest()),
            event: event.name.clone(),
            event_payload: hex::encode(&event.payload),
            version: if event.digest_version == DigestVersion::V2 { 2 } else { 1 },
        }
    }
}

impl Registers {
    /// Reads a quote of version 4 or 5.
    pub fn of(quote: &[u8]) -> Option<Self> {
        let body = match quote.first_chunk()? {
            [4, 0] => quote.get(HEADER..)?,
            [5, 0] => quote.get(HEADER_V5..)?,
            _ => return None,
        };
        let at = |offset: usize| body.get(offset..)?.first_chunk::<48>().copied();
        Some(Self {
            mrtd: at(136)?,
            config: [at(184)?, at(232)?, at(280)?],
            rtmr: [at(328)?, at(376)?, at(424)?, at(472)?],
        })
    }

    /// SHA-256 over the registers, and over the owner's fields when any of them is set.
    pub fn aggregated(&self) -> [u8; 32] {
        let mut hash = Sha256::new().chain_update(self.mrtd);
        self.rtmr.iter().for_each(|register| hash.update(register));
        if self.config.iter().flatten().any(|byte| *byte != 0) {
            self.config.iter().for_each(|field| hash.update(field));
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use mandate_attestation::{
        dev_pki::{DevGuest, DevPki, QuoteVersion},
        verify,
    };

    use super::*;

    #[test]
    fn description_says_what_verification_proves() {
        let pki = DevPki::from_seed([1; 32]);
        for version in [QuoteVersion::V4, QuoteVersion::V5] {
            let guest = DevGuest {
                app_id: Address::repeat_byte(0xaa),
                compose_hash: B256::repeat_byte(0xcc),
                instance_id: Address::repeat_byte(0x11),
                quote_version: version,
                ..DevGuest::new(Address::ZERO, B256::ZERO)
            };
            let now = 1_790_000_000;
            let evidence = pki.evidence(&guest, [7; 64], now);
            let described = Description::of(&evidence).unwrap();
            let verified = verify(&evidence, &pki.trust_anchors(), now, &[7; 64]).unwrap();
            assert_eq!(described.app, verified.app_id());
            assert_eq!(described.instance, verified.instance_id());
            assert_eq!(described.compose_hash, verified.compose_hash().as_slice());
            assert_eq!(described.os_image_hash, verified.os_image_hash().as_slice());
            assert_eq!(described.registers.aggregated(), verified.mr_aggregated().0);
        }
    }

    #[test]
    fn short_and_foreign_quotes_have_no_registers() {
        for quote in [&[][..], &[4], &[4, 0], &[3, 0, 1], &[4, 0].repeat(200), &[5, 0].repeat(200)] {
            assert_eq!(Registers::of(quote), None);
        }
        assert!(Registers::of(&[4, 0].repeat(300)).is_some());
    }
}
