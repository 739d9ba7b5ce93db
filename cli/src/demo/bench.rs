// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo's world as something to measure on: the same services on the same sockets, told to nobody.

use std::{sync::Arc, time::Duration};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, U256, aliases::U40},
    providers::DynProvider,
    sol_types::SolCall,
};
use mandate_devchain::{Change, DevChain};
use mandate_guest::{
    Fetched, KeyClient, Pinned, Quoter,
    instance::{Registration, TlsIdentity},
};
use mandate_model::{
    bindings::{AppAuth, AppInit, DomainRegistry, KmsAuth},
    wire::{BlockRef, ViewCall},
};
use mandate_runtime::http::Client;
use mandate_witness::ChainSpec;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Options, World,
    actors::Actor,
    app::App,
    chain::find,
    guest::{DemoGuest, V1, compose},
    report::{Event, Sink, Teller},
    services::rpc,
    setting::BASE_DOMAIN,
    steps,
};
use crate::{
    context::{ConfigFile, send},
    error::{CliError, Result},
};

/// The first salt of apps whose versions are revoked; the story takes the small ones.
const SALT: u64 = 1 << 32;
/// Versions that an app can have.
const VERSIONS: usize = 16;
/// How long a revocation may take before it is called failed.
const LIMIT: Duration = Duration::from_secs(30);

