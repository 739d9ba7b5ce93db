// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Votes that passed: a relayer executes them once their veto window has ended, once, and gives up on what cannot be done.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{
        Address, B256, Bytes, U256,
        aliases::{U40, U48},
        keccak256,
    },
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::{SolCall, SolEvent},
};
use common::{World, code, database::ShiftedClock, eventually, payer, sent, world};
use mandate_model::{
    bindings::{AppAuth, AppGovernor, AppInit, GovernanceToken, GovernorSettings, KmsAuth},
    wire::relayer::RelayerStatus,
};
use mandate_relayer::{
    Config, Service, operator,
    store::{OutboxEntry, OutboxQuery},
};
use mandate_runtime::{Ambient, Clock, http::Client, net::TcpNet};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DELAY: u64 = 10;
const PERIOD: u32 = 100;
const VETO: u64 = 3_600;
/// `ProposalState`.
const QUEUED: u8 = 5;
const EXECUTED: u8 = 7;

/// A governor that owns an app, on a chain whose time is moved together with the relayer's.
struct Dao {
    world: World,
    governor: Address,
    app: Address,
    clock: Arc<ShiftedClock>,
    config: Config,
    _dir: tempfile::TempDir,
}

/// One call, as it is proposed, queued and executed.
struct Proposal {
    id: U256,
    targets: Vec<Address>,
    calls: Vec<Bytes>,
    text: String,
}

struct Running {
    url: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn governor(wallet: &DynProvider, owner: Address) -> Address {
    let token = GovernanceToken::deploy(wallet, "T".into(), "T".into(), vec![owner], vec![U256::from(100)]);
    let token = token.await.unwrap();
    sent(token.delegate(owner).send().await.unwrap()).await;
    let settings = GovernorSettings {
        votingDelay: U48::from(DELAY),
        votingPeriod: PERIOD,
        quorumNumerator: U256::from(40),
        vetoWindow: U48::from(VETO),
        proposalGuardian: owner,
        ..Default::default()
    };
    *AppGovernor::deploy(wallet, "DAO".into(), *token.address(), settings).await.unwrap().address()
}

async fn app_of(world: &World, governor: Address, salt: u8) -> Address {
    let init = AppInit {
        owner: governor,
        guardian: governor,
        notice: U40::from(1),
        codeHashes: vec![code(1)],
        anyDevice: true,
        teeKinds: vec![1],
        tcbFloor: 1,
        ..AppInit::default()
    };
    let (auth, salt) = (KmsAuth::new(world.deployment.kms_auth, &world.wallet), B256::repeat_byte(salt));
    let app = auth.predictApp(world.chain.accounts()[0], salt).call().await.unwrap();
    sent(auth.deployAndRegisterApp(init, salt).send().await.unwrap()).await;
    app
}

impl Dao {
    async fn found() -> Self {
        let world = world(2, ["", ""]).await;
        let governor = governor(&world.wallet, world.chain.accounts()[0]).await;
        let app = app_of(&world, governor, 0x60).await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = world.config(dir.path(), &[]);
        config.governance.execute = true;
        Self { world, governor, app, clock: Arc::default(), config, _dir: dir }
    }

    fn at(&self) -> AppGovernor::AppGovernorInstance<&DynProvider> {
        AppGovernor::new(self.governor, &self.world.wallet)
    }

    /// Time passes on the chain. Its blocks follow each other at once, so they are ahead of any clock.
    fn pass(&self, seconds: u64) {
        let chain = &self.world.chain;
        chain.set_next_timestamp(chain.head().timestamp() + seconds).unwrap();
        chain.mine(1);
    }

    /// Proposed, voted for and queued; all of it is final.
    async fn passes(&self, target: Address, call: impl SolCall, text: &str) -> Proposal {
        let (targets, calls) = (vec![target], vec![Bytes::from(call.abi_encode())]);
        let values = vec![U256::ZERO];
        let at = self.at();
        let propose = at.propose(targets.clone(), values.clone(), calls.clone(), text.to_owned());
        let receipt = sent(propose.send().await.unwrap()).await;
        let created =
            |log: &alloy::rpc::types::Log| AppGovernor::ProposalCreated::decode_log(&log.inner).ok();
        let id = receipt.logs().iter().find_map(created).unwrap().proposalId;
        self.pass(DELAY + 1);
        sent(at.castVote(id, 1).send().await.unwrap()).await;
        self.pass(u64::from(PERIOD) + 1);
        let queue = at.queue(targets.clone(), values, calls.clone(), keccak256(text));
        sent(queue.send().await.unwrap()).await;
        self.world.chain.mine(3);
        Proposal { id, targets, calls, text: text.to_owned() }
    }

