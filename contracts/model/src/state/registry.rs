// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `KmsAuth` told.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::timed::{FOREVER, Governed, Timed, Version, time};
use crate::event::{Event, Position};

/// How an app is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Who registered it.
    pub registrar: Address,
    /// Whether its code is not the blessed one.
    pub foreign: bool,
    /// Until when it is suspended; 0 when it never was.
    pub suspended_until: u64,
}

/// Apps, OS images, system apps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registry {
    /// Owner, guardian, notice.
    pub governed: Governed,
    /// Registered apps.
    pub apps: BTreeMap<Address, Registration>,
    /// OS images.
    pub os_images: BTreeMap<B256, Version>,
    /// The KMS's own app; zero for none.
    pub kms_app: Timed<Address>,
    /// The gateway's own app; zero for none.
    pub gateway_app: Timed<Address>,
}

impl Registry {
    pub(super) fn fold(&mut self, event: &Event, at: &Position) {
        match event {
            Event::AppRegistered(e) => {
                let registration =
                    Registration { registrar: e.registrar, foreign: e.foreign, suspended_until: 0 };
                self.apps.insert(e.app, registration);
            }
            Event::AppSuspensionSet(e) => {
                if let Some(app) = self.apps.get_mut(&e.app) {
                    app.suspended_until = if e.suspended { FOREVER } else { time(e.from) };
                }
            }
            Event::OsImageScheduled(e) => {
                self.os_images.entry(e.osImageHash).or_default().schedule(e.activeFrom, &e.sourceUri);
            }
            Event::OsImageRetirementSet(e) => {
                self.os_images.entry(e.osImageHash).or_default().retire_at = time(e.retireAt);
            }
            Event::OsImageRevoked(e) => self.os_images.entry(e.osImageHash).or_default().revoked = true,
            Event::KmsAppSet(e) => self.kms_app.set(e.app, time(e.from), at.timestamp),
            Event::GatewayAppSet(e) => self.gateway_app.set(e.app, time(e.from), at.timestamp),
            other => self.governed.fold(other, at),
        }
    }
}