/// The code hash of the story's first version.
pub fn v1() -> B256 {
    compose(V1).1
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silence;

impl Sink for Silence {
    fn event(&mut self, _: &Event) {}
}

impl World {
    /// Plays the story up to this step.
    ///
    /// # Errors
    /// The first step that does not hold.
    pub async fn up_to(options: Options, step: usize) -> Result<Self> {
        let mut silence = Silence;
        let mut teller = Teller::new(&mut silence, || Duration::ZERO);
        let mut world = Self::begin(options, &mut teller).await?;
        for step in 2..=step {
            steps::run(step, &mut world, &mut teller).await?;
        }
        Ok(world)
    }

    /// Which certificate authority there is; nothing before the services run.
    pub fn authority(&self) -> Option<&'static str> {
        self.services.as_ref().map(|services| services.authority)
    }

    /// The chain itself.
    pub fn chain(&self) -> &DevChain {
        &self.chain.dev
    }

    /// The app of the story. Needs step 4.
    pub fn app(&self) -> Address {
        self.app
    }

    /// What the other commands read: the endpoint and the deployment.
    ///
    /// # Errors
    /// When nothing is deployed yet.
    pub fn config_file(&self) -> Result<ConfigFile> {
        Ok(ConfigFile { rpc: Some(self.rpc_url()), deployment: self.deployment()?.clone() })
    }

    /// The root certificate of the development PKI, DER.
    pub fn root_der(&self) -> &[u8] {
        self.pki.root_der()
    }

    /// The domain that the gateway serves, where it does so, and the root of its certificate in PEM. Needs step 7.
    ///
    /// # Errors
    /// When no service runs.
    pub fn site(&self) -> Result<(&'static str, std::net::SocketAddr, &str)> {
        let services = self.services()?;
        Ok((super::setting::DOMAIN, services.gateway.tls_addr, &services.root_pem))
    }

    /// Has the DAO, which owns the app, close an incident of its domain: days of the chain's time. Needs step 7.
    ///
    /// # Errors
    /// When it does not pass.
    pub async fn close_incident(&self, fingerprint: B256) -> Result<()> {
        let mut silence = Silence;
        let mut teller = Teller::new(&mut silence, || Duration::ZERO);
        let (name, reason) = (super::setting::DOMAIN.to_owned(), "a drill".to_owned());
        let call = DomainRegistry::closeIncidentCall { name, fingerprint, reason };
        let calls = vec![(self.deployment()?.domain_registry, call.abi_encode().into())];
        self.chain.dao_passes(&mut teller, self.governor, calls, "close the incident").await?;
        self.settle().await
    }

    /// Where the nodes answer. Needs step 3.
    ///
    /// # Errors
    /// When no service runs.
    pub fn node_urls(&self) -> Result<Vec<String>> {
        Ok(self.services()?.node_urls().collect())
    }

    /// Evidence of a guest with this code that binds this report data, encoded.
    ///
    /// # Errors
    /// When there is none.
    pub async fn evidence_of(&self, code: B256, report_data: [u8; 64]) -> Result<Vec<u8>> {
        let evidence = self.guest(self.app, code).evidence(report_data).await;
        Ok(evidence.map_err(CliError::data)?.encode())
    }

    /// Whether the committee lets a guest with this code have its secret. Needs step 5.
    ///
    /// # Errors
    /// When it could not be asked.
    pub async fn lets_in(&self, code: B256) -> Result<bool> {
        Ok(self.fetch(&self.guest(self.app, code)).await?.is_ok())
    }

    /// Stops the services and leaves the chain.
    pub async fn stop_services(&mut self) {
        if let Some(services) = self.services.take() {
            services.shutdown().await;
        }
    }

    /// A guest of v1 that fetches its secret. Needs step 5.
    ///
    /// # Errors
    /// When there is no committee yet.
    pub fn fetcher(&self) -> Result<Fetcher> {
        Ok(Fetcher {
            client: KeyClient::new(&self.ambient),
            pinned: self.pinned()?,
            relayers: [self.services()?.relayer_url.clone()],
            guest: self.guest(self.app, compose(V1).1),
        })
    }

    /// What every node asks the contracts when a guest of v1 wants its secret. Needs step 5.
    ///
    /// # Errors
    /// When nothing is deployed yet.
    pub async fn decision(&self) -> Result<Decision> {
        let (report_data, now) = ([0; 64], self.ambient.clock.unix());
        let evidence = self.guest(self.app, compose(V1).1).evidence(report_data).await;
        let evidence = evidence.map_err(CliError::data)?;
        let verified = mandate_attestation::verify(&evidence, &self.pki.trust_anchors(), now, &report_data);
        let request = mandate_kms::boot::boot_request(&verified.map_err(CliError::data)?, 1);
        let call = KmsAuth::decideCall { request };
        let block = self.chain.dev.block(BlockNumberOrTag::Finalized);
        let block = block.ok_or_else(|| CliError::data("nothing is final yet"))?;
        Ok(Decision {
            provider: rpc(&self.rpc_url())?,
            spec: ChainSpec::dev(self.deployment()?.chain_id),
            block: BlockRef { number: block.number(), hash: block.hash() },
            call: ViewCall { to: self.deployment()?.kms_auth, data: call.abi_encode().into() },
        })
    }

    /// Apps with so many active versions in all, to revoke one after the other. Needs step 4.
    ///
    /// # Errors
    /// When the chain refuses them.
    pub async fn revocable(&self, versions: usize) -> Result<Revocable<'_>> {
        let codes: Vec<B256> = (0..versions).map(|i| compose(&format!("r{i}")).1).collect();
        let mut left = Vec::with_capacity(versions);
        for (salt, codes) in (SALT..).zip(codes.chunks(VERSIONS)) {
            let app = self.register(salt, codes.to_vec()).await?;
            left.extend(codes.iter().map(|code| (app, *code)));
        }
        // Grants look at final blocks.
        self.settle().await?;
        Ok(Revocable { world: self, left: left.into_iter() })
    }

    async fn register(&self, salt: u64, codes: Vec<B256>) -> Result<Address> {
        let kms_auth = KmsAuth::new(self.deployment()?.kms_auth, self.chain.of(Actor::Developer)?);
        let init = AppInit {
            owner: Actor::Developer.address(),
            guardian: Actor::Guardian.address(),
            notice: U40::from(3_600),
            codeHashes: codes,
            devices: vec![],
            anyDevice: true,
            teeKinds: vec![mandate_attestation::Tee::Tdx as u8],
            tcbFloor: 1,
            ..AppInit::default()
        };
        let call = kms_auth.deployAndRegisterApp(init, B256::from(U256::from(salt)));
        let receipt = send::<_, _, KmsAuth::KmsAuthErrors>(call).await?;
        Ok(find::<KmsAuth::AppRegistered>(&receipt)?.app)
    }
}

/// A guest that fetches its secret again and again.
#[derive(Debug)]
pub struct Fetcher {
    client: KeyClient,
    pinned: Pinned,
    relayers: [String; 1],
    guest: DemoGuest,
}

