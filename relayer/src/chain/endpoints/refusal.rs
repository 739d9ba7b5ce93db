// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an endpoint's error means. Providers word the same thing in many ways and share few codes.

use alloy::{
    rpc::json_rpc::{ErrorPayload, RpcError},
    transports::{
        TransportError, TransportErrorKind,
        layers::{RateLimitRetryPolicy, RetryPolicy},
    },
};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Ask for fewer blocks at a time: the answer would be too large or take too long.
    TooMuch,
    /// Ask later, or somebody else.
    TooOften,
    /// The endpoint does not have that block (yet, or any more).
    UnknownBlock,
    /// It does not know the method.
    UnknownMethod,
    /// It answered, and the answer is no.
    Refused,
    /// It did not answer.
    Unreachable,
}

/// Words of Alchemy, Ankr, Besu, Blast, Chainstack, dRPC, Erigon, geth, Infura, Nethermind, QuickNode, reth and others for
/// a range that holds too many blocks or logs. Compared in lower case.
const TOO_MUCH: &[&str] = &[
    "query returned more than",
    "query exceeds max",
    "exceeds max results",
    "exceeds the max",
    "exceed maximum block range",
    "exceeds maximum block range",
    "maximum block range",
    "max block range",
    "block range too",
    "block range is too",
    "block range exceeds",
    "block range limit",
    "blocks range",
    "range is too large",
    "range too large",
    "ranges over",
    "range of blocks",
    "limited to a",
    "is limited to 0",
    "limit exceeded for",
    "log response size exceeded",
    "response size exceeded",
    "response size should not",
    "response is too big",
    "response too large",
    "response body too large",
    "too many logs",
    "too many results",
    "too many blocks",
    "logs limit",
    "result set too large",
    "returned too many",
    "query timeout exceeded",
    "query timed out",
    "request timed out",
    "execution timeout",
    "timeout exceeded",
    "entity too large",
    "content too large",
    "reduce the range",
    "narrow your filter",
    "narrow down",
    "eth_getlogs is limited",
    "eth_getlogs requests with up to",
];

/// Words for a block that is not there.
const UNKNOWN_BLOCK: &[&str] = &[
    "header not found",
    "block not found",
    "unknown block",
    "header for hash not found",
    "missing trie node",
    "no state available",
    "state is not available",
    "state not available",
    "state is no longer kept",
    "does not exist in the database",
    "block range extends beyond current head",
    "beyond current head block",
    "block is out of range",
    "could not find block",
    "requested block",
    "resource not found",
];

/// A contract's own words follow, which mean nothing here.
const REVERTED: i64 = 3;

/// Reads an error.
pub(crate) fn meaning(error: &TransportError) -> Meaning {
    match error {
        RpcError::ErrorResp(payload) => of_payload(payload),
        RpcError::Transport(kind) => of_transport(kind),
        // Where the body was no JSON-RPC, it may be a proxy's page about the answer's size.
        RpcError::DeserError { text, .. } if says(text, TOO_MUCH) => Meaning::TooMuch,
        RpcError::NullResp => Meaning::UnknownBlock,
        _ => Meaning::Unreachable,
    }
}

fn of_payload(payload: &ErrorPayload) -> Meaning {
    let text = payload.message.as_ref();
    if payload.code == REVERTED {
        return Meaning::Refused;
    }
    if says(text, UNKNOWN_BLOCK) || payload.code == -32001 {
        return Meaning::UnknownBlock;
    }
    // -32005 is "limit exceeded": Infura uses it for results and for rates alike, so the words decide.
    if says(text, TOO_MUCH) {
        return Meaning::TooMuch;
    }
    match payload.code {
        -32601 => Meaning::UnknownMethod,
        -32004 if says(text, &["not supported", "not available"]) => Meaning::UnknownMethod,
        _ if payload.is_retry_err() || text.to_lowercase().contains("too many requests") => Meaning::TooOften,
        _ => Meaning::Refused,
    }
}

fn of_transport(kind: &TransportErrorKind) -> Meaning {
    if let Some(http) = kind.as_http_error() {
        return match http.status {
            413 => Meaning::TooMuch,
            429 => Meaning::TooOften,
            _ => match embedded(&http.body) {
                Some(payload) => of_payload(&payload),
                None if says(&http.body, TOO_MUCH) => Meaning::TooMuch,
                None => Meaning::Unreachable,
            },
        };
    }
    match kind.as_custom().map(ToString::to_string) {
        // What alloy's retry layer says when it gives up.
        Some(text) if text.contains("Max retries exceeded") => Meaning::TooOften,
        _ => Meaning::Unreachable,
    }
}

