// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One node of the KMS committee.

pub mod ceremony;
pub mod committee;
pub mod decide;
pub mod keys;
pub mod nonce;
pub mod receipts;
pub mod store;
