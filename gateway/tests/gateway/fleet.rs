// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS-ALPN-01 in a fleet: one gateway orders, another one is asked.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use mandate_acme::{
    challenge::{ChallengeStore, SharedChallenges},
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::DevelopmentKeys,
    name::DomainName,
};
use mandate_gateway::{Live, Parts, Settings, challenges::FleetChallenges, store, tls};
use mandate_runtime::{Ambient, clock::ManualClock};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    database::{Database, Kind},
    on_both,
    scripted::{ScriptedChain, TestCa},
    world::{APP, DOMAIN, NOW, World},
};

const DIGEST: [u8; 32] = [0xd1; 32];
const MINUTE: Duration = Duration::from_secs(60);

on_both! {
    order_by_one_gateway_is_validated_through_another;
    attack_challenge_that_no_gateway_wrote_is_not_answered;
    challenge_is_answered_until_it_is_taken_back_or_its_time_is_over;
    attack_client_that_asks_too_often_costs_the_store_nothing;
}

/// Takes whatever certificate is shown: what is in it is what is asked for.
async fn shown(gateway: SocketAddr, name: &str, protocols: &[&[u8]]) -> Option<CertificateDer<'static>> {
    // Pins no key that anybody has, and so fails; but the certificate has been seen by then.
    let seen = Arc::new(Seen::default());
    let mut config = tls::upstream(Vec::new(), protocols.iter().map(|p| p.to_vec()).collect()).unwrap();
    config.dangerous().set_certificate_verifier(Arc::clone(&seen) as _);
    let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let _ = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    seen.0.lock().unwrap().take()
}

#[derive(Debug, Default)]
struct Seen(Mutex<Option<CertificateDer<'static>>>);

impl rustls::client::danger::ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(leaf.clone().into_owned());
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.verify_tls13_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// What the authority wants to see (RFC 8737): the digest in an extension.
async fn proof(gateway: SocketAddr) -> Option<Vec<u8>> {
    let leaf = shown(gateway, DOMAIN, &[b"acme-tls/1"]).await?;
    let (_, parsed) = X509Certificate::from_der(&leaf).unwrap();
    let acme = parsed.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")?;
    Some(acme.value[2..].to_vec())
}

/// An authority that validates through a gateway which its order did not come from.
#[derive(Debug)]
struct Validating {
    ca: Arc<TestCa>,
    challenges: Arc<ChallengeStore>,
    through: SocketAddr,
}

impl CertificateIssuer for Validating {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        async move {
            let entropy = Ambient::system().entropy;
            let answer = self.challenges.answer(request.name(), DIGEST, MINUTE, entropy.as_ref()).await;
            let answer = answer.expect("the challenge is shared");
            let seen = proof(self.through).await;
            drop(answer);
            let (issuer, name) = ("test".to_owned(), request.name().clone());
            match seen.as_deref() == Some(&DIGEST[..]) {
                true => self.ca.issue(request).await,
                false => Err(IssueError::Refused { issuer, name, what: format!("saw {seen:?}") }),
            }
        }
        .boxed()
    }

    fn revoke<'a>(
        &'a self,
        name: &'a DomainName,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        self.ca.revoke(name, leaf)
    }
}

struct Fleet {
    database: Database,
    chain: Arc<ScriptedChain>,
    clock: Arc<ManualClock>,
    other: World,
}

impl Fleet {
    async fn new(kind: Kind) -> Self {
        let (chain, clock) = (Arc::new(ScriptedChain::default()), Arc::new(ManualClock::new(NOW)));
        chain.approve(DOMAIN, APP);
        let database = Database::new(kind).await;
        let store = database.config.clone();
        let other =
            World::start_at(clock.clone(), store, chain.clone(), TestCa::new(), |_| ()).await.unwrap();
        Self { database, chain, clock, other }
    }

    /// The way of another gateway to the challenges, with the fleet's secret or another.
    async fn challenges(&self, seed: u8) -> FleetChallenges {
        let ambient = Ambient { clock: Arc::clone(&self.clock) as _, ..Ambient::system() };
        let store = store::open(&self.database.config, &ambient).await.unwrap();
        FleetChallenges::new(store, Arc::new(DevelopmentKeys::new([seed; 32].into())), ambient)
    }

