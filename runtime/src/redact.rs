// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints' URLs often hold an access token, and transport errors quote them.

use std::borrow::Cow;

const SEPARATOR: &str = "://";
const SHOWN: &str = "<url>";

/// The text with every URL replaced: for what is shown to others or logged.
pub fn without_urls(text: &str) -> Cow<'_, str> {
    let Some(separator) = text.find(SEPARATOR) else { return Cow::Borrowed(text) };
    let (before, after) =
        (text.get(..separator).unwrap_or_default(), text.get(separator..).unwrap_or_default());
    let before = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let rest = after.trim_start_matches(|c: char| !c.is_whitespace() && !"()<>\"'`,;".contains(c));
    Cow::Owned(format!("{before}{SHOWN}{}", without_urls(rest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn g12_access_tokens_in_urls_are_not_shown() {
        let text = "a: error sending request for url (https://u:p@rpc.example/v3/token?k=secret), b: wss://x/secret; c";
        assert_eq!(without_urls(text), "a: error sending request for url (<url>), b: <url>; c");
        assert_eq!(without_urls("no quorum: 1 of 2"), "no quorum: 1 of 2");
    }

    proptest! {
        #[test]
        fn no_scheme_is_left(text in "\\PC{0,80}", url in "https://[a-z/?=]{1,20}") {
            let all = format!("{text}{url} {text}");
            prop_assert!(!without_urls(&all).contains(SEPARATOR));
        }
    }
}
