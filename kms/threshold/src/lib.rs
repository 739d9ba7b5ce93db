// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The committee's cryptography: key ceremonies, partial signatures, sealing and derivation.