    /// A vote to revoke the app's code.
    async fn revokes(&self, text: &str) -> Proposal {
        self.passes(self.app, AppAuth::revokeCodeCall { codeHash: code(1), rotate: false }, text).await
    }

    async fn state(&self, proposal: &Proposal) -> u8 {
        self.at().state(proposal.id).call().await.unwrap()
    }

    async fn relayer(&self) -> Running {
        let ambient = Ambient { clock: Arc::clone(&self.clock) as Arc<dyn Clock>, ..Ambient::system() };
        let service = Service::start(self.config.clone(), ambient, self.world.endpoints()).await.unwrap();
        let url = format!("http://{}/v1/status", service.address());
        let stop = CancellationToken::new();
        let task = tokio::spawn(service.run(stop.clone()));
        Running { url, stop, task }
    }

    async fn of_kind(&self, kind: &str) -> Vec<OutboxEntry> {
        let store = operator::open(&self.config, Arc::clone(&self.clock) as Arc<dyn Clock>).await.unwrap();
        let query = OutboxQuery { kind: Some(kind.to_owned()), limit: 100, ..OutboxQuery::default() };
        store.outbox(query).await.unwrap()
    }

    /// Whether the only effect of this kind is in this state.
    async fn is(&self, kind: &str, state: &str) -> bool {
        let found = self.of_kind(kind).await;
        found.len() == 1 && found[0].state.as_str() == state
    }

    /// Transactions that the relayer has paid for.
    async fn paid(&self) -> u64 {
        self.world.provider().get_transaction_count(payer().address()).await.unwrap()
    }