/// Some providers send a JSON-RPC error with a status of 400.
fn embedded(body: &str) -> Option<ErrorPayload> {
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    serde_json::from_value(value.get("error").cloned().unwrap_or(value)).ok()
}

fn says(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// When alloy's retry layer asks the same endpoint again: when it was asked too often, and not when it was asked for too
/// much, which waiting does not mend.
#[derive(Debug, Clone, Copy)]
pub(super) struct WhenTooOften;

impl RetryPolicy for WhenTooOften {
    fn should_retry(&self, error: &TransportError) -> bool {
        meaning(error) == Meaning::TooOften
    }

    fn backoff_hint(&self, error: &TransportError) -> Option<std::time::Duration> {
        // Longer rests are the circuit's affair; another endpoint may answer meanwhile.
        RateLimitRetryPolicy::default().backoff_hint(error).map(|hint| hint.min(LONGEST_REST))
    }
}

const LONGEST_REST: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(code: i64, message: &str) -> TransportError {
        RpcError::ErrorResp(ErrorPayload { code, message: message.to_owned().into(), data: None })
    }

    #[test]
    fn ranges_that_hold_too_much_are_known_in_every_provider_s_words() {
        for (code, message) in [
            (-32005, "query returned more than 10000 results"),
            (-32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
            (-32602, "query exceeds max block range 2000"),
            (
                -32602,
                "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range",
            ),
            (-32600, "Log response size exceeded"),
            (-32614, "eth_getLogs is limited to a 10,000 range"),
            (-32000, "exceed maximum block range: 5000"),
            (-32000, "block range is too wide"),
            (-32062, "Block range is too large"),
            (-32005, "Requested data exceeds maximum block range 1000, too many blocks"),
            (-32000, "query timeout exceeded"),
            (-32002, "request timed out"),
            (
                -32701,
                "Please specify an address in your request or, to remove restrictions, narrow your filter",
            ),
            (35, "ranges over 10000 blocks are not supported on freetier"),
            (-32603, "response is too big"),
            (-32000, "too many results, query returned 20001 logs"),
        ] {
            assert_eq!(meaning(&payload(code, message)), Meaning::TooMuch, "{code} {message}");
        }
    }

    #[test]
    fn rates_unknown_blocks_and_refusals_are_told_apart() {
        for (code, message, expected) in [
            (-32005, "project ID request rate exceeded", Meaning::TooOften),
            (-32005, "rate limited, try again in 4ms", Meaning::TooOften),
            (429, "Too Many Requests", Meaning::TooOften),
            (-32007, "50/second request limit reached", Meaning::TooOften),
            (-32000, "header not found", Meaning::UnknownBlock),
            (-32000, "missing trie node 01ab", Meaning::UnknownBlock),
            (-32001, "Resource not found.", Meaning::UnknownBlock),
            (-32000, "block range extends beyond current head block", Meaning::UnknownBlock),
            (
                -32601,
                "the method eth_getBlockReceipts does not exist/is not available",
                Meaning::UnknownMethod,
            ),
            (3, "execution reverted", Meaning::Refused),
            (-32602, "invalid argument 0", Meaning::Refused),
        ] {
            assert_eq!(meaning(&payload(code, message)), expected, "{code} {message}");
        }
    }

    #[test]
    fn http_statuses_are_read_with_their_bodies() {
        let http = |status, body: &str| TransportErrorKind::http_error(status, body.to_owned());
        assert_eq!(meaning(&http(413, "")), Meaning::TooMuch);
        assert_eq!(meaning(&http(429, "slow down")), Meaning::TooOften);
        assert_eq!(meaning(&http(502, "bad gateway")), Meaning::Unreachable);
        assert_eq!(meaning(&http(504, "query timeout exceeded")), Meaning::TooMuch);
        let wrapped =
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"query exceeds max results 20000"}}"#;
        assert_eq!(meaning(&http(400, wrapped)), Meaning::TooMuch);
        assert_eq!(meaning(&TransportErrorKind::backend_gone()), Meaning::Unreachable);
    }

    #[test]
    fn only_rates_are_waited_for() {
        assert!(WhenTooOften.should_retry(&payload(-32005, "rate limit")));
        assert!(!WhenTooOften.should_retry(&payload(-32005, "query returned more than 10000 results")));
        assert!(!WhenTooOften.should_retry(&payload(3, "execution reverted")));
    }
}
