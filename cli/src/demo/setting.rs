// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the story plays: the names and times that several steps speak of.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The app's domain.
pub(crate) const DOMAIN: &str = "notes.example";
/// The base domain of the gateway.
pub(crate) const BASE_DOMAIN: &str = "apps.example";
/// The protocol's notice: the longest there is.
pub(crate) const PROTOCOL_NOTICE: Duration = DAY.saturating_mul(7);
/// The app's notice.
pub(crate) const NOTICE: Duration = DAY.saturating_mul(2);
/// How long a motion of the council stays open.
pub(crate) const MOTION_LIFETIME: Duration = DAY.saturating_mul(14);
/// From proposal to vote.
pub(crate) const VOTING_DELAY: Duration = HOUR;
/// Votes are open for this long in the DAO.
pub(crate) const VOTING_PERIOD: Duration = DAY.saturating_mul(3);
/// From queueing to execution.
pub(crate) const VETO_WINDOW: Duration = DAY;
