// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who believes evidence.

use crate::anchors::TrustAnchors;

/// What one verification relies on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust<'a> {
    pub(crate) anchors: &'a TrustAnchors,
}

impl<'a> Trust<'a> {
    /// The roots alone: nothing is known or remembered.
    pub(crate) fn cold(anchors: &'a TrustAnchors) -> Self {
        Self { anchors }
    }
}
