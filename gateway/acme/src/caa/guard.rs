// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks whether CAA permits what is about to be ordered and nothing else, and mends it where the zone is ours.

use std::sync::Arc;

use serde::Deserialize;

use super::{Difference, Method, Permission, Property};
use crate::{
    dns::{Change, Dns, DnsError, Zone},
    issuer::IssueError,
    name::Subject,
};

/// What to do about CAA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaaMode {
    /// Publishes it where the zone is ours, and requires it everywhere.
    #[default]
    Reconcile,
    /// Requires it everywhere and publishes it nowhere.
    Require,
    /// Looks at nothing: any authority and any account may certify the names. For development.
    Off,
}

/// Stands between a name and every order for it.
#[derive(Debug)]
pub struct Guard {
    mode: CaaMode,
    issuer: String,
    dns: Arc<Dns>,
}

impl Guard {
    /// For orders from the authority that CAA calls `issuer`.
    pub fn new(mode: CaaMode, issuer: String, dns: Arc<Dns>) -> Self {
        if mode == CaaMode::Off {
            tracing::warn!("CAA IS IGNORED: whoever controls DNS can have any authority certify the domains");
        }
        Self { mode, issuer, dns }
    }

    /// Makes sure that CAA lets `account` have `subject` certified by `method`, and permits nothing else.
    ///
    /// # Errors
    /// When it does not and cannot be mended, or when that is not known. There must be no order then.
    pub async fn ensure(&self, subject: &Subject, account: &str, method: Method) -> Result<(), IssueError> {
        if self.mode == CaaMode::Off {
            return Ok(());
        }
        let name = subject.domain();
        let permission = Permission::new(&self.issuer, account, method)
            .map_err(|e| IssueError::Caa { name: name.clone(), what: e.to_string() })?;
        let unknown = |e: DnsError| IssueError::of_dns(name, e);
        if let (CaaMode::Reconcile, Some(zone)) = (self.mode, self.dns.zone_of(name)) {
            self.reconcile(zone.as_ref(), &permission, subject).await.map_err(unknown)?;
        }
        // As an authority sees it: one that would issue in spite of it is not used to get around it.
        let Some(relevant) = self.dns.relevant_caa(name).await.map_err(unknown)? else {
            let what =
                format!("no CAA record there, so anybody may issue; {}", to_publish(&permission, subject));
            return Err(IssueError::Caa { name: name.clone(), what });
        };
        let objections = permission.objections(&relevant.properties, subject);
        if objections.is_empty() {
            return Ok(());
        }
        let (at, found) = (relevant.at, listed(&objections));
        let what = format!("{found} (the records of {at} count); {}", to_publish(&permission, subject));
        Err(IssueError::Caa { name: name.clone(), what })
    }

    /// Publishes the name's own set when it is another one. At no moment is there none: one update where a set is replaced at
    /// once; elsewhere the new records come first, and the old ones stay until all servers show the new.
    async fn reconcile(
        &self,
        zone: &dyn Zone,
        permission: &Permission,
        subject: &Subject,
    ) -> Result<(), DnsError> {
        let name = subject.domain();
        let published = self.dns.own_caa(zone, name).await?;
        let differences = permission.differences(&published, subject);
        if differences.is_empty() {
            return Ok(());
        }
        tracing::warn!(%name, differences = listed(&differences), "CAA is not as it has to be; publishing it");
        let kept = published.into_iter().filter(|property| !property.governs());
        let wanted: Vec<_> = permission.records(subject).into_iter().chain(kept).collect();
        if !zone.replaces_at_once() {
            zone.apply(&[Change::AddCaa(name.clone(), wanted.clone())]).await?;
            let added = || async {
                let published = self.dns.own_caa(zone, name).await?;
                Ok(wanted.iter().all(|one| published.contains(one)))
            };
            self.dns.until(zone, &format!("the new CAA records of {name}"), added).await?;
        }
        zone.apply(&[Change::ReplaceCaa(name.clone(), wanted)]).await?;
        let shown = || async {
            let published = self.dns.own_caa(zone, name).await?;
            Ok(permission.differences(&published, subject).is_empty())
        };
        self.dns.until(zone, &format!("the CAA records of {name}"), shown).await
    }
}

fn listed(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What the domain's owner has to do, to be copied.
fn to_publish(permission: &Permission, subject: &Subject) -> String {
    let name = subject.domain();
    let records = permission.records(subject);
    let records: Vec<_> = records.iter().map(|record: &Property| format!("{name}. {record}")).collect();
    format!("its owner has to publish exactly: {}", records.join(" and "))
}

#[cfg(test)]
mod tests;
