// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates from an ACME authority (RFC 8555), validated by DNS-01 where the zone is ours, by TLS-ALPN-01 (RFC 8737)
//! on one's own TLS port elsewhere.
//!
//! The account key derives from the gateway app's secret: every gateway of the fleet is the same account, so the account
//! URI that CAA pins (RFC 8657) holds for all of them. A validation by TLS-ALPN-01 may reach any gateway of a fleet whose
//! challenges are shared ([`crate::challenge::SharedChallenges`]). DNS-01 asks no gateway.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use instant_acme::{
    Account, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus, RevocationReason,
    RevocationRequest,
};
use mandate_runtime::{Ambient, clock::within};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::Mutex;

use crate::{
    caa::{
        Method,
        guard::{CaaMode, Guard},
    },
    challenge::ChallengeStore,
    dns::Dns,
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued, RenewalWindow},
    keys::KeySource,
    name::{DomainName, Subject},
};

mod account;
mod http;
mod recognise;
mod renewal;
mod validation;

pub use account::{ExternalAccount, ExternalAccountError};

/// An authority that answers at once is not waited for; each further look comes after twice the pause.
const FIRST_POLL: Duration = Duration::from_millis(5);
const SLOWEST_POLL: Duration = Duration::from_secs(2);
const MAX_CHAIN_PEM: usize = 256 << 10;
/// RFC 8555, section 6.7.
const ALREADY_REVOKED: &str = "urn:ietf:params:acme:error:alreadyRevoked";
/// Likewise.
const RATE_LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";
/// Likewise.
const FOR_NOW: [&str; 2] = [":serverInternal", ":badNonce"];
/// RFC 8555, section 7.3.4.
const EXTERNAL_ACCOUNT_REQUIRED: &str = "urn:ietf:params:acme:error:externalAccountRequired";
/// How long to wait when the authority does not say.
const RATE_LIMIT: Duration = Duration::from_secs(3_600);

/// The path under which the account key is derived.
pub const ACCOUNT_KEY: &str = "acme-account";
/// The purpose with which the gateway's P-256 keys are derived.
pub const P256: &str = "p256";

/// Which authority, and how patiently.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// URL of the authority's directory.
    pub directory: String,
    /// Roots that its own HTTPS, and certificates of it that others bring, may lead to besides the public ones, in DER.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The authority's domain name as CAA names it.
    pub issuer: String,
    /// How long an order may take.
    pub timeout: Duration,
    /// The account elsewhere that the authority wants to see (RFC 8555, section 7.3.4).
    pub external_account: Option<ExternalAccount>,
    /// What to do about CAA.
    pub caa: CaaMode,
}

/// Orders certificates from one ACME authority.
pub struct AcmeIssuer {
    config: AcmeConfig,
    keys: Arc<dyn KeySource>,
    challenges: Arc<ChallengeStore>,
    dns: Arc<Dns>,
    guard: Guard,
    ambient: Ambient,
    http: http::AcmeHttp,
    roots: recognise::Roots,
    account: Mutex<Option<Account>>,
}

impl fmt::Debug for AcmeIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AcmeIssuer({})", self.config.directory)
    }
}

impl AcmeIssuer {
    /// Answers challenges through `challenges`, which the gateway's listener serves, and through the zones of `dns`.
    ///
    /// # Errors
    /// When an extra root is no certificate.
    pub fn new(
        config: AcmeConfig,
        keys: Arc<dyn KeySource>,
        challenges: Arc<ChallengeStore>,
        dns: Arc<Dns>,
        ambient: Ambient,
    ) -> Result<Self, rustls::Error> {
        let roots = recognise::Roots::new(&config.extra_roots)?;
        let http = http::AcmeHttp::new(roots.store(), &ambient)?;
        let guard = Guard::new(config.caa, config.issuer.clone(), Arc::clone(&dns));
        Ok(Self { config, keys, challenges, dns, guard, ambient, http, roots, account: Mutex::new(None) })
    }

    /// How a subject is validated: through DNS where that is ours.
    fn method(&self, subject: &Subject) -> Result<Method, IssueError> {
        match (self.dns.zone_of(subject.domain()), subject) {
            (Some(_), _) => Ok(Method::Dns01),
            (None, Subject::Domain(_)) => Ok(Method::TlsAlpn01),
            (None, Subject::Wildcard(name)) => Err(IssueError::Request {
                name: name.clone(),
                what: "a wildcard is validated through DNS alone (dns-01): configure its zone in dns.zones"
                    .to_owned(),
            }),
        }
    }

    /// Makes sure of CAA. An order without this would be one that anybody's account could place as well.
    async fn permitted(&self, subject: &Subject) -> Result<Account, Problem> {
        let method = self.method(subject)?;
        let account = self.account().await?;
        self.guard.ensure(subject, account.id(), method).await?;
        Ok(account)
    }

