// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole orders: CAA looked at and published, a challenge answered through DNS, the certificate issued and checked. The
//! authority is pebble, which is told not to wait at random, and DNS is PowerDNS with its zone in SQLite.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use mandate_acme::{
    AcmeConfig, AcmeIssuer,
    caa::guard::CaaMode,
    certificate::Certificate,
    challenge::ChallengeStore,
    issuer::{CertificateIssuer, CertificateRequest},
    keys::{DevelopmentKeys, P256Key},
    name::{DomainName, Subject},
};
use mandate_cli::demo::pebble::{Pebble, Rules};
use mandate_runtime::{Ambient, Clock, clock::SystemClock};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::{
    bench::{Figure, Times},
    dns::{Kind, SECRET, Server, ZONE},
};

const TARGET_MS: f64 = 60.0;
/// Where nobody listens: no challenge is answered over TLS.
const NO_PORT: u16 = 9;

/// So many names, each ordered twice.
pub(super) async fn measure(names: usize) -> Result<Vec<Figure>> {
    let server = Kind::PowerDns.start(&[ZONE]).await?;
    let server = server.with_context(|| format!("it needs {}", Kind::PowerDns.packages()))?;
    let rules = Rules::default();
    let pebble = Pebble::start_asking(server.dir.path(), NO_PORT, server.addr, &rules).await?;
    let issuer = issuer(&server, &pebble)?;
    // Makes the account.
    order(&issuer, "first").await?;
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for number in 0..names {
        let name = format!("app-{number}");
        first.push(order(&issuer, &name).await?);
        again.push(order(&issuer, &name).await?);
    }
    let (first, again) = (Times::new(first), Times::new(again));
    Ok(vec![
        Figure::ms("gateway-acme.p50", first.p50()).at_most(TARGET_MS),
        Figure::ms("gateway-acme.p99", first.p99()),
        Figure::ms("gateway-acme.again.p50", again.p50()).at_most(TARGET_MS),
        Figure::ms("gateway-acme.again.p99", again.p99()),
    ])
}

fn issuer(server: &Server, pebble: &Pebble) -> Result<AcmeIssuer> {
    let config = AcmeConfig {
        directory: pebble.directory_url.clone(),
        extra_roots: vec![CertificateDer::from_pem_slice(pebble.ca_pem.as_bytes())?],
        issuer: "pebble.test".to_owned(),
        timeout: Duration::from_secs(60),
        external_account: None,
        caa: CaaMode::Reconcile,
    };
    let keys = Arc::new(DevelopmentKeys::new([7; 32].into()));
    let challenges = Arc::new(ChallengeStore::default());
    Ok(AcmeIssuer::new(
        config,
        keys,
        challenges,
        server.dns(&DomainName::try_from(ZONE)?, SECRET)?,
        Ambient::system(),
    )?)
}

async fn order(issuer: &AcmeIssuer, label: &str) -> Result<Duration> {
    let subject = Subject::Domain(DomainName::try_from(format!("{label}.{ZONE}").as_str())?);
    let key = Arc::new(P256Key::derive(&[9; 32].into())?);
    let began = Instant::now();
    let request = CertificateRequest::new(subject.clone(), Arc::clone(&key));
    let issued = issuer.issue(&request).await?;
    Certificate::check(subject, issued, key.secret(), SystemClock::new().unix())?;
    Ok(began.elapsed())
}
