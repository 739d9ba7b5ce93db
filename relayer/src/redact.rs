// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints' URLs often hold an access token, and transport errors quote the URL.

use std::{fmt::Display, sync::Arc};

use mandate_runtime::config::Secret;

/// Takes the endpoints' URLs out of texts.
#[derive(Debug, Clone)]
pub struct Redact(Arc<[Secret]>);

impl Redact {
    /// Hides one URL.
    pub fn new(url: &Secret) -> Self {
        Self::all([url])
    }

    /// Hides all of `urls`.
    pub fn all<'a>(urls: impl IntoIterator<Item = &'a Secret>) -> Self {
        let bare = |url: &Secret| Secret::new(url.expose().trim_end_matches('/').to_owned());
        let mut urls: Vec<Secret> = urls.into_iter().map(bare).collect();
        // One may begin with another.
        urls.sort_by_key(|url| std::cmp::Reverse(url.expose().len()));
        Self(urls.into())
    }

    /// The text without the URLs.
    pub fn text(&self, text: impl Display) -> String {
        let hidden = self.0.iter().map(Secret::expose).filter(|url| !url.is_empty());
        hidden.fold(text.to_string(), |text, url| text.replace(url, "<endpoint>"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_no_endpoint_s_token_is_shown() {
        let urls = ["https://rpc.example/v3", "https://rpc.example/v3/token/", ""];
        let redact = Redact::all(&urls.map(|url| Secret::new(url.to_owned())));
        let shown = redact.text("error sending request for url (https://rpc.example/v3/token/)");
        assert_eq!(shown, "error sending request for url (<endpoint>/)");
    }
}
