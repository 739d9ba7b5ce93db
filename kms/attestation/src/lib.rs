// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TEE evidence: formats, verification and the development PKI.
