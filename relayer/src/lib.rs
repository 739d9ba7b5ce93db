// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Watches the chain and carries what it shows to nodes, gateways and back.
