// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verified chain reads: a call's witness, built with a provider and verified without one.
