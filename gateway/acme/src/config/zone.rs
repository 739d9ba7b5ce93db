// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A zone that may be changed, and who takes the changes.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use mandate_runtime::{
    Ambient,
    config::{Problems, Secret},
};
use serde::Deserialize;

use super::{AcmeSetupError, secret};
use crate::{
    dns::{
        AccessKey, Cloudflare, CloudflareToken, Endpoint, HostedZone, Rfc2136, Route53, TsigAlgorithm,
        TsigKey, Zone,
    },
    name::DomainName,
};

/// A zone that this program may change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase")]
pub enum ZoneConfig {
    /// On a server that takes dynamic updates.
    Rfc2136(Rfc2136Config),
    /// At Cloudflare.
    Cloudflare(CloudflareConfig),
    /// At Amazon Route 53.
    Route53(Route53Config),
}

/// A zone on a server that takes dynamic updates (RFC 2136).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rfc2136Config {
    /// The zone's name.
    pub origin: DomainName,
    /// The server that takes updates.
    pub server: SocketAddr,
    /// All servers that answer for the zone. The one above when unset.
    #[serde(default)]
    pub nameservers: Vec<SocketAddr>,
    /// The TSIG key's name.
    pub tsig_name: String,
    /// Its hash.
    #[serde(default)]
    pub tsig_algorithm: TsigAlgorithm,
    /// The secret in base64. Belongs into the environment.
    #[serde(default)]
    pub tsig_secret: Option<Secret>,
    /// A file with the secret that its owner alone can read.
    #[serde(default)]
    pub tsig_secret_file: Option<PathBuf>,
}

/// A zone at Cloudflare.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudflareConfig {
    /// The zone's name, or a name in it: nothing outside of it is changed.
    pub origin: DomainName,
    /// All servers that answer for the zone. Those of its NS records when unset.
    #[serde(default)]
    pub nameservers: Vec<SocketAddr>,
    /// The zone's id. Looked up when unset, which the token must be allowed to.
    #[serde(default)]
    pub zone_id: Option<String>,
    /// Another API than Cloudflare's own.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// An API token. Belongs into the environment.
    #[serde(default)]
    pub token: Option<Secret>,
    /// A file with the token that its owner alone can read.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// A zone at Amazon Route 53.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route53Config {
    /// The hosted zone's name, or a name in it: nothing outside of it is changed.
    pub origin: DomainName,
    /// All servers that answer for the zone. Those of its NS records when unset.
    #[serde(default)]
    pub nameservers: Vec<SocketAddr>,
    /// The hosted zone's id. Looked up when unset, which the key must be allowed to.
    #[serde(default)]
    pub zone_id: Option<String>,
    /// Another API than Amazon's own.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// The region that signatures name.
    #[serde(default = "region")]
    pub region: String,
    /// The access key's id.
    pub access_key_id: String,
    /// Its secret. Belongs into the environment.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// A file with the secret that its owner alone can read.
    #[serde(default)]
    pub secret_access_key_file: Option<PathBuf>,
}

fn region() -> String {
    "us-east-1".to_owned()
}

impl ZoneConfig {
    /// The zone's name, or a name in it.
    pub fn origin(&self) -> &DomainName {
        match self {
            Self::Rfc2136(zone) => &zone.origin,
            Self::Cloudflare(zone) => &zone.origin,
            Self::Route53(zone) => &zone.origin,
        }
    }

    pub(super) fn validate(&self, at: &str, no_resolver: bool, problems: &mut Problems) {
        let (field, value, file) = match self {
            Self::Rfc2136(zone) => ("tsig_secret", &zone.tsig_secret, &zone.tsig_secret_file),
            Self::Cloudflare(zone) => ("token", &zone.token, &zone.token_file),
            Self::Route53(zone) => {
                ("secret_access_key", &zone.secret_access_key, &zone.secret_access_key_file)
            }
        };
        let what = format!("exactly one of it and {field}_file must be set");
        problems.require(value.is_some() != file.is_some(), format!("{at}.{field}"), what);
        let (nameservers, zone_id) = match self {
            // Without others, the server that takes the updates is the one.
            Self::Rfc2136(_) => return,
            Self::Cloudflare(zone) => (&zone.nameservers, &zone.zone_id),
            Self::Route53(zone) => (&zone.nameservers, &zone.zone_id),
        };
        let what = "must be set when there are no resolvers to find them";
        problems.require(!nameservers.is_empty() || !no_resolver, format!("{at}.nameservers"), what);
        let id =
            zone_id.as_ref().is_none_or(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()));
        problems.require(id, format!("{at}.zone_id"), "must consist of letters and digits");
        if let Self::Route53(zone) = self {
            let name = zone.region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let what = "must be a region's name, as us-east-1";
            problems.require(name && !zone.region.is_empty(), format!("{at}.region"), what);
        }
    }

    pub(super) fn build(
        &self,
        at: &str,
        propagation: Duration,
        ambient: &Ambient,
    ) -> Result<Arc<dyn Zone>, AcmeSetupError> {
        match self {
            Self::Rfc2136(zone) => zone.build(at, ambient),
            Self::Cloudflare(zone) => zone.build(at, ambient),
            Self::Route53(zone) => zone.build(at, propagation, ambient),
        }
    }
}

