// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Benchmarks, and what they share with the end-to-end tests in `tests/`.

pub mod bench;
pub mod dns;
