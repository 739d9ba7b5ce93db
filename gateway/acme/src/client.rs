// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates from an ACME authority (RFC 8555), validated by TLS-ALPN-01 (RFC 8737) on one's own TLS port.
//!
//! The account key derives from the gateway app's secret: every gateway of the fleet is the same account, so the account
//! URI that CAA pins (RFC 8657) holds for all of them. A validation must reach the gateway that ordered: a fleet behind
//! one address needs its balancer to keep `acme-tls/1` connections with one member.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, Key, NewOrder, Order, OrderStatus,
    RevocationReason, RevocationRequest,
};
use mandate_runtime::{Ambient, clock::within};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::sync::Mutex;

use crate::{
    challenge::{Answer, ChallengeStore},
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    keys::{KeySource, P256Key},
    name::DomainName,
};

mod http;

const FIRST_POLL: Duration = Duration::from_millis(25);
const SLOWEST_POLL: Duration = Duration::from_secs(2);
const MAX_CHAIN_PEM: usize = 256 << 10;
/// RFC 8555, section 6.7.
const ALREADY_REVOKED: &str = "urn:ietf:params:acme:error:alreadyRevoked";
/// Likewise.
const FOR_NOW: [&str; 3] = [":rateLimited", ":serverInternal", ":badNonce"];

/// The path under which the account key is derived.
pub const ACCOUNT_KEY: &str = "acme-account";
/// The purpose with which the gateway's P-256 keys are derived.
pub const P256: &str = "p256";

/// Which authority, and how patiently.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// URL of the authority's directory.
    pub directory: String,
    /// Roots that its own HTTPS may lead to besides the public ones, in DER.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The authority's domain name as CAA names it.
    pub issuer: String,
    /// How long an order may take.
    pub timeout: Duration,
}

/// Orders certificates from one ACME authority.
pub struct AcmeIssuer {
    config: AcmeConfig,
    keys: Arc<dyn KeySource>,
    challenges: Arc<ChallengeStore>,
    ambient: Ambient,
    http: http::AcmeHttp,
    account: Mutex<Option<Account>>,
}

impl fmt::Debug for AcmeIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcmeIssuer({})", self.config.directory)
    }
}

impl AcmeIssuer {
    /// Answers challenges through `challenges`, which the gateway's listener serves.
    ///
    /// # Errors
    /// When an extra root is no certificate.
    pub fn new(
        config: AcmeConfig,
        keys: Arc<dyn KeySource>,
        challenges: Arc<ChallengeStore>,
        ambient: Ambient,
    ) -> Result<Self, rustls::Error> {
        let http = http::AcmeHttp::new(&config.extra_roots, Arc::clone(&ambient.net))?;
        Ok(Self { config, keys, challenges, ambient, http, account: Mutex::new(None) })
    }

    /// The account, made at the authority on first use. Asking for it with the same key again gives the same account.
    async fn account(&self) -> Result<Account, Problem> {
        let mut account = self.account.lock().await;
        if let Some(account) = account.as_ref() {
            return Ok(account.clone());
        }
        let material = self.keys.key(ACCOUNT_KEY, P256).await.map_err(IssueError::Key)?;
        let key = P256Key::derive(&material).map_err(IssueError::Key)?;
        let pair = (Key::from_pkcs8_der(key.pkcs8())?, PrivateKeyDer::Pkcs8(key.pkcs8().clone_key()));
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        let (new, _) = builder.create_from_key(pair, self.config.directory.clone()).await?;
        tracing::info!(account = new.id(), directory = self.config.directory, "ACME account is there");
        *account = Some(new.clone());
        Ok(new)
    }

    async fn order(&self, request: &CertificateRequest) -> Result<Issued, Problem> {
        let csr = request.csr()?;
        let account = self.account().await?;
        let names: Vec<_> = request.subject().dns_names().into_iter().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let answers = self.answer(&mut order, request).await?;
        self.until_ready(&mut order, request).await?;
        drop(answers);
        order.finalize_csr(&csr).await?;
        let pem = self.until_issued(&mut order).await?;
        let chain = parse_chain(&pem).ok_or(Error::Str("a certificate chain in PEM"))?;
        let (issuer, account_uri) = (self.config.issuer.clone(), account.id().to_owned());
        Ok(Issued { chain, issuer, account_uri })
    }

