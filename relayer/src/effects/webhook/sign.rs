// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a receiver knows that a message is this relayer's, and not an old one again.

use alloy::hex;
use hmac::{Hmac, Mac};
use mandate_runtime::config::Secret;
use sha2::Sha256;

/// `t=UNIX,v1=HEX`, where HEX is HMAC-SHA256 over `UNIX.ID.BODY` under the webhook's secret.
pub const SIGNATURE_HEADER: &str = "x-mandate-signature";
/// The effect's key: the same for every attempt at one message, and for no other message.
pub const ID_HEADER: &str = "x-mandate-id";

/// The value of [`SIGNATURE_HEADER`], or nothing when the secret cannot be used as a key.
pub fn signature(secret: &Secret, at: u64, id: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(format!("{at}.{id}.").as_bytes());
    mac.update(body);
    Some(format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receivers in the field compute this; a change here locks them out. Made with Python's `hmac`:
    /// `hmac.new(b"secret", b"1700000000.key:1.{}", "sha256").hexdigest()`.
    #[test]
    fn signature_is_stable() {
        let secret = Secret::new("secret".to_owned());
        let header = signature(&secret, 1_700_000_000, "key:1", b"{}").unwrap();
        assert_eq!(
            header,
            "t=1700000000,v1=0cd1751abd0ec1a3cd4236bb3dbb70382d6aa7699e3b38ff4b12124ee23360ae"
        );
    }

    #[test]
    fn signature_covers_time_id_and_body() {
        let secret = Secret::new("secret".to_owned());
        let of = |at, id, body: &[u8]| {
            signature(&secret, at, id, body).unwrap().split_once(',').unwrap().1.to_owned()
        };
        let one = of(1, "a", b"x");
        assert_ne!(of(2, "a", b"x"), one);
        assert_ne!(of(1, "b", b"x"), one);
        assert_ne!(of(1, "a", b"y"), one);
        assert_eq!(of(1, "a", b"x"), one);
    }
}
