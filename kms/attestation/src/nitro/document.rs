// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The attestation document inside its signature, read strictly.
//!
//! ```text
//! {module_id: text, digest: "SHA384", timestamp: milliseconds, pcrs: {index: 48 bytes}, certificate: DER,
//!  cabundle: [DER, from the root down], public_key, user_data, nonce: bytes or null}
//! ```

use std::collections::BTreeMap;

use ciborium::Value;

use super::{NitroError, bounded};

/// A document has no more registers than the module.
const MAX_REGISTERS: usize = 32;
const MAX_CERTIFICATES: usize = 8;
const MAX_CERTIFICATE: usize = 1024;
const MAX_OPTIONAL: usize = 1024;
const MAX_MODULE_ID: usize = 256;
const FIELDS: [&str; 9] = [
    "module_id",
    "digest",
    "timestamp",
    "pcrs",
    "certificate",
    "cabundle",
    "public_key",
    "user_data",
    "nonce",
];

/// What the module says. Proves nothing before its signature is checked.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) module_id: String,
    pub(super) pcrs: BTreeMap<u8, [u8; 48]>,
    pub(super) certificate: Vec<u8>,
    pub(super) bundle: Vec<Vec<u8>>,
    pub(super) user_data: Option<Vec<u8>>,
}

impl Document {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, NitroError> {
        let mut rest = payload;
        let value: Value =
            ciborium::from_reader(&mut rest).map_err(|e| NitroError::Malformed(bounded(&e)))?;
        let Value::Map(entries) = value else {
            return Err(NitroError::Malformed("it is no map".to_owned()));
        };
        if !rest.is_empty() {
            return Err(NitroError::Malformed("bytes follow it".to_owned()));
        }
        Fields(named(entries)?).read()
    }
}

/// Every name known, none twice.
fn named(entries: Vec<(Value, Value)>) -> Result<BTreeMap<&'static str, Value>, NitroError> {
    let mut fields = BTreeMap::new();
    for (key, value) in entries {
        let name = key.as_text().unwrap_or_default();
        let known = FIELDS.into_iter().find(|field| *field == name);
        let known =
            known.ok_or_else(|| NitroError::Field { field: bounded(&name), what: "it is not known" })?;
        if fields.insert(known, value).is_some() {
            return Err(bad(known, "it is there twice"));
        }
    }
    Ok(fields)
}

struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    fn read(mut self) -> Result<Document, NitroError> {
        if self.text("digest")? != "SHA384" {
            return Err(bad("digest", "it is not SHA384"));
        }
        let timestamp = self.take("timestamp")?;
        if timestamp.as_integer().and_then(|at| u64::try_from(at).ok()).is_none() {
            return Err(bad("timestamp", "it is no time"));
        }
        self.optional("public_key")?;
        self.optional("nonce")?;
        Ok(Document {
            module_id: self.text("module_id")?,
            pcrs: self.registers()?,
            certificate: certificate("certificate", self.take("certificate")?)?,
            bundle: self.bundle()?,
            user_data: self.optional("user_data")?,
        })
    }

    fn take(&mut self, field: &'static str) -> Result<Value, NitroError> {
        self.0.remove(field).ok_or_else(|| bad(field, "it is missing"))
    }

    fn text(&mut self, field: &'static str) -> Result<String, NitroError> {
        match self.take(field)? {
            Value::Text(text) if (1..=MAX_MODULE_ID).contains(&text.len()) => Ok(text),
            _ => Err(bad(field, "it is no text, or too long")),
        }
    }

    /// Absent and null are the same.
    fn optional(&mut self, field: &'static str) -> Result<Option<Vec<u8>>, NitroError> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) if bytes.len() <= MAX_OPTIONAL => Ok(Some(bytes)),
            Some(_) => Err(bad(field, "it is no byte string, or too long")),
        }
    }

    fn registers(&mut self) -> Result<BTreeMap<u8, [u8; 48]>, NitroError> {
        let Value::Map(entries) = self.take("pcrs")? else { return Err(bad("pcrs", "it is no map")) };
        if entries.len() > MAX_REGISTERS {
            return Err(bad("pcrs", "it has too many registers"));
        }
        let mut registers = BTreeMap::new();
        for (index, value) in entries {
            let index = index.as_integer().and_then(|index| u8::try_from(index).ok());
            let index = index.filter(|index| usize::from(*index) < MAX_REGISTERS);
            let value = value.into_bytes().ok().and_then(|bytes| <[u8; 48]>::try_from(bytes).ok());
            let (index, value) = index.zip(value).ok_or_else(|| bad("pcrs", "a register is none"))?;
            if registers.insert(index, value).is_some() {
                return Err(bad("pcrs", "a register is there twice"));
            }
        }
        Ok(registers)
    }

    fn bundle(&mut self) -> Result<Vec<Vec<u8>>, NitroError> {
        match self.take("cabundle")? {
            Value::Array(all) if (1..=MAX_CERTIFICATES).contains(&all.len()) => {
                all.into_iter().map(|one| certificate("cabundle", one)).collect()
            }
            _ => Err(bad("cabundle", "it is no list, or too long")),
        }
    }
}

fn certificate(field: &'static str, value: Value) -> Result<Vec<u8>, NitroError> {
    match value {
        Value::Bytes(der) if (1..=MAX_CERTIFICATE).contains(&der.len()) => Ok(der),
        _ => Err(bad(field, "it is no certificate, or too long")),
    }
}

fn bad(field: &'static str, what: &'static str) -> NitroError {
    NitroError::Field { field: field.to_owned(), what }
}