    /// Lets the listener answer each open challenge, and tells the authority so.
    async fn answer(&self, order: &mut Order, request: &CertificateRequest) -> Result<Vec<Answer>, Problem> {
        let mut answers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            if authorization.identifier().to_string() != request.name().as_str() {
                return Err(self.refused(request, "the authority asks about another name").into());
            }
            let mut challenge = authorization.challenge(ChallengeType::TlsAlpn01).ok_or_else(|| {
                let (issuer, name) = (self.config.issuer.clone(), request.name().clone());
                IssueError::NoChallenge { issuer, name, kind: "tls-alpn-01" }
            })?;
            let digest = challenge.key_authorization().digest().as_ref().try_into();
            let digest: [u8; 32] = digest.map_err(|_| Error::Crypto)?;
            let answer = self.challenges.answer(request.name(), digest, self.ambient.entropy.as_ref());
            answers.push(answer.map_err(|e| self.refused(request, e))?);
            challenge.set_ready().await?;
        }
        Ok(answers)
    }

    async fn until_ready(&self, order: &mut Order, request: &CertificateRequest) -> Result<(), Problem> {
        let mut delay = FIRST_POLL;
        loop {
            let state = order.refresh().await?;
            match state.status {
                OrderStatus::Ready | OrderStatus::Valid => return Ok(()),
                OrderStatus::Invalid => {
                    let why = reasons(order).await;
                    return Err(self.refused(request, why).into());
                }
                OrderStatus::Pending | OrderStatus::Processing => self.pause(&mut delay).await,
            }
        }
    }

    async fn until_issued(&self, order: &mut Order) -> Result<String, Problem> {
        let mut delay = FIRST_POLL;
        loop {
            match order.certificate().await? {
                Some(pem) => return Ok(pem),
                None => self.pause(&mut delay).await,
            }
        }
    }

    async fn pause(&self, delay: &mut Duration) {
        self.ambient.clock.sleep(*delay).await;
        *delay = delay.saturating_mul(2).min(SLOWEST_POLL);
    }

    fn refused(&self, request: &CertificateRequest, what: impl ToString) -> IssueError {
        self.refused_for(request.name(), what)
    }

    fn refused_for(&self, name: &DomainName, what: impl ToString) -> IssueError {
        let (issuer, name) = (self.config.issuer.clone(), name.clone());
        IssueError::Refused { issuer, name, what: what.to_string() }
    }

    /// By the account that ordered it, which is the fleet's.
    async fn end(&self, leaf: &CertificateDer<'static>) -> Result<(), Problem> {
        let reason = Some(RevocationReason::CessationOfOperation);
        let ended = self.account().await?.revoke(&RevocationRequest { certificate: leaf, reason }).await;
        let Err(Error::Api(problem)) = ended else { return Ok(ended?) };
        match problem.r#type.as_deref() {
            Some(ALREADY_REVOKED) => Ok(()),
            // Not now is not no.
            Some(kind) if FOR_NOW.iter().any(|word| kind.ends_with(word)) => {
                let (issuer, what) = (self.config.issuer.clone(), problem.to_string());
                Err(IssueError::Unreachable { issuer, what }.into())
            }
            _ => Err(Error::Api(problem).into()),
        }
    }

    async fn in_time<T>(
        &self,
        name: &DomainName,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, IssueError> {
        match within(self.ambient.clock.as_ref(), self.config.timeout, work).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(Problem::Issue(e))) => Err(e),
            Some(Err(Problem::Acme(Error::Api(problem)))) => {
                // The authority may have forgotten the account; the next order makes sure of it again.
                *self.account.lock().await = None;
                Err(self.refused_for(name, problem))
            }
            Some(Err(Problem::Acme(e))) => {
                Err(IssueError::Unreachable { issuer: self.config.directory.clone(), what: chain_of(&e) })
            }
            None => Err(IssueError::Timeout { issuer: self.config.issuer.clone(), name: name.clone() }),
        }
    }
}

impl CertificateIssuer for AcmeIssuer {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        self.in_time(request.name(), self.order(request)).boxed()
    }

    fn revoke<'a>(
        &'a self,
        name: &'a DomainName,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        self.in_time(name, self.end(leaf)).boxed()
    }
}

/// What goes wrong on the way: the library's errors know no names yet.
enum Problem {
    Acme(Error),
    Issue(IssueError),
}

impl From<Error> for Problem {
    fn from(e: Error) -> Self {
        Self::Acme(e)
    }
}

impl From<IssueError> for Problem {
    fn from(e: IssueError) -> Self {
        Self::Issue(e)
    }
}

/// Why the authority called the order invalid, as its challenges tell it.
async fn reasons(order: &mut Order) -> String {
    let mut texts = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if let Ok(state) = authorization.refresh().await {
            let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            texts.extend(errors.map(ToString::to_string));
        }
    }
    match texts.is_empty() {
        true => "validation failed and it does not say why".to_owned(),
        false => texts.join("; "),
    }
}

/// An error with its causes: hyper's own text names none of them.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn parse_chain(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    if pem.len() > MAX_CHAIN_PEM {
        return None;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!chain.is_empty()).then_some(chain)
}
