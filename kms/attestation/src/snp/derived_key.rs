// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A key that the AMD Secure Processor gives to this guest and to no other (SEV-SNP Firmware ABI, MSG_KEY_REQ).

use sev::firmware::guest::{DerivedKey, Firmware, GuestFieldSelect};
use thiserror::Error;

/// Version 1 of the message: every firmware that has SNP knows it.
const MESSAGE_VERSION: u32 = 1;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum DerivedKeyError {
    /// This is no SEV-SNP guest, or the device is not accessible.
    #[error("/dev/sev-guest: {0}: a guest of SEV-SNP has it, for root")]
    Device(#[from] std::io::Error),
    /// The firmware refused.
    #[error("the processor gave no key: {0}")]
    Firmware(String),
}

/// 32 bytes that only this chip (VCEK) gives, and only to a guest with this measurement, launch policy and image id, at this VMPL
/// or a more privileged one.
///
/// # Errors
/// Outside such a guest.
pub fn derived_key(vmpl: u32) -> Result<[u8; 32], DerivedKeyError> {
    let mut mixed_in = GuestFieldSelect::default();
    mixed_in.set_guest_policy(true);
    mixed_in.set_image_id(true);
    mixed_in.set_measurement(true);
    let request = DerivedKey::new(false, mixed_in, vmpl, 0, 0, None);
    let key = Firmware::open()?.get_derived_key(Some(MESSAGE_VERSION), request);
    key.map_err(|error| DerivedKeyError::Firmware(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_without_the_device_is_told_so() {
        if std::path::Path::new("/dev/sev-guest").exists() {
            return;
        }
        let error = derived_key(0).unwrap_err().to_string();
        assert!(error.contains("/dev/sev-guest"), "{error}");
    }
}
