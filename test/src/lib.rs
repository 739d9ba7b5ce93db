// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Benchmarks; the end-to-end tests are in `tests/`.

pub mod bench;
