// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lists by page, each of one finalised block.

use std::{fmt::Display, future::Future, str::FromStr};

use mandate_model::wire::BlockRef;
use mandate_runtime::http::ApiError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::store::{Folded, StoreError};

/// The most items of a page, and how many there are unless asked for.
pub(super) const MOST: u32 = 100;
/// Entries that one request looks at: a filter that few of them pass ends the page early.
pub(super) const SCAN: usize = 400;
/// How often an answer begins again because finality advanced meanwhile.
const ATTEMPTS: usize = 4;

/// Some items of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// The finalised block that this is of.
    pub block: BlockRef,
    /// The items. There may be fewer than asked for, even none, while there is a next page.
    pub items: Vec<T>,
    /// Ask for `after` this to go on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// How many items are wanted.
///
/// # Errors
/// When that is none or too many.
pub(super) fn limit(asked: Option<u32>) -> Result<usize, ApiError> {
    match asked.unwrap_or(MOST) {
        limit @ 1..=MOST => Ok(limit as usize),
        other => Err(ApiError::bad_request(format!("limit is 1 to {MOST}, not {other}"))),
    }
}

/// A place between events: block height and log index, written `HEIGHT:INDEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u64, pub(super) u64);

impl Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| plain)
        };
        let (block, log) = text.split_once(':').ok_or("a place is HEIGHT:INDEX")?;
        number(block).zip(number(log)).map(|(b, l)| Self(b, l)).ok_or("a place is HEIGHT:INDEX")
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Why an answer was not finished.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Finality advanced between two reads: what was read is not of one block.
    Moved,
    /// It cannot be.
    Failed(ApiError),
}

impl From<ApiError> for Interrupted {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Failed(ApiError::internal(error))
    }
}

/// The block that the reads of one answer are of: whichever comes first says which, and the others must be of the same.
#[derive(Debug, Default)]
pub(super) struct Reading(Option<BlockRef>);

impl Reading {
    /// What was read, if it is of this answer's block.
    pub(super) fn take<T>(&mut self, read: Folded<T>) -> Result<T, Interrupted> {
        let at = read.at.ok_or_else(none_yet)?;
        match *self.0.get_or_insert(at) == at {
            true => Ok(read.value),
            false => Err(Interrupted::Moved),
        }
    }

    /// The block, once something was read.
    pub(super) fn block(&self) -> Result<BlockRef, ApiError> {
        self.0.ok_or_else(none_yet)
    }
}

pub(super) fn none_yet() -> ApiError {
    ApiError::unavailable("no finalised block was processed yet")
}

/// Makes an answer, again when finality advanced meanwhile.
pub(super) async fn of_one_block<T, F>(make: impl Fn() -> F) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, Interrupted>>,
{
    for _ in 0..ATTEMPTS {
        match make().await {
            Ok(answer) => return Ok(answer),
            Err(Interrupted::Failed(error)) => return Err(error),
            Err(Interrupted::Moved) => {}
        }
    }
    Err(ApiError::unavailable("finality advances faster than this answer is read"))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    fn at(n: u8) -> Folded<u8> {
        Folded { at: Some(BlockRef { number: n.into(), hash: B256::repeat_byte(n) }), value: n }
    }

    #[test]
    fn places_are_read_as_they_are_written_and_nothing_else_is() {
        for place in [Place(0, 0), Place(21_000_000, 417)] {
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
        for text in ["", "1", "1:", ":1", "a:1", "1:-1", "+1:1", "1:1:1", "99999999999999999999:0"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(limit(None).unwrap(), MOST as usize);
        assert_eq!(limit(Some(1)).unwrap(), 1);
        assert!(limit(Some(0)).is_err() && limit(Some(MOST + 1)).is_err());
    }

    #[tokio::test]
    async fn an_answer_of_two_blocks_is_never_given() {
        let reads = std::cell::Cell::new(0);
        let torn = of_one_block(|| {
            reads.set(reads.get() + 1);
            async {
                let mut reading = Reading::default();
                reading.take(at(1))?;
                reading.take(at(2))
            }
        });
        assert_eq!(torn.await.unwrap_err().status().as_u16(), 503);
        assert_eq!(reads.get(), ATTEMPTS);
        let whole = of_one_block(|| async {
            let mut reading = Reading::default();
            reading.take(at(3))?;
            Ok((reading.take(at(3))?, reading.block()?))
        });
        assert_eq!(whole.await.unwrap().1.number, 3);
        let early = of_one_block(|| async { Reading::default().take(Folded { at: None, value: () }) });
        assert_eq!(early.await.unwrap_err().status().as_u16(), 503);
    }
}
