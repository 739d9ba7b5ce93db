// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints' URLs often hold an access token, and transport errors quote the URL.

use std::{fmt::Display, sync::Arc};

use mandate_runtime::config::Secret;

/// Takes the endpoint's URL out of texts.
#[derive(Debug, Clone)]
pub struct Redact(Arc<Secret>);

impl Redact {
    /// Hides `rpc`.
    pub fn new(rpc: &Secret) -> Self {
        Self(Arc::new(Secret::new(rpc.expose().trim_end_matches('/').to_owned())))
    }

    /// The text without the URL.
    pub fn text(&self, text: impl Display) -> String {
        let text = text.to_string();
        let hidden = self.0.expose();
        if hidden.is_empty() { text } else { text.replace(hidden, "<chain.rpc>") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_the_endpoints_token_is_not_shown() {
        let redact = Redact::new(&Secret::new("https://rpc.example/v3/token/".to_owned()));
        let shown = redact.text("error sending request for url (https://rpc.example/v3/token/)");
        assert_eq!(shown, "error sending request for url (<chain.rpc>/)");
    }
}
