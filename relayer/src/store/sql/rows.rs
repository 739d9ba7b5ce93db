// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From rows to values and back.

use std::fmt::Display;

use mandate_model::wire::BlockRef;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::Row as _;

use super::Row;
use crate::store::StoreError;

/// The databases' integers are signed.
pub(super) fn int(n: u64) -> Result<i64, StoreError> {
    i64::try_from(n).map_err(|_| corrupt("integer", format!("{n} is above 2^63")))
}

/// An upper bound: above the greatest integer it bounds nothing.
pub(super) fn bound(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn number(row: &Row, column: &'static str) -> Result<u64, StoreError> {
    let n: i64 = row.try_get(column)?;
    u64::try_from(n).map_err(|e| corrupt(column, e))
}

pub(super) fn maybe_number(row: &Row, column: &'static str) -> Result<Option<u64>, StoreError> {
    let n: Option<i64> = row.try_get(column)?;
    n.map(u64::try_from).transpose().map_err(|e| corrupt(column, e))
}

/// A column of bytes that is a hash, an address …
pub(super) fn fixed<'r, T>(row: &'r Row, column: &'static str) -> Result<T, StoreError>
where
    T: TryFrom<&'r [u8], Error: Display>,
{
    T::try_from(row.try_get::<&[u8], _>(column)?).map_err(|e| corrupt(column, e))
}

pub(super) fn maybe_fixed<'r, T>(row: &'r Row, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: TryFrom<&'r [u8], Error: Display>,
{
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes.map(T::try_from).transpose().map_err(|e| corrupt(column, e))
}

pub(super) fn block(
    row: &Row,
    height: &'static str,
    hash: &'static str,
) -> Result<Option<BlockRef>, StoreError> {
    let (number, hash) = (maybe_number(row, height)?, maybe_fixed(row, hash)?);
    Ok(number.zip(hash).map(|(number, hash)| BlockRef { number, hash }))
}

/// A column of text that is a number of more than 64 bits.
pub(super) fn wide(row: &Row, column: &'static str) -> Result<u128, StoreError> {
    row.try_get::<&str, _>(column)?.parse().map_err(|e| corrupt(column, e))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(row.try_get(column)?).map_err(|e| corrupt(column, e))
}

pub(super) fn to_json<T: Serialize>(value: &T, what: &'static str) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| corrupt(what, e))
}

pub(super) fn corrupt(what: &'static str, why: impl Display) -> StoreError {
    StoreError::Corrupt { what, why: why.to_string() }
}