    async fn order(&self, request: &CertificateRequest) -> Result<Issued, Problem> {
        let csr = request.csr()?;
        let account = self.permitted(request.subject()).await?;
        let mut order = self.new_order(&account, request).await?;
        let answers = self.answer(&mut order, request).await?;
        let ready = self.until_ready(&mut order, request).await;
        let signed = async {
            ready?;
            order.finalize_csr(&csr).await?;
            self.until_issued(&mut order).await
        };
        // Whatever came of it, the authority has looked: the answers go while it signs.
        let (signed, ()) = futures::join!(signed, answers.withdraw());
        let pem = signed?;
        let chain = parse_chain(&pem).ok_or(Error::Str("a certificate chain in PEM"))?;
        let (issuer, account_uri) = (self.config.issuer.clone(), account.id().to_owned());
        Ok(Issued { chain, issuer, account_uri })
    }

    /// Tells the authority which certificate this one is to follow, when it wants to know (RFC 9773, section 5). That it
    /// does not is no reason to go without a certificate.
    async fn new_order(&self, account: &Account, request: &CertificateRequest) -> Result<Order, Problem> {
        let names: Vec<_> = request.subject().dns_names().into_iter().map(Identifier::Dns).collect();
        let predecessor = request.predecessor().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        if let Some(id) = predecessor {
            match account.new_order(&NewOrder::new(&names).replaces(id)).await {
                Ok(order) => return Ok(order),
                Err(Error::Api(problem)) if is_for_now(&problem) => return Err(Error::Api(problem).into()),
                Err(error) => {
                    tracing::debug!(name = %request.name(), %error, "ordering without a predecessor")
                }
            }
        }
        Ok(account.new_order(&NewOrder::new(&names)).await?)
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
        let (issuer, name) = (self.config.issuer.clone(), request.name().clone());
        IssueError::Refused { issuer, name, what: what.to_string() }
    }

    /// By the account that ordered it, which is the fleet's.
    async fn end(&self, leaf: &CertificateDer<'static>) -> Result<(), Problem> {
        let reason = Some(RevocationReason::CessationOfOperation);
        let ended = self.account().await?.revoke(&RevocationRequest { certificate: leaf, reason }).await;
        match ended {
            Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(ALREADY_REVOKED) => Ok(()),
            ended => Ok(ended?),
        }
    }

    async fn in_time<T>(
        &self,
        name: &DomainName,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, IssueError> {
        let (wish, work) = http::with_wish(work);
        match within(self.ambient.clock.as_ref(), self.config.timeout, work).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(Problem::Issue(e))) => Err(e),
            Some(Err(Problem::Acme(Error::Api(problem)))) => {
                // The authority may have forgotten the account; the next order makes sure of it again.
                *self.account.lock().await = None;
                Err(self.refusal(name, problem, wish.after()))
            }
            Some(Err(Problem::Acme(e))) => Err(self.unreachable(&e)),
            None => Err(IssueError::Timeout { issuer: self.config.issuer.clone(), name: name.clone() }),
        }
    }

    fn unreachable(&self, error: &Error) -> IssueError {
        IssueError::Unreachable { issuer: self.config.directory.clone(), what: chain_of(error) }
    }

    /// Not now is not no.
    fn refusal(
        &self,
        name: &DomainName,
        problem: instant_acme::Problem,
        wish: Option<Duration>,
    ) -> IssueError {
        let (issuer, name, what) = (self.config.issuer.clone(), name.clone(), problem.to_string());
        match problem.r#type.as_deref() {
            Some(RATE_LIMITED) => {
                IssueError::RateLimited { issuer, name, after: wish.unwrap_or(RATE_LIMIT), what }
            }
            Some(EXTERNAL_ACCOUNT_REQUIRED) => {
                let what = format!("{what}; set external_account to the account that its operator gave you");
                IssueError::Refused { issuer, name, what }
            }
            _ if is_for_now(&problem) => IssueError::Unreachable { issuer, what },
            _ => IssueError::Refused { issuer, name, what },
        }
    }
}

fn is_for_now(problem: &instant_acme::Problem) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind == RATE_LIMITED || FOR_NOW.iter().any(|word| kind.ends_with(word))
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

    fn renewal<'a>(
        &'a self,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, IssueError>> {
        self.suggested(leaf).boxed()
    }

    fn recognise<'a>(
        &'a self,
        name: &'a DomainName,
        chain: Vec<CertificateDer<'static>>,
    ) -> BoxFuture<'a, Result<Issued, IssueError>> {
        self.in_time(name, self.known(name, chain)).boxed()
    }

    fn check<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<(), IssueError>> {
        self.in_time(subject.domain(), async { self.permitted(subject).await.map(|_| ()) }).boxed()
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

/// Reads what an authority answers when an order is done: none when it is no chain, or too long a one.
pub fn parse_chain(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    if pem.len() > MAX_CHAIN_PEM {
        return None;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!chain.is_empty()).then_some(chain)
}

#[cfg(test)]
mod tests;
