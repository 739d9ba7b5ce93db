// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The conceptual message wrapper (draft-ietf-rats-msg-wrap): a CBOR record in an OCTET STRING.
//!
//! ```text
//! CMW ::= CHOICE { json UTF8String, cbor OCTET STRING }     record = [type, value, ? indicator]
//! ```
//! Only the record is read, in CBOR, with our media type: the JSON form and collections could hold the same evidence in
//! other bytes, and nobody sends them to us.

use ciborium::Value;
use x509_parser::asn1_rs::{FromDer, OctetString};

use super::{CMW, CertificateError};
use crate::evidence::MAX_EVIDENCE;

/// The media type of encoded evidence.
const MEDIA_TYPE: &str = "application/vnd.mandate.evidence";
/// A record has no depth but its own.
const MAX_DEPTH: usize = 4;

pub(super) fn wrap(evidence: &[u8]) -> Vec<u8> {
    let record = Value::Array(vec![Value::from(MEDIA_TYPE), Value::from(evidence)]);
    let mut cbor = Vec::with_capacity(evidence.len() + 64);
    // Writing into a vector cannot fail; an empty record would be refused by whoever reads it.
    if ciborium::into_writer(&record, &mut cbor).is_err() {
        cbor.clear();
    }
    yasna::construct_der(|writer| writer.write_bytes(&cbor))
}

pub(super) fn unwrap(extension: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let bad = |what: &str| CertificateError::Extension { oid: CMW.to_id_string(), what: what.to_owned() };
    if extension.len() > MAX_EVIDENCE {
        return Err(bad("it is longer than evidence can be"));
    }
    let (rest, cbor) = OctetString::from_der(extension).map_err(|_| bad("not an OCTET STRING"))?;
    let mut cbor = cbor.as_ref();
    let record: Value = ciborium::de::from_reader_with_recursion_limit(&mut cbor, MAX_DEPTH)
        .map_err(|_| bad("not a CBOR record"))?;
    if !rest.is_empty() || !cbor.is_empty() {
        return Err(bad("bytes follow the record"));
    }
    match record.into_array().map(<[Value; 2]>::try_from) {
        Ok(Ok([Value::Text(kind), Value::Bytes(value)])) if kind == MEDIA_TYPE => Ok(value),
        Ok(Ok([Value::Text(_) | Value::Integer(_), _])) => Err(bad("another media type")),
        _ => Err(bad("not a record of type and value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(record: &Value) -> Vec<u8> {
        let mut cbor = Vec::new();
        ciborium::into_writer(record, &mut cbor).unwrap();
        yasna::construct_der(|writer| writer.write_bytes(&cbor))
    }

    fn refused(extension: &[u8]) -> String {
        match unwrap(extension) {
            Err(CertificateError::Extension { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    /// The bytes that RFC 8949 and X.690 prescribe, written by hand.
    #[test]
    fn the_wrapper_has_the_prescribed_bytes() {
        let mut expected = vec![0x04, 0x25, 0x82, 0x78, 0x20];
        expected.extend(MEDIA_TYPE.as_bytes());
        expected.extend([0x41, 0x07]);
        expected[1] = u8::try_from(expected.len() - 2).unwrap();
        assert_eq!(wrap(&[7]), expected);
        assert_eq!(unwrap(&expected), Ok(vec![7]));
    }

    #[test]
    fn other_types_shapes_and_leftovers_are_refused() {
        let (kind, value) = (Value::from(MEDIA_TYPE), Value::from(&b"x"[..]));
        let record = |items: &[Value]| refused(&octets(&Value::Array(items.to_vec())));
        assert_eq!(record(&[Value::from("application/eat+cwt"), value.clone()]), "another media type");
        assert_eq!(record(&[Value::from(263), value.clone()]), "another media type");
        for items in [&[][..], std::slice::from_ref(&kind), &[kind.clone(), value.clone(), Value::from(4)]] {
            assert_eq!(record(items), "not a record of type and value");
        }
        assert_eq!(refused(&octets(&Value::from("x"))), "not a record of type and value");
        let mut longer = wrap(b"x");
        longer.push(0);
        assert_eq!(refused(&longer), "bytes follow the record");
        assert_eq!(refused(b"\x0c\x01x"), "not an OCTET STRING");
        assert_eq!(refused(b""), "not an OCTET STRING");
    }

    #[test]
    fn deep_and_long_promises_cost_nothing() {
        let deep = vec![0x81; 1000];
        assert_eq!(refused(&yasna::construct_der(|w| w.write_bytes(&deep))), "not a CBOR record");
        let promise = [0x82, 0x60, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(refused(&yasna::construct_der(|w| w.write_bytes(&promise))), "not a CBOR record");
        assert_eq!(refused(&vec![0; MAX_EVIDENCE + 1]), "it is longer than evidence can be");
    }
}
