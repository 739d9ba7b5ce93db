// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long a gateway takes from its start until it serves what is in its store: each name of an app of its own. The chain
//! answers at once, so that what is measured is the gateway's own work.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, keccak256};
use anyhow::{Context, Result};
use futures::future::{BoxFuture, FutureExt, ready};
use mandate_acme::{
    issuer::signing_key,
    keys::DevelopmentKeys,
    name::{DomainName, Subject},
};
use mandate_gateway::{
    certificates::CertificateKeys,
    chain::{At, Chain, Holder, Standing, Undecided, Verdict},
    domains::Domains,
    facts::Facts,
    store::{Generation, Slot, SqliteStore, digest_of},
};
use mandate_model::wire::BlockRef;
use mandate_runtime::{Ambient, Clock, clock::SystemClock};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;

use super::role::{BASE, BenchCa, authority};
use crate::bench::{Figure, Times};

const TARGET_MS: f64 = 2_000.0;
const ROUNDS: usize = 3;
const DAY: u64 = 86_400;

/// Gives each name to an app of its own.
#[derive(Debug)]
struct Registry;

fn app_of(name: &DomainName) -> Address {
    Address::from_word(keccak256(name.as_str()))
}

impl Chain for Registry {
    fn decide<'a>(&'a self, _: &'a Facts, _: At) -> BoxFuture<'a, Verdict> {
        ready(Verdict::Undecided { why: "no instance is asked about".to_owned() }).boxed()
    }

    fn app_of<'a>(&'a self, name: &'a DomainName, _: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        let block = BlockRef { number: 1, hash: B256::ZERO };
        ready(Ok(Holder { app: Some(app_of(name)), block })).boxed()
    }

    fn standing(&self, _: Address, _: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        ready(Ok(Standing::Active)).boxed()
    }
}

/// With so many certificates.
pub(super) async fn measure(certificates: usize) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    authority(dir.path())?;
    fill(dir.path(), certificates).await?;
    let (mut restored, mut served) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (one, other) = start(dir.path(), certificates).await?;
        restored.push(one);
        served.push(other);
    }
    let (restored, served) = (Times::new(restored), Times::new(served));
    Ok(vec![
        Figure::ms("gateway-load.restored", restored.p50()),
        Figure::ms("gateway-load.served", served.p50()).at_most(TARGET_MS),
    ])
}

fn keys() -> Arc<DevelopmentKeys> {
    Arc::new(DevelopmentKeys::new([3; 32].into()))
}

fn database(dir: &Path) -> std::path::PathBuf {
    dir.join("gateway.sqlite")
}

/// From an opened store to all names checked, and from there to all of them served.
async fn start(dir: &Path, certificates: usize) -> Result<(Duration, Duration)> {
    let began = Instant::now();
    let ambient = Ambient::system();
    let store = Arc::new(SqliteStore::open(&database(dir), &ambient).await?);
    let issuer = Arc::new(BenchCa { dir: dir.to_owned() });
    let base = DomainName::try_from(BASE)?;
    let domains = Domains::new(Arc::new(Registry), keys(), issuer, store, ambient, base);
    let count = domains.restore().await?;
    let restored = began.elapsed();
    let problem = domains.review().await;
    let served = began.elapsed();
    anyhow::ensure!(problem.is_none(), "{problem:?}");
    anyhow::ensure!(
        (count, domains.certificates.all().len()) == (certificates, certificates),
        "{count} rows"
    );
    Ok((restored, served))
}

/// Writes the rows in one transaction: what orders would leave one by one, with a commit to disk each.
async fn fill(dir: &Path, certificates: usize) -> Result<()> {
    drop(SqliteStore::open(&database(dir), &Ambient::system()).await?);
    let parent = CertificateKeys::new(keys()).parent().await?;
    let (generation, issuer) = (parent.generation()?, BenchCa { dir: dir.to_owned() }.issuer()?);
    let root = std::fs::read_to_string(dir.join("ca.pem"))?;
    let root = <CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(root.as_bytes())?;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database(dir));
    let pool = sqlx::SqlitePool::connect_with(options).await?;
    let mut tx = pool.begin().await?;
    for number in 0..certificates {
        let name = DomainName::try_from(format!("app-{number:06}.example.org").as_str())?;
        let slot = Slot { app: Some(app_of(&name)), subject: Subject::Domain(name) };
        let leaf = sign(&issuer, &slot, &signing_key(&parent.key(&slot)?)?)?;
        insert(&mut tx, generation, &slot, &[leaf, root.clone()]).await?;
    }
    tx.commit().await?;
    pool.close().await;
    Ok(())
}

fn sign(issuer: &Issuer<'_, KeyPair>, slot: &Slot, key: &KeyPair) -> Result<CertificateDer<'static>> {
    let params = CertificateParams::new(slot.subject.dns_names())?;
    Ok(params.signed_by(key, issuer)?.der().clone())
}

async fn insert(
    tx: &mut sqlx::SqliteConnection,
    generation: Generation,
    slot: &Slot,
    chain: &[CertificateDer<'static>],
) -> Result<()> {
    let now = SystemClock::new().unix();
    let seconds = |time: u64| i64::try_from(time).context("a time out of range");
    sqlx::query(
        "INSERT INTO certificates VALUES ($1, $2, $3, $4, $5, 'ca.test', 'https://ca.test/1', $6, $7, $8)",
    )
    .bind(&generation.0[..])
    .bind(slot.subject.to_string())
    .bind(slot.app.unwrap_or_default().to_vec())
    .bind(chain.iter().flat_map(|der| der.iter()).copied().collect::<Vec<u8>>())
    .bind(digest_of(chain).to_vec())
    .bind(seconds(now)?)
    .bind(seconds(now + 60 * DAY)?)
    .bind(seconds(now + DAY)?)
    .execute(tx)
    .await?;
    Ok(())
}
