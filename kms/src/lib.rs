// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One node of the KMS committee.