    fn at(&self) -> SocketAddr {
        self.other.gateway.tls_addr
    }
}

fn name() -> DomainName {
    DomainName::try_from(DOMAIN).unwrap()
}

async fn order_by_one_gateway_is_validated_through_another(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let (ca, through, store) = (TestCa::new(), fleet.at(), fleet.database.config.clone());
    let validating = |_: &mut Settings, _: &mut Live, parts: &mut Parts| {
        parts.store = store;
        let ca = Arc::clone(&ca);
        parts.issuer = Box::new(move |challenges| Ok(Arc::new(Validating { ca, challenges, through })));
    };
    let clock = Arc::clone(&fleet.clock);
    let one = World::start_on(clock, Arc::clone(&fleet.chain), Arc::clone(&ca), validating).await.unwrap();
    one.order(DOMAIN).await.unwrap();
    // Taken back in the background.
    while fleet.database.count("SELECT COUNT(*) FROM challenges").await > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(proof(through).await, None);
}

/// Whoever can write to the store would have the fleet prove control of every domain to his own account.
async fn attack_challenge_that_no_gateway_wrote_is_not_answered(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    fleet.challenges(9).await.open(&name(), DIGEST, MINUTE).await.unwrap();
    assert_eq!(proof(fleet.at()).await, None, "its secret is another one");
    let own = fleet.challenges(3).await;
    own.open(&name(), DIGEST, MINUTE).await.unwrap();
    assert_eq!(proof(fleet.at()).await.as_deref(), Some(&DIGEST[..]));
    let columns = "UPDATE challenges SET";
    for change in ["digest = tag", "expires_at = expires_at + 1000", "tag = digest"] {
        own.open(&name(), DIGEST, MINUTE).await.unwrap();
        fleet.database.does(&format!("{columns} {change}")).await;
        assert_eq!(proof(fleet.at()).await, None, "{change}");
    }
    // Another name's challenge under this one.
    own.close(name(), DIGEST).await;
    fleet.database.does("DELETE FROM challenges").await;
    own.open(&DomainName::try_from("other.example.org").unwrap(), DIGEST, MINUTE).await.unwrap();
    fleet.database.does(&format!("{columns} name = '{DOMAIN}'")).await;
    assert_eq!(proof(fleet.at()).await, None);
}

async fn challenge_is_answered_until_it_is_taken_back_or_its_time_is_over(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let own = fleet.challenges(3).await;
    own.open(&name(), [1; 32], MINUTE).await.unwrap();
    own.open(&name(), DIGEST, MINUTE).await.unwrap();
    // What stands there is another's.
    own.close(name(), [1; 32]).await;
    assert_eq!(proof(fleet.at()).await.as_deref(), Some(&DIGEST[..]));
    // Nobody else is shown it.
    assert!(shown(fleet.at(), DOMAIN, &[b"acme-tls/1", b"h2"]).await.is_none());
    assert!(shown(fleet.at(), DOMAIN, &[b"h2"]).await.is_none());
    assert!(shown(fleet.at(), "other.example.org", &[b"acme-tls/1"]).await.is_none());
    own.close(name(), DIGEST).await;
    assert_eq!(proof(fleet.at()).await, None);
    // The gateway that ordered has died.
    own.open(&name(), DIGEST, MINUTE).await.unwrap();
    fleet.clock.advance(MINUTE);
    assert_eq!(proof(fleet.at()).await, None);
    own.open(&DomainName::try_from("b.example.org").unwrap(), DIGEST, MINUTE).await.unwrap();
    assert_eq!(fleet.database.count("SELECT COUNT(*) FROM challenges").await, 1, "what is over is forgotten");
}

async fn attack_client_that_asks_too_often_costs_the_store_nothing(kind: Kind) {
    let fleet = Fleet::new(kind).await;
    let own = fleet.challenges(3).await;
    own.open(&name(), DIGEST, MINUTE).await.unwrap();
    let mut answered = 0;
    for _ in 0..80 {
        answered += usize::from(proof(fleet.at()).await.is_some());
    }
    assert_eq!(answered, 64, "the clock stands still");
    fleet.clock.advance(Duration::from_secs(1));
    assert!(proof(fleet.at()).await.is_some());
}