impl Rfc2136Config {
    fn build(&self, at: &str, ambient: &Ambient) -> Result<Arc<dyn Zone>, AcmeSetupError> {
        let field = format!("{at}.tsig_secret");
        let secret = secret(&field, self.tsig_secret.as_ref(), self.tsig_secret_file.as_ref())?;
        let key = TsigKey::new(&self.tsig_name, self.tsig_algorithm, &secret);
        let key = key.map_err(|source| AcmeSetupError::Tsig { field, source })?;
        let Self { origin, server, nameservers, .. } = self.clone();
        Ok(Arc::new(Rfc2136::new(origin, server, nameservers, key, ambient)))
    }
}

impl CloudflareConfig {
    fn build(&self, at: &str, ambient: &Ambient) -> Result<Arc<dyn Zone>, AcmeSetupError> {
        let field = format!("{at}.token");
        let token = secret(&field, self.token.as_ref(), self.token_file.as_ref())?;
        let token = CloudflareToken::new(&token);
        let token = token.map_err(|source| AcmeSetupError::Token { field, source })?;
        let Self { origin, nameservers, zone_id, endpoint, .. } = self.clone();
        let zone = Cloudflare::new(origin, nameservers, token, zone_id, endpoint, ambient);
        Ok(Arc::new(zone.map_err(|source| AcmeSetupError::Tls { field: at.to_owned(), source })?))
    }
}

impl Route53Config {
    fn build(
        &self,
        at: &str,
        propagation: Duration,
        ambient: &Ambient,
    ) -> Result<Arc<dyn Zone>, AcmeSetupError> {
        let field = format!("{at}.secret_access_key");
        let secret = secret(&field, self.secret_access_key.as_ref(), self.secret_access_key_file.as_ref())?;
        let key = AccessKey::new(&self.access_key_id, &secret);
        let key = key.map_err(|source| AcmeSetupError::AccessKey { field, source })?;
        let Self { origin, nameservers, zone_id, endpoint, region, .. } = self.clone();
        let hosted = HostedZone { id: zone_id, region, endpoint, propagation };
        let zone = Route53::new(origin, nameservers, key, hosted, ambient);
        Ok(Arc::new(zone.map_err(|source| AcmeSetupError::Tls { field: at.to_owned(), source })?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{caa::guard::CaaMode, config::DnsConfig};

    fn read(zone: Value, resolvers: &[&str]) -> Result<DnsConfig, serde_json::Error> {
        serde_json::from_value(json!({ "resolvers": resolvers, "zones": { "cloud": zone } }))
    }

    fn is_right(config: &DnsConfig) -> bool {
        let mut problems = Problems::default();
        config.validate("acme.dns", CaaMode::Reconcile, &mut problems);
        problems.is_empty()
    }

    #[test]
    fn g12_zone_is_read_and_its_secrets_never_show() {
        let cloudflare = json!({ "provider": "cloudflare", "origin": "tee.test", "token": "hunter2" });
        let amazon = json!({ "provider": "route53", "origin": "tee.test", "access_key_id": "AKID",
            "secret_access_key": "hunter2" });
        for zone in [cloudflare, amazon] {
            let config = read(zone, &["192.0.2.53:53"]).unwrap();
            assert!(is_right(&config));
            let built = config.build("acme.dns", &Ambient::system()).unwrap();
            assert!(!format!("{config:?} {built:?}").contains("hunter2"), "{config:?} {built:?}");
        }
    }

    #[test]
    fn malformed_zones_are_refused() {
        let good = json!({ "provider": "cloudflare", "origin": "tee.test", "token": "a", "zone_id": "1a" });
        assert!(is_right(&read(good.clone(), &["192.0.2.53:53"]).unwrap()));
        let with = |field: &str, value: Value| {
            let mut zone = good.clone();
            zone[field] = value;
            zone
        };
        for (field, value) in [
            ("provider", json!("nobody")),
            ("provider", json!("route53")),
            ("server", json!("192.0.2.53:53")),
            ("endpoint", json!("http://api.example")),
            ("origin", json!("*.tee.test")),
        ] {
            assert!(read(with(field, value.clone()), &[]).is_err(), "{field}: {value}");
        }
        for (field, value) in
            [("zone_id", json!("../user")), ("zone_id", json!("")), ("token_file", json!("/a"))]
        {
            let config = read(with(field, value.clone()), &["192.0.2.53:53"]).unwrap();
            assert!(!is_right(&config), "{field}: {value}");
        }
        // Nobody could say which servers the zone has.
        assert!(!is_right(&read(good, &[]).unwrap()));
    }
}