impl Fetcher {
    /// The whole fetch: the committee from the relayer, nonces, evidence, a quorum of parts, the secret.
    ///
    /// # Errors
    /// When the committee does not release it.
    pub async fn fetch(&self) -> Result<Fetched> {
        let view = self.client.committee(&self.relayers, 0).await.map_err(CliError::refused)?;
        let fetched = self.client.fetch(&self.pinned, &view, 0, &self.guest).await;
        fetched.map_err(CliError::refused)
    }

    /// Only the guest's evidence: hardware makes it in earnest, so its time is not the suite's.
    ///
    /// # Errors
    /// When there is none.
    pub async fn evidence(&self) -> Result<mandate_attestation::Evidence> {
        self.guest.evidence([1; 64]).await.map_err(CliError::data)
    }
}

/// A question to the contracts at a final block.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The chain over HTTP, as a relayer has it.
    pub provider: DynProvider,
    /// The chain's rules.
    pub spec: ChainSpec,
    /// Where.
    pub block: BlockRef,
    /// What.
    pub call: ViewCall,
}

/// Versions that are left to revoke.
#[derive(Debug)]
pub struct Revocable<'a> {
    world: &'a World,
    left: std::vec::IntoIter<(Address, B256)>,
}

impl Revocable<'_> {
    /// Opens a connection through the gateway to an instance of the next version, has the guardian revoke that version, and
    /// says how long after the block the connection was closed. Nothing when no version is left.
    ///
    /// # Errors
    /// When the connection is not made, or not closed.
    pub async fn revoke_next(&mut self) -> Result<Option<Duration>> {
        let Some((app, code)) = self.left.next() else { return Ok(None) };
        let (_instance, mut connection) = self.connect(app, code).await?;
        let closed = tokio::spawn(async move {
            // How it was closed does not matter: cleanly, or cut off.
            let _ = connection.read(&mut [0; 1]).await;
            Instant::now()
        });
        let mut blocks = Blocks::watch(&self.world.chain.dev);
        let auth = AppAuth::new(app, self.world.chain.of(Actor::Guardian)?);
        let receipt = send::<_, _, AppAuth::AppAuthErrors>(auth.revokeCode(code, false)).await?;
        let Ok(Ok(closed)) = timeout(LIMIT, closed).await else {
            return Err(CliError::refused("the open connection was not closed"));
        };
        let mined = receipt.block_number.and_then(|number| blocks.time_of(number));
        let mined = mined.ok_or_else(|| CliError::data("nobody saw the block of the revocation"))?;
        Ok(Some(closed.saturating_duration_since(mined)))
    }

    /// An instance of `code`, and a connection through the gateway that ends TLS in it.
    async fn connect(&self, id: Address, code: B256) -> Result<(App, TlsStream<TcpStream>)> {
        let (world, services) = (self.world, self.world.services()?);
        let names = [format!("{id:x}-443s.{BASE_DOMAIN}")];
        let identity = TlsIdentity::generate(&world.ambient, &names).map_err(CliError::data)?;
        let app = App::start(String::new(), vec![identity.certificate()], identity.private_key()).await?;
        let registration = Registration {
            gateway: services.gateway_url(),
            upstream: app.address.to_string(),
            domains: Vec::new(),
            served: None,
        };
        let http = Client::new(Arc::clone(&world.ambient.net));
        let guest = world.guest(id, code);
        registration.register(&http, &identity, &guest).await.map_err(CliError::refused)?;

        let mut roots = RootCertStore::empty();
        roots.add(identity.certificate()).map_err(CliError::data)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let [name] = names;
        let name = ServerName::try_from(name).map_err(CliError::data)?;
        let tcp = TcpStream::connect(services.gateway.tls_addr).await.map_err(CliError::unavailable)?;
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        Ok((app, tls.map_err(|e| CliError::refused(format!("TLS through the gateway: {e}")))?))
    }
}

/// When each block from now on was made.
struct Blocks {
    heard: mpsc::UnboundedReceiver<(u64, Instant)>,
    watcher: JoinHandle<()>,
}

impl Blocks {
    fn watch(chain: &DevChain) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let mut changes = chain.changes();
        let watcher = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                if let Change::Added(block) = change {
                    let _ = tell.send((block.number(), Instant::now()));
                }
            }
        });
        Self { heard, watcher }
    }

    fn time_of(&mut self, number: u64) -> Option<Instant> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).find(|(n, _)| *n == number).map(|(_, at)| at)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}
