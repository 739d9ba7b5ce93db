// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the committee costs: releases beside those of a service with one key, ceremonies, a crowd that boots, a node that is
//! dead or slow.

mod boots;
mod ceremony;
mod degraded;
mod rate;
mod single;
mod town;

pub(super) use boots::measure as boots;
pub(super) use ceremony::measure as ceremony;
pub(super) use degraded::measure as degraded;
pub(super) use rate::measure as rate;
