// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `app-compose.json`: the normal form, its hash, and the app id that follows from it by default.
//!
//! What is approved on chain is the hash of the raw bytes. So the bytes that are approved and the bytes that are booted
//! must be the same file; normalising happens once, when the file is made, and never again on the way.

use std::fmt::Write;

use alloy::primitives::{Address, B256};
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The largest compose file that is read, in bytes.
pub const MAX_COMPOSE: usize = 1 << 20;

/// Why a compose file is not taken.
#[derive(Debug, Error)]
pub enum ComposeError {
    /// Too large.
    #[error("a compose file of {0} bytes: the limit is {MAX_COMPOSE}")]
    TooLong(usize),
    /// No JSON.
    #[error("the compose file is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no object.
    #[error("the compose file must be a JSON object")]
    NotAnObject,
    /// A number that two programs may write in two ways.
    #[error("the number {0} is not a whole number: its text would depend on the program that writes it")]
    Fraction(String),
}

/// The normal form: keys sorted by their bytes, no white space, UTF-8 without needless escapes.
pub fn normalize(raw: &[u8]) -> Result<Vec<u8>, ComposeError> {
    if raw.len() > MAX_COMPOSE {
        return Err(ComposeError::TooLong(raw.len()));
    }
    let value: Value = serde_json::from_slice(raw)?;
    if !value.is_object() {
        return Err(ComposeError::NotAnObject);
    }
    let mut out = String::with_capacity(raw.len());
    write(&value, &mut out)?;
    Ok(out.into_bytes())
}

/// Whether `raw` is in normal form already.
pub fn is_normal(raw: &[u8]) -> bool {
    normalize(raw).is_ok_and(|normal| normal == raw)
}

/// SHA-256 of the raw bytes: what is approved on chain and measured at boot.
pub fn compose_hash(raw: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(raw)))
}

/// Upstream's default app id: the first 20 bytes of the compose hash. An app of this suite has its contract's address.
pub fn app_id(compose_hash: B256) -> Address {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _] = compose_hash.0;
    Address::from(id)
}

/// Writes by hand: whether serde_json sorts keys depends on a feature that any crate of the workspace may turn on.
fn write(value: &Value, out: &mut String) -> Result<(), ComposeError> {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            list(out, '{', '}', sorted, |(key, value), out| {
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(value, out)
            })
        }
        Value::Array(items) => list(out, '[', ']', items, write),
        Value::Number(n) if !n.is_i64() && !n.is_u64() => Err(ComposeError::Fraction(n.to_string())),
        scalar => {
            // Formatting into a string cannot fail.
            let _ = write!(out, "{scalar}");
            Ok(())
        }
    }
}

fn list<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(T, &mut String) -> Result<(), ComposeError>,
) -> Result<(), ComposeError> {
    out.push(open);
    for (i, value) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        item(value, out)?;
    }
    out.push(close);
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{address, b256};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn normal_form_has_sorted_keys_and_no_white_space() {
        let raw = r#"{ "name": "x", "b": [1, {"z": null, "a": true}], "Ä": "ü\u00e9\n", "a": "</script>" }"#;
        let normal = normalize(raw.as_bytes()).unwrap();
        let expected = r#"{"a":"</script>","b":[1,{"a":true,"z":null}],"name":"x","Ä":"üé\n"}"#;
        assert_eq!(String::from_utf8(normal).unwrap(), expected);
    }

    #[test]
    fn hash_is_sha256_of_the_raw_bytes() {
        let hash = compose_hash(b"{}");
        assert_eq!(hash, b256!("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"));
        assert_eq!(app_id(hash), address!("44136fa355b3678a1146ad16f7e8649e94fb4fc2"));
        assert_ne!(compose_hash(b"{} "), hash);
    }

    #[test]
    fn normalize_refuses_what_has_no_single_form() {
        assert!(matches!(normalize(b"[1]"), Err(ComposeError::NotAnObject)));
        assert!(matches!(normalize(br#"{"a":1.5}"#), Err(ComposeError::Fraction(_))));
        assert!(matches!(normalize(br#"{"a":1"#), Err(ComposeError::Json(_))));
        assert!(matches!(normalize(&vec![b' '; MAX_COMPOSE + 1]), Err(ComposeError::TooLong(_))));
        assert!(!is_normal(b"{ }"));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn normalizing_keeps_the_value_and_is_idempotent(
            fields in prop::collection::vec((".{0,6}", json()), 0..6),
            pretty in any::<bool>(),
        ) {
            let value = Value::Object(fields.into_iter().collect());
            let raw = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let normal = normalize(&raw).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&normal).unwrap(), value);
            prop_assert!(is_normal(&normal));
        }
    }
}
