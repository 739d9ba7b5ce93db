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
    issuer::{CertificateIssuer, CertificateRequest, IssueError, Issued, RenewalWindow},
    name::{DomainName, Subject},
};
use mandate_gateway::{
    chain::{At, Chain, GroupKeys, Holder, Standing, Undecided, Verdict},
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
    standings: HashMap<(bool, Address), Standing>,
    head: u64,
    remaining: Option<Duration>,
    gate: Option<Arc<Semaphore>>,
    asked: usize,
    keys: HashMap<bool, Vec<[u8; 48]>>,
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

    /// The committee's keys; an empty list is a committee that cannot be read.
    pub fn sign_with(&self, at: At, keys: &[[u8; 48]]) {
        self.state().keys.insert(is_head(at), keys.to_vec());
    }

    pub fn stands(&self, at: At, app: Address, standing: Standing) {
        self.state().standings.insert((is_head(at), app), standing);
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

    fn group_keys(&self, at: At) -> BoxFuture<'_, Result<GroupKeys, Undecided>> {
        let state = self.state();
        let keys = state.keys.get(&is_head(at)).cloned().unwrap_or_default();
        let block = BlockRef { number: state.head, hash: B256::ZERO };
        let answer = match keys.is_empty() {
            true => Err(Undecided("the committee cannot be read".to_owned())),
            false => Ok(GroupKeys { keys, block }),
        };
        futures::future::ready(answer).boxed()
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

    fn standing(&self, app: Address, at: At) -> BoxFuture<'_, Result<Standing, Undecided>> {
        let state = self.state();
        let standing = state.standings.get(&(is_head(at), app)).copied().unwrap_or(Standing::Active);
        let answer = match state.undecided {
            true => Err(Undecided("the endpoints do not answer".to_owned())),
            false => Ok(standing),
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
    /// Wants to be left alone for so many seconds.
    Limits(u64),
    /// Takes an order and never answers.
    Hangs,
}

/// The renewal window that an authority suggests, as seconds from now, and when to ask again.
pub type Window = Result<Option<RenewalWindow>, ()>;

/// An authority of its own.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    mischief: Mutex<Mischief>,
    issued: AtomicUsize,
    revoked: Mutex<Vec<CertificateDer<'static>>>,
    life: Mutex<(i32, i32)>,
    window: Mutex<Window>,
    asked: AtomicUsize,
    checked: AtomicUsize,
    caa: Mutex<Option<String>>,
    predecessors: Mutex<Vec<Option<CertificateDer<'static>>>>,
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
        Arc::new(Self {
            issuer,
            root,
            mischief: Mutex::new(Mischief::Nothing),
            issued: AtomicUsize::new(0),
            revoked: Mutex::default(),
            life: Mutex::new((2020, 2200)),
            window: Mutex::new(Ok(None)),
            asked: AtomicUsize::new(0),
            checked: AtomicUsize::new(0),
            caa: Mutex::default(),
            predecessors: Mutex::default(),
        })
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

    /// Years with whose beginnings its certificates begin and end.
    pub fn set_life(&self, from: i32, to: i32) {
        *self.life.lock().unwrap() = (from, to);
    }

    pub fn suggest(&self, window: Window) {
        *self.window.lock().unwrap() = window;
    }

    /// How often it was asked for a window.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How often DNS was looked at.
    pub fn checked(&self) -> usize {
        self.checked.load(Ordering::SeqCst)
    }

    pub fn set_caa(&self, problem: Option<&str>) {
        *self.caa.lock().unwrap() = problem.map(str::to_owned);
    }

    /// Which certificates the ones that were asked for are to replace.
    pub fn predecessors(&self) -> Vec<Option<CertificateDer<'static>>> {
        self.predecessors.lock().unwrap().clone()
    }

    /// A certificate for whatever names and key, as an instance obtains it by itself; the number of its order tells it from others.
    pub fn certify(&self, names: &[&str], key: &KeyPair) -> CertificateDer<'static> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let (from, to) = *self.life.lock().unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }

    fn sign(&self, request: &CertificateRequest) -> Result<Issued, IssueError> {
        let mischief = *self.mischief.lock().unwrap();
        self.issued.fetch_add(1, Ordering::SeqCst);
        self.predecessors.lock().unwrap().push(request.predecessor().cloned());
        if let Mischief::Limits(seconds) = mischief {
            let (issuer, name, after) =
                ("test".to_owned(), request.name().clone(), Duration::from_secs(seconds));
            return Err(IssueError::RateLimited { issuer, name, after, what: "too many".to_owned() });
        }
        if mischief == Mischief::Refuses {
            let (issuer, name) = ("test".to_owned(), request.name().clone());
            return Err(IssueError::Refused { issuer, name, what: "not today".to_owned() });
        }
        let csr = CertificateSigningRequestDer::from(request.csr()?);
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        let (from, to) = *self.life.lock().unwrap();
        csr.params.not_before = rcgen::date_time_ymd(from, 1, 1);
        csr.params.not_after = rcgen::date_time_ymd(to, 1, 1);
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
        let signed = self.sign(request);
        match *self.mischief.lock().unwrap() {
            Mischief::Hangs => futures::future::pending().boxed(),
            _ => futures::future::ready(signed).boxed(),
        }
    }

    fn renewal<'a>(
        &'a self,
        _: &'a CertificateDer<'static>,
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, IssueError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let away = |()| IssueError::Unreachable { issuer: "test".to_owned(), what: "not today".to_owned() };
        futures::future::ready((*self.window.lock().unwrap()).map_err(away)).boxed()
    }

    fn check<'a>(&'a self, subject: &'a Subject) -> BoxFuture<'a, Result<(), IssueError>> {
        self.checked.fetch_add(1, Ordering::SeqCst);
        let problem = self.caa.lock().unwrap().clone();
        let name = subject.domain().clone();
        let answer = problem.map_or(Ok(()), |what| Err(IssueError::Caa { name, what }));
        futures::future::ready(answer).boxed()
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
