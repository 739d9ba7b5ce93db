// SPDX-License-Identifier: Apache-2.0 OR MIT
//! End-to-end tests, benchmarks and the contract build.

pub mod artifacts;
pub mod bench;
