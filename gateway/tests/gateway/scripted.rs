// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A chain whose answers are set by the test, and an authority that signs what it is told to.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use alloy::primitives::{Address, B256};
use futures::future::{BoxFuture, FutureExt};
use mandate_acme::{
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued},
    name::DomainName,
};
use mandate_gateway::{
    chain::{At, Chain, Holder, Undecided, Verdict},
    facts::Facts,
};
use mandate_model::{Reason, outcome::PolicyReason, wire::BlockRef};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use tokio::sync::Semaphore;

#[derive(Debug, Default)]
struct State {
    undecided: bool,
    denied: HashSet<(bool, B256)>,
    holders: HashMap<(bool, String), Address>,
    head: u64,
    remaining: Option<Duration>,
    gate: Option<Arc<Semaphore>>,
    asked: usize,
}

/// Allows every code hash that it was not told to deny.
#[derive(Debug, Default)]
pub struct ScriptedChain(Mutex<State>);

fn is_head(at: At) -> bool {
    at == At::Head
}

impl ScriptedChain {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn deny(&self, at: At, code: B256) {
        self.state().denied.insert((is_head(at), code));
    }

    pub fn set_undecided(&self, undecided: bool) {
        self.state().undecided = undecided;
    }

    pub fn set_head(&self, number: u64) {
        self.state().head = number;
    }

    pub fn set_remaining(&self, remaining: Duration) {
        self.state().remaining = Some(remaining);
    }

    /// From now on every verdict is reached at once and told only when the gate is opened.
    pub fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// How many verdicts were reached.
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    pub fn approve(&self, name: &str, app: Address) {
        for head in [false, true] {
            self.state().holders.insert((head, name.to_owned()), app);
        }
    }

    pub fn release(&self, at: At, name: &str) {
        self.state().holders.remove(&(is_head(at), name.to_owned()));
    }
}

impl Chain for ScriptedChain {
    fn decide<'a>(&'a self, facts: &'a Facts, at: At) -> BoxFuture<'a, Verdict> {
        let mut state = self.state();
        state.asked += 1;
        let gate = state.gate.clone();
        let block = BlockRef { number: state.head, hash: B256::ZERO };
        let remaining = state.remaining.unwrap_or(Duration::from_secs(1 << 32));
        let verdict = if state.undecided {
            Verdict::Undecided { why: "the endpoints do not answer".to_owned() }
        } else if state.denied.contains(&(is_head(at), facts.code_hash)) {
            Verdict::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked), block }
        } else {
            Verdict::Allowed { valid_until: remaining.as_secs(), remaining, block }
        };
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            verdict
        }
        .boxed()
    }

    fn app_of<'a>(&'a self, name: &'a DomainName, at: At) -> BoxFuture<'a, Result<Holder, Undecided>> {
        let state = self.state();
        let app = state.holders.get(&(is_head(at), name.to_string())).copied();
        let holder = Holder { app, block: BlockRef { number: state.head, hash: B256::ZERO } };
        let answer = if state.undecided {
            Err(Undecided("the endpoints do not answer".to_owned()))
        } else {
            Ok(holder)
        };
        futures::future::ready(answer).boxed()
    }
}

/// How an authority misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    Nothing,
    Refuses,
    IsAway,
    CertifiesAnotherKey,
    CertifiesMoreNames,
    Expired,
}

/// An authority of its own.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    mischief: Mutex<Mischief>,
    issued: AtomicUsize,
    revoked: Mutex<Vec<CertificateDer<'static>>>,
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCa")
    }
}

impl TestCa {
    pub fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        let (mischief, issued, revoked) =
            (Mutex::new(Mischief::Nothing), AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { issuer, root, mischief, issued, revoked })
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.root.clone()
    }

    pub fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }

    /// SHA-256 of the certificates that were revoked.
    pub fn revoked(&self) -> Vec<B256> {
        use sha2::{Digest, Sha256};
        let revoked = self.revoked.lock().unwrap();
        revoked.iter().map(|leaf| B256::from(<[u8; 32]>::from(Sha256::digest(leaf)))).collect()
    }

    pub fn set(&self, mischief: Mischief) {
        *self.mischief.lock().unwrap() = mischief;
    }

    fn sign(&self, request: &CertificateRequest) -> Result<Issued, IssueError> {
        let mischief = *self.mischief.lock().unwrap();
        self.issued.fetch_add(1, Ordering::SeqCst);
        if mischief == Mischief::Refuses {
            let (issuer, name) = ("test".to_owned(), request.name().clone());
            return Err(IssueError::Refused { issuer, name, what: "not today".to_owned() });
        }
        let csr = CertificateSigningRequestDer::from(request.csr()?);
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        csr.params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        csr.params.not_after = rcgen::date_time_ymd(2200, 1, 1);
        match mischief {
            Mischief::CertifiesMoreNames => {
                let more = rcgen::SanType::DnsName("other.test".try_into().unwrap());
                csr.params.subject_alt_names.push(more);
            }
            Mischief::Expired => csr.params.not_after = rcgen::date_time_ymd(2021, 1, 1),
            _ => {}
        }
        let certificate = match mischief {
            Mischief::CertifiesAnotherKey => {
                csr.params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap()
            }
            _ => csr.signed_by(&self.issuer).unwrap(),
        };
        let chain = vec![certificate.der().clone()];
        Ok(Issued {
            chain,
            issuer: "ca.test".to_owned(),
            account_uri: "https://ca.test/account/1".to_owned(),
        })
    }
}

impl CertificateIssuer for TestCa {
    fn issue<'a>(&'a self, request: &'a CertificateRequest) -> BoxFuture<'a, Result<Issued, IssueError>> {
        futures::future::ready(self.sign(request)).boxed()
    }

    fn revoke<'a>(
        &'a self,
        name: &'a DomainName,
        leaf: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<(), IssueError>> {
        let (issuer, what) = ("test".to_owned(), "not today".to_owned());
        let answer = match *self.mischief.lock().unwrap() {
            Mischief::IsAway => Err(IssueError::Unreachable { issuer, what }),
            Mischief::Refuses => Err(IssueError::Refused { issuer, name: name.clone(), what }),
            _ => {
                self.revoked.lock().unwrap().push(leaf.clone());
                Ok(())
            }
        };
        futures::future::ready(answer).boxed()
    }
}
