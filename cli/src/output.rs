// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Data goes to stdout, as text or as one JSON document per line; everything else to stderr.
//!
//! JSON has numbers and lower-case addresses. Text is for people: times as dates, checksummed addresses, nothing that a
//! terminal would obey.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use alloy::primitives::Address;
use serde_json::{Map, Value};

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `key  value` lines, lists as indented blocks.
    Text,
    /// One compact JSON document.
    Json,
}

/// Fields that hold seconds since the epoch.
const TIMES: [&str; 21] = [
    "activeFrom",
    "admittedFrom",
    "approvedAt",
    "closedAt",
    "confirmUntil",
    "dealUntil",
    "endsAt",
    "eta",
    "executableFrom",
    "expiresAt",
    "headTime",
    "notAfter",
    "pausedUntil",
    "previousUntil",
    "proposalEta",
    "reportedAt",
    "retireAt",
    "startedAt",
    "validUntil",
    "votingEnds",
    "votingStarts",
];

/// Fields that hold a number of seconds.
const SPANS: [&str; 6] =
    ["MAX_NOTICE", "motionLifetime", "notice", "noticeSeconds", "vetoWindow", "votingPeriod"];

/// 9999-12-31T23:59:59Z, the last second that a date can be written for.
const LAST_DATE: u64 = 253_402_300_799;

/// Prints what a command found out. `name` tells what a value means that stands alone; `now` is the chain's time, for "in
/// 2days".
///
/// # Errors
/// When stdout is closed.
pub(crate) fn print(format: Format, name: &str, value: &Value, now: Option<u64>) -> io::Result<()> {
    let text = match format {
        Format::Json => format!("{value}\n"),
        Format::Text if is_leaf(value) => format!("{}\n", leaf(name, value, now)),
        Format::Text => text(value, now),
    };
    io::stdout().lock().write_all(text.as_bytes())
}

/// `value` as aligned `key  value` lines.
pub(crate) fn text(value: &Value, now: Option<u64>) -> String {
    let mut out = String::new();
    block(value, 0, now, &mut out);
    out
}

/// One value for people, by what its field is called.
pub(crate) fn leaf(key: &str, value: &Value, now: Option<u64>) -> String {
    match value {
        Value::Number(n) if TIMES.contains(&key) => {
            n.as_u64().map_or_else(|| n.to_string(), |at| time(at, now))
        }
        Value::Number(n) if SPANS.contains(&key) => {
            n.as_u64().map_or_else(|| n.to_string(), |s| format!("{s} ({})", span(s)))
        }
        Value::String(s) => string(s),
        Value::Null => "-".into(),
        other => other.to_string(),
    }
}

fn block(value: &Value, indent: usize, now: Option<u64>, out: &mut String) {
    match value {
        Value::Object(map) => fields(map, indent, now, out),
        Value::Array(items) if items.is_empty() => line(indent, "(none)", out),
        Value::Array(items) => items.iter().for_each(|v| item(v, indent, now, out)),
        one => line(indent, &leaf("", one, now), out),
    }
}

fn fields(map: &Map<String, Value>, indent: usize, now: Option<u64>, out: &mut String) {
    let width = map.iter().filter(|(_, v)| is_leaf(v)).map(|(k, _)| k.len()).max().unwrap_or(0);
    for (key, value) in map {
        if is_leaf(value) {
            line(indent, format!("{key:width$}  {}", leaf(key, value, now)).trim_end(), out);
        } else {
            line(indent, &format!("{key}:"), out);
            block(value, indent + 2, now, out);
        }
    }
}

fn item(value: &Value, indent: usize, now: Option<u64>, out: &mut String) {
    if is_leaf(value) {
        return line(indent, &leaf("", value, now), out);
    }
    let mut inner = String::new();
    block(value, indent + 2, now, &mut inner);
    // The first line of an item carries the dash.
    let start = inner.len() - inner.trim_start().len();
    out.push_str(&" ".repeat(indent));
    out.push_str("- ");
    out.push_str(inner.get(start..).unwrap_or_default());
}

fn line(indent: usize, content: &str, out: &mut String) {
    out.push_str(&" ".repeat(indent));
    out.push_str(content);
    out.push('\n');
}

fn is_leaf(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_))
}

fn string(s: &str) -> String {
    let digits = s.strip_prefix("0x").unwrap_or_default();
    match digits.len() {
        // Nobody has set it.
        40 | 64 if digits.bytes().all(|b| b == b'0') => "-".into(),
        40 => s.parse::<Address>().map_or_else(|_| printable(s), |a| a.to_checksum(None)),
        _ if s.is_empty() => "-".into(),
        _ => printable(s),
    }
}

/// Names, URLs and reasons on chain are anybody's: a terminal must not obey what is in them.
pub(crate) fn printable(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    for c in s.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// `1797477985 (2026-12-17T03:26:25Z, in 2days 3h)`.
fn time(at: u64, now: Option<u64>) -> String {
    match at {
        0 => "-".into(),
        1..=LAST_DATE => {
            let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(at));
            let relative = now.map(|now| format!(", {}", relative(at, now))).unwrap_or_default();
            format!("{at} ({date}{relative})")
        }
        _ => "for ever".into(),
    }
}

fn relative(at: u64, now: u64) -> String {
    match (at.saturating_sub(now), now.saturating_sub(at)) {
        (0, 0) => "now".into(),
        (0, ago) => format!("{} ago", span(ago)),
        (left, _) => format!("in {}", span(left)),
    }
}

/// A number of seconds, to about two units. What is longer than a month is in days: months differ.
fn span(seconds: u64) -> String {
    let unit = match seconds {
        0..3600 => 1,
        3600..86_400 => 60,
        86_400..2_592_000 => 3600,
        _ => return format!("{}days", seconds / 86_400),
    };
    humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_aligns_fields_and_marks_items() {
        let v =
            json!({"app": "0x1", "paused": false, "codes": [{"hash": "0x2", "state": "Active"}], "none": []});
        assert_eq!(
            text(&v, None),
            "app     0x1\npaused  false\ncodes:\n  - hash   0x2\n    state  Active\nnone:\n  (none)\n"
        );
    }

    #[test]
    fn time_is_a_date_and_a_distance() {
        let at = json!(1_797_477_985u64);
        assert_eq!(leaf("retireAt", &at, None), "1797477985 (2026-12-17T03:26:25Z)");
        let now = Some(1_797_477_985 - 2 * 86_400 - 3 * 3600 - 59);
        assert_eq!(leaf("retireAt", &at, now), "1797477985 (2026-12-17T03:26:25Z, in 2days 3h)");
        assert!(leaf("retireAt", &at, Some(1_797_477_990)).ends_with(", 5s ago)"));
        assert_eq!(leaf("block", &at, now), "1797477985");
        assert_eq!(leaf("pausedUntil", &json!(0), now), "-");
        assert_eq!(leaf("validUntil", &json!(u64::MAX), now), "for ever");
        assert_eq!(leaf("noticeSeconds", &json!(172_800), now), "172800 (2days)");
        assert_eq!(leaf("notice", &json!(365 * 86_400 + 7200), now), "31543200 (365days)");
    }

    #[test]
    fn address_is_checksummed_and_zero_is_nobody() {
        let address = json!("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
        assert_eq!(leaf("", &address, None), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!(leaf("", &json!(Address::ZERO), None), "-");
    }

    /// Whoever names a node or a domain must not steer the reader's terminal.
    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            leaf("url", &json!("http://a\u{1b}[2J\nowner  0x1"), None),
            "http://a\\u{1b}[2J\\nowner  0x1"
        );
    }
}
