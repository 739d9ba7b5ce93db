// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An instance's TLS key, and its place in a gateway's routes.
//!
//! The gateway pins the key: what proves the instance binds its hash, so a connection that ends at this key ends in this TEE. The app
//! serves TLS with it; the certificate around it says nothing to the gateway.

use std::{fmt, time::Duration};

use mandate_model::{
    outcome::{Outcome, Reason},
    wire::gateway::{Proof, RegisterRequest, RegisterResponse, ServedCertificate},
};
use mandate_runtime::{
    Ambient,
    http::{Client, HttpError},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

mod prover;

pub use crate::certificate::CertificateError;
pub use prover::{ProofKind, Prover, Statements};

use crate::{KeyError, QuoterError, certificate::TlsKey};

/// Retries after a failed registration wait this long at first, and then twice as long each time, up to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same after a denial: what the policy says changes with a transaction, not because it is asked again.
const DENIED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// A gateway that gives no useful lease is asked again after this.
const SHORTEST_LEASE: u64 = 2;
/// How soon to ask for a certificate that another instance is about to obtain.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// A TLS key made for one run of one instance, with a certificate that it signed itself.
pub struct TlsIdentity {
    pkcs8: Zeroizing<Vec<u8>>,
    certificate: Vec<u8>,
    spki: Vec<u8>,
}

impl TlsIdentity {
    /// A fresh key with a certificate for `names`.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn generate(ambient: &Ambient, names: &[String]) -> Result<Self, CertificateError> {
        let key = TlsKey::generate(&*ambient.entropy)?;
        Ok(Self {
            pkcs8: key.pkcs8()?,
            certificate: key.self_signed(names, ambient.clock.unix())?,
            spki: key.spki()?,
        })
    }

    /// The certificate for a rustls server.
    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from(self.certificate.clone())
    }

    /// The key for a rustls server.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()).into()
    }

    /// DER of the public key, which evidence or statement binds.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity {{ spki: {}, .. }}", hex::encode(&self.spki))
    }
}

/// Why there is no route.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// No evidence.
    #[error(transparent)]
    Quoter(#[from] QuoterError),
    /// No statement.
    #[error("no statement of the committee: {0}")]
    Committee(#[from] KeyError),
    /// The gateway was not reached, or answered with an error.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The gateway verified and said no.
    #[error("{gateway} denies the route: {reason}")]
    Denied {
        /// Who.
        gateway: String,
        /// Why.
        reason: Reason,
    },
    /// The gateway could not decide.
    #[error("{gateway} cannot decide on the route: {why}")]
    Undecided {
        /// Who.
        gateway: String,
        /// Why not.
        why: String,
    },
}

/// Where and as what an instance registers.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Base URL of the gateway.
    pub gateway: String,
    /// `host:port` where the instance serves TLS.
    pub upstream: String,
    /// Domains whose TLS it ends itself.
    pub domains: Vec<String>,
    /// The certificates that it serves them with; the gateway is told of new ones at once.
    pub served: Option<watch::Receiver<Vec<ServedCertificate>>>,
}

impl Registration {
    /// Registers once. The answer's outcome is `Allowed`.
    ///
    /// # Errors
    /// When there is no route after this.
    pub async fn register(
        &self,
        http: &Client,
        identity: &TlsIdentity,
        prover: &(impl Prover + ?Sized),
    ) -> Result<RegisterResponse, RegisterError> {
        let mut request = RegisterRequest {
            proof: Proof::default(),
            spki: identity.spki().to_vec().into(),
            upstream: self.upstream.clone(),
            domains: self.domains.clone(),
            certificates: self.served.as_ref().map(|served| served.borrow().clone()).unwrap_or_default(),
        };
        request.proof = prover.prove(request.report_data()).await?;
        let url = format!("{}/v1/register", self.gateway.trim_end_matches('/'));
        let answer: RegisterResponse = http.post_json(&url, &request).await?;
        match answer.outcome.clone() {
            Outcome::Allowed { .. } => Ok(answer),
            Outcome::Denied { reason } => {
                prover.refused().await;
                Err(RegisterError::Denied { gateway: self.gateway.clone(), reason })
            }
            Outcome::Undecided { why } => {
                Err(RegisterError::Undecided { gateway: self.gateway.clone(), why })
            }
        }
    }

    /// Registers again and again until `stop` fires: at half of each lease, when there are new certificates, sooner while another
    /// instance obtains some, and with growing pauses while it fails, longer ones while it is denied. `observe` is told what came of every try.
    pub async fn keep(
        &self,
        ambient: &Ambient,
        identity: &TlsIdentity,
        prover: &(impl Prover + ?Sized),
        stop: &CancellationToken,
        mut observe: impl FnMut(&Result<RegisterResponse, RegisterError>) + Send,
    ) {
        let http = Client::new(ambient.net.clone());
        let (mut failures, mut served) = (0, self.served.clone());
        while !stop.is_cancelled() {
            if let Some(served) = &mut served {
                served.mark_unchanged();
            }
            let Some(answer) = stop.run_until_cancelled(self.register(&http, identity, prover)).await else {
                return;
            };
            let wait = match &answer {
                Ok(route) => {
                    tracing::debug!(gateway = %self.gateway, lease = route.lease, "route");
                    failures = 0;
                    let half = Duration::from_secs(route.lease.max(SHORTEST_LEASE)) / 2;
                    if route.elsewhere.is_empty() { half } else { half.min(ELSEWHERE) }
                }
                Err(error) => {
                    tracing::warn!(gateway = %self.gateway, %error, "no route");
                    let wait = error.pause(failures);
                    failures = failures.saturating_add(1);
                    wait
                }
            };
            observe(&answer);
            let news = news(answer.is_ok().then_some(&mut served));
            let wait = async {
                tokio::select! { () = ambient.clock.sleep(wait) => {}, () = news => {} }
            };
            stop.run_until_cancelled(wait).await;
        }
    }
}

/// Waits for other certificates: for ever where there are none to come, and while registering fails.
async fn news(served: Option<&mut Option<watch::Receiver<Vec<ServedCertificate>>>>) {
    let changed = match served.and_then(Option::as_mut) {
        Some(served) => served.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        futures::future::pending::<()>().await;
    }
}

impl RegisterError {
    /// How long to wait after this many failures before, and now this one.
    fn pause(&self, failures: u32) -> Duration {
        let denied = match self {
            Self::Denied { .. } => true,
            Self::Committee(error) => error.denied().is_some(),
            _ => false,
        };
        let (first, longest) = if denied { DENIED } else { BACKOFF };
        first.saturating_mul(1 << failures.min(16)).min(longest)
    }
}
