// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Durations as people write them (`100ms`, `2m 30s`), for `#[serde(with = "mandate_runtime::config::duration")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes it as text.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads it from text.
///
/// # Errors
/// When the text is no duration with a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    // The parser's own error quotes the text.
    humantime::parse_duration(&text).map_err(|_| D::Error::custom("not a duration such as `30s` or `1m 30s`"))
}
