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
/// For how long the members' word on a node is good.
pub(crate) const ATTESTATION_PERIOD: Duration = DAY.saturating_mul(30);
/// Makes the address of the KMS's own app, which its nodes prove themselves as before it is deployed.
pub(crate) const KMS_SALT: u8 = 1;
/// Stands for the code that the nodes run.
pub(crate) const KMS_CODE: &[u8] = b"the KMS's own code";
/// How long a motion of the council stays open.
pub(crate) const MOTION_LIFETIME: Duration = DAY.saturating_mul(14);
/// From proposal to vote.
pub(crate) const VOTING_DELAY: Duration = HOUR;
/// Votes are open for this long in the DAO.
pub(crate) const VOTING_PERIOD: Duration = DAY.saturating_mul(3);
/// From queueing to execution.
pub(crate) const VETO_WINDOW: Duration = DAY;
