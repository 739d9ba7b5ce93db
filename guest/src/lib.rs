// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent inside the TEE and its key client.
