// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An in-process revm chain with JSON-RPC, proofs, finality and reorgs.