    async fn executions(&self) -> usize {
        let filter = Filter::new()
            .address(self.governor)
            .event_signature(AppGovernor::ProposalExecuted::SIGNATURE_HASH)
            .from_block(0);
        self.world.provider().get_logs(&filter).await.unwrap().len()
    }
}

impl Running {
    /// Until everything that the chain has is processed, the final part as such.
    async fn caught_up(&self, dao: &Dao) {
        let head = dao.world.chain.head().number();
        eventually("the chain is processed", || async {
            let status: RelayerStatus = Client::new(Arc::new(TcpNet)).get_json(&self.url).await.unwrap();
            status.head >= head && status.finalized + 2 >= head
        })
        .await;
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn proposal_that_has_passed_is_executed_when_its_veto_window_has_ended_and_once() {
    let mut dao = Dao::found().await;
    dao.config.governance.contracts = [dao.governor].into();
    let relayer = dao.relayer().await;
    let proposal = dao.revokes("revoke").await;
    relayer.caught_up(&dao).await;
    let eta: u64 = dao.at().proposalEta(proposal.id).call().await.unwrap().to();
    let waiting = dao.of_kind("check_passed").await;
    assert_eq!((waiting.len(), waiting[0].state.as_str(), waiting[0].not_before), (1, "pending", eta));
    assert_eq!(waiting[0].attempts, 0, "it is not even asked for before");

    // The relayer's clock is ahead of the chain: too early is no reason to give up.
    dao.clock.shift(Duration::from_secs(VETO + 600));
    eventually("the contract says that it is too early", || async {
        let waiting = dao.of_kind("check_passed").await;
        waiting[0].last_error.as_deref().is_some_and(|error| error.contains("VetoWindowOpen"))
    })
    .await;
    assert_eq!((dao.state(&proposal).await, dao.paid().await), (QUEUED, 0));

    dao.pass(VETO + 60);
    eventually("the execution", || async { dao.state(&proposal).await == EXECUTED }).await;
    dao.world.chain.mine(4);
    eventually("it is noted", || dao.is("execution", "done")).await;
    assert!(dao.is("check_passed", "done").await);
    // The same database again: what is done is not done again.
    relayer.end().await;
    dao.world.chain.mine(4);
    let relayer = dao.relayer().await;
    relayer.caught_up(&dao).await;
    assert_eq!((dao.executions().await, dao.paid().await), (1, 1));
    relayer.end().await;
}

#[tokio::test]
async fn proposal_that_cannot_be_executed_is_given_up_and_costs_nothing() {
    const ATTEMPTS: u32 = 5;
    let mut dao = Dao::found().await;
    dao.config.governance.contracts = [dao.governor].into();
    dao.config.effects.attempts = ATTEMPTS;
    // Another's app: it will always refuse.
    let call = AppAuth::revokeCodeCall { codeHash: code(1), rotate: false };
    let proposal = dao.passes(dao.world.app, call, "not ours").await;
    dao.pass(VETO + 60);
    dao.clock.shift(Duration::from_secs(VETO + 600));
    let relayer = dao.relayer().await;
    eventually("it is given up", || dao.is("check_passed", "failed")).await;
    let entry = dao.of_kind("check_passed").await.remove(0);
    assert_eq!(entry.attempts, ATTEMPTS, "{entry:?}");
    // Neither more blocks nor another start bring it back; an operator may.
    relayer.end().await;
    dao.pass(600);
    dao.world.chain.mine(4);
    dao.clock.shift(Duration::from_secs(86_400));
    let relayer = dao.relayer().await;
    relayer.caught_up(&dao).await;
    let entry = dao.of_kind("check_passed").await.remove(0);
    assert_eq!((entry.state.as_str(), entry.attempts), ("failed", ATTEMPTS));
    assert_eq!((dao.state(&proposal).await, dao.paid().await), (QUEUED, 0));
    relayer.end().await;
}

#[tokio::test]
async fn proposal_that_was_vetoed_or_executed_by_somebody_else_is_left_alone() {
    let mut dao = Dao::found().await;
    dao.config.governance.contracts = [dao.governor].into();
    let relayer = dao.relayer().await;
    let (vetoed, executed) = (dao.revokes("vetoed").await, dao.revokes("executed").await);
    relayer.caught_up(&dao).await;
    let (at, none) = (dao.at(), vec![U256::ZERO]);
    let Proposal { targets, calls, text, .. } = &vetoed;
    let cancel = at.cancel(targets.clone(), none.clone(), calls.clone(), keccak256(text));
    sent(cancel.send().await.unwrap()).await;
    dao.pass(VETO + 60);
    let Proposal { targets, calls, text, .. } = &executed;
    sent(at.execute(targets.clone(), none, calls.clone(), keccak256(text)).send().await.unwrap()).await;
    dao.clock.shift(Duration::from_secs(VETO + 600));
    eventually("both are looked at", || async {
        dao.of_kind("check_passed").await.iter().filter(|entry| entry.state.as_str() == "done").count() == 2
    })
    .await;
    assert!(dao.of_kind("execution").await.is_empty());
    assert_eq!((dao.state(&executed).await, dao.executions().await, dao.paid().await), (EXECUTED, 1, 0));
    relayer.end().await;
}

#[tokio::test]
async fn governor_that_nobody_named_is_found_by_the_app_it_owns_when_that_is_wanted() {
    let mut dao = Dao::found().await;
    let old = dao.revokes("in the past").await;
    // Far enough back that it is read in ranges.
    dao.world.chain.mine(150);
    let relayer = dao.relayer().await;
    relayer.caught_up(&dao).await;
    assert!(dao.of_kind("check_passed").await.is_empty(), "it is neither named nor looked for");
    relayer.end().await;

    let path = dao.config.store.path.as_mut().unwrap();
    path.set_file_name("another.sqlite");
    dao.config.governance.discover = true;
    let relayer = dao.relayer().await;
    relayer.caught_up(&dao).await;
    assert_eq!(dao.of_kind("check_passed").await.len(), 1);
    dao.pass(VETO + 60);
    dao.clock.shift(Duration::from_secs(VETO + 600));
    eventually("the old proposal is executed", || async { dao.state(&old).await == EXECUTED }).await;

    // Another governor, whose app is registered while the relayer follows.
    dao.governor = governor(&dao.world.wallet, dao.world.chain.accounts()[0]).await;
    dao.app = app_of(&dao.world, dao.governor, 0x61).await;
    let new = dao.revokes("now").await;
    dao.pass(VETO + 60);
    dao.clock.shift(Duration::from_secs(VETO + 600));
    eventually("the new one is executed", || async { dao.state(&new).await == EXECUTED }).await;
    assert_eq!(dao.paid().await, 2);
    relayer.end().await;
}
