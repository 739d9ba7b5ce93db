// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 7: the DAO approves a domain, the gateway obtains its certificate and serves the app under it.

use alloy::sol_types::SolCall;
use mandate_guest::instance::{RegisterError, Registration, Statements, TlsIdentity};
use mandate_model::{
    bindings::{Domain, DomainRegistry},
    wire::gateway::RegisterResponse,
};
use mandate_runtime::{Ambient, http::Client};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::json;

use super::hold;
use crate::{
    commands::proven::Proven,
    context::view,
    demo::{
        World,
        app::App,
        client::Connection,
        guest::{V1, V2, compose},
        report::{Kind, Teller},
        services::rpc,
        setting::DOMAIN,
    },
    error::{CliError, Result},
    site::{
        Standing,
        check::{Judge, Logs, Site},
        step,
    },
};

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    start_instance(world, teller).await?;
    let registry = world.deployment()?.domain_registry;
    let call = DomainRegistry::approveDomainCall { name: DOMAIN.into(), app: world.app };
    let calls = vec![(registry, call.abi_encode().into())];
    world.chain.dao_passes(teller, world.governor, calls, &format!("let notes serve {DOMAIN}")).await?;

    let reader = world.chain.reader();
    let at = DomainRegistry::new(registry, &reader);
    let look =
        || async { view::<_, _, DomainRegistry::DomainRegistryErrors>(at.domain(DOMAIN.into())).await.ok() };
    let recorded = world
        .until("the certificate to be recorded on chain", look, |d: &Domain| !d.certificate.is_zero())
        .await?;
    let facts = [
        ("issued_by", json!(world.services()?.authority)),
        ("account", json!(recorded.accountUri)),
        ("certificate", json!(recorded.certificate)),
    ];
    let text = "the relayer saw the approval, the gateway got the certificate, its fingerprint is on chain";
    teller.at(Kind::Done, text, Some(world.chain.dev.head().number()), None, &facts);

    let mut connection = connect(world).await?;
    let page = connection.page().await?;
    hold(page == page_of(V1), format!("the page is not v1's: {page:?}"))?;
    let text = format!(
        "a client that trusts only the authority's root fetches https://{DOMAIN}/ through the gateway"
    );
    teller.at(Kind::Done, text, None, None, &[("page", json!(page))]);
    drop(connection);
    check_site(world, teller).await
}

/// What `mandate domain verify` finds. The demo has no DNS, so that step alone cannot be decided.
async fn check_site(world: &World, teller: &mut Teller<'_>) -> Result<()> {
    world.settle().await?;
    let (services, deployment) = (world.services()?, world.deployment()?);
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(services.root_pem.as_bytes()) {
        roots.add(root.map_err(CliError::data)?).map_err(CliError::data)?;
    }
    let name = DOMAIN.parse().map_err(CliError::data)?;
    let site = Site { name, port: 443, at: Some(services.gateway.tls_addr), roots };
    let endpoints = vec![("rpc".to_owned(), rpc(&world.rpc_url())?)];
    let judge = Judge {
        deployment,
        proven: &Proven::over(deployment.chain_id, endpoints, None),
        verifier: &world.pki.trust_anchors().into(),
        resolvers: &[],
        logs: &Logs::Private,
        ambient: &world.ambient,
    };
    let steps = judge.check(&site).await;
    for found in &steps {
        let expected = if found.step == step::CAA { Standing::Undecided } else { Standing::Ok };
        let text = format!("checking {DOMAIN}: {}: {}", found.step, found.found);
        hold(found.standing == expected, &text)?;
        teller.tell(Kind::Done, text);
    }
    Ok(())
}

/// What a version of the app serves.
pub(crate) fn page_of(version: &str) -> String {
    format!("notes {version}")
}

/// A client's connection to the domain through the gateway.
pub(crate) async fn connect(world: &World) -> Result<Connection> {
    let services = world.services()?;
    Connection::open(services.gateway.tls_addr, DOMAIN, &services.root_pem).await
}

/// An instance of v1 serves its page and registers with its evidence.
async fn start_instance(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let (identity, registration) = serve(world, V1).await?;
    let guest = world.guest(world.app, compose(V1).1);
    let http = Client::new(std::sync::Arc::clone(&world.ambient.net));
    let answer = registration.register(&http, &identity, &guest).await.map_err(CliError::refused)?;
    tell(teller, "an instance of v1 registers with the gateway: its evidence binds its TLS key", &answer);
    Ok(())
}

/// An instance of v2 serves its page and registers with the committee's statement about it.
pub(crate) async fn start_vouched_instance(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let (identity, registration) = serve(world, V2).await?;
    let guest = std::sync::Arc::new(world.guest(world.app, compose(V2).1));
    let relayers = vec![world.services()?.relayer_url.clone()];
    let statements = Statements::new(&world.ambient, world.pinned()?, relayers, guest);
    let vouched = Vouched { identity, registration, statements };
    let answer = vouched.register(&world.ambient).await.map_err(CliError::refused)?;
    let text =
        "an instance of v2 registers with the gateway: the committee's statement about it binds its TLS key";
    tell(teller, text, &answer);
    world.vouched = Some(vouched);
    Ok(())
}

/// An instance that the committee vouches for.
#[derive(Debug)]
pub(crate) struct Vouched {
    identity: TlsIdentity,
    registration: Registration,
    statements: Statements,
}

impl Vouched {
    /// Registers, with the statement that there is as long as it holds.
    pub(crate) async fn register(
        &self,
        ambient: &Ambient,
    ) -> std::result::Result<RegisterResponse, RegisterError> {
        let http = Client::new(std::sync::Arc::clone(&ambient.net));
        self.registration.register(&http, &self.identity, &self.statements).await
    }
}

async fn serve(world: &mut World, version: &str) -> Result<(TlsIdentity, Registration)> {
    let identity = TlsIdentity::generate(&world.ambient, &[DOMAIN.to_owned()]).map_err(CliError::data)?;
    let app = App::start(page_of(version), vec![identity.certificate()], identity.private_key()).await?;
    let (gateway, upstream) = (world.services()?.gateway_url(), app.address.to_string());
    world.instances.push(app);
    Ok((identity, Registration { gateway, upstream, domains: Vec::new(), served: None }))
}

fn tell(teller: &mut Teller<'_>, text: &str, answer: &RegisterResponse) {
    let facts = [("names", json!(answer.names)), ("lease_seconds", json!(answer.lease))];
    teller.at(Kind::Done, text, None, None, &facts);
}
