// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random contracts, states and calls: what is executed on proofs alone is what `eth_call` says, on the dev chain and on
//! anvil.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod assembly;
mod solidity;

use std::{
    env::consts::{ARCH, OS},
    path::{Path, PathBuf},
};

use alloy::{
    node_bindings::{Anvil, AnvilInstance},
    primitives::{Address, B256, Bytes, U256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::TransactionRequest,
    sol_types::{SolCall, SolValue},
};
use mandate_devchain::{Config, DevChain};
use mandate_witness::{
    BlockRef, ChainSpec, Known, ProofCache, Undecided, ViewCall, Witness, build, build_beyond, execute,
    execute_beyond,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as RunnerConfig, RngAlgorithm, TestRng, TestRunner},
};
use solidity::Differ;

const CHAIN: u64 = 31337;

/// A chain to compare with: something that executes transactions, proves state and answers `eth_call`.
struct Rival {
    provider: DynProvider,
    sender: Address,
    cache: ProofCache,
    compared: usize,
    reverted: usize,
    /// Ends with it.
    _anvil: Option<AnvilInstance>,
}

impl Rival {
    fn devchain() -> Self {
        let chain = DevChain::new(Config::default()).unwrap();
        Self::new(chain.wallet_provider(), chain.accounts()[0], None)
    }

    async fn anvil() -> Self {
        let anvil = Anvil::at(foundry("anvil"))
            .args(["--hardfork", "cancun", "--gas-limit", "30000000", "--disable-default-create2-deployer"])
            .try_spawn()
            .unwrap();
        let provider = ProviderBuilder::new()
            .with_simple_nonce_management()
            .wallet(alloy::network::EthereumWallet::from(alloy::signers::local::PrivateKeySigner::from(
                anvil.keys()[0].clone(),
            )))
            .connect_http(anvil.endpoint_url())
            .erased();
        let sender = anvil.addresses()[0];
        Self::new(provider, sender, Some(anvil))
    }

    fn new(provider: DynProvider, sender: Address, anvil: Option<AnvilInstance>) -> Self {
        provider.client().set_poll_interval(std::time::Duration::from_millis(10));
        Self { provider, sender, cache: ProofCache::default(), compared: 0, reverted: 0, _anvil: anvil }
    }

    async fn deploy(&self, init: Vec<u8>, value: u64) -> Address {
        let request =
            TransactionRequest::default().from(self.sender).value(U256::from(value)).input(init.into());
        let request = TransactionRequest { to: Some(alloy::primitives::TxKind::Create), ..request };
        let receipt = self.provider.send_transaction(request).await.unwrap().get_receipt().await.unwrap();
        assert!(receipt.status());
        receipt.contract_address.unwrap()
    }

    async fn send(&self, to: Address, data: Vec<u8>) {
        let request = TransactionRequest::default().from(self.sender).to(to).input(data.into());
        // What cannot succeed, as a `pop` of nothing, leaves the state as it is.
        if let Ok(sent) = self.provider.send_transaction(request).await {
            sent.get_receipt().await.unwrap();
        }
    }

    async fn head(&self) -> BlockRef {
        let block = self.provider.get_block_by_number(Default::default()).await.unwrap().unwrap();
        BlockRef { number: block.header.number, hash: block.header.hash }
    }

    /// `Ok` with the answer, `Err` with the revert data, nothing when the call failed otherwise.
    async fn eth_call(&self, block: BlockRef, call: &ViewCall) -> Option<Result<Bytes, Bytes>> {
        let request = TransactionRequest::default().to(call.to).input(call.data.clone().into());
        match self.provider.call(request).block(block.hash.into()).await {
            Ok(answer) => Some(Ok(answer)),
            Err(error) => {
                let payload = error.as_error_resp().unwrap_or_else(|| panic!("{error}"));
                payload.as_revert_data().map(Err)
            }
        }
    }

    async fn compare(&mut self, to: Address, data: Vec<u8>) {
        let (block, call) = (self.head().await, ViewCall { to, data: data.into() });
        let expected = self.eth_call(block, &call).await;
        let spec = ChainSpec::dev(CHAIN);
        let witness = build(&self.provider, &spec, block.hash, &call).await.unwrap();
        let witness = Witness::decode(&witness.encode()).unwrap();
        let verified = execute(&witness, block, &spec, &call);
        let got = match &verified {
            Ok(answer) => Some(Ok(answer.clone())),
            Err(Undecided::Reverted { data }) => Some(Err(data.clone())),
            Err(Undecided::Halted { .. }) => None,
            Err(other) => panic!("{call:?}: {other}"),
        };
        assert_eq!(got, expected, "{call:?} at {block:?}");
        self.compared += 1;
        self.reverted += usize::from(verified.is_err());
        self.compare_cached(block, &call, verified).await;
    }

    /// The same with what earlier calls and blocks left behind.
    async fn compare_cached(&self, block: BlockRef, call: &ViewCall, plain: Result<Bytes, Undecided>) {
        let spec = ChainSpec::dev(CHAIN);
        let known: Known = self.cache.known(call);
        let witness = build_beyond(&known, &self.provider, &spec, block.hash, call).await.unwrap();
        let cached = execute_beyond(&known, &witness, block, &spec, call);
        if let Ok(execution) = &cached {
            self.cache.keep(call, execution);
        }
        assert_eq!(cached.map(|execution| execution.output().clone()), plain, "{call:?} at {block:?}");
    }
}

/// The binary of a pinned Foundry tool, as `npm install` puts it there.
fn foundry(tool: &str) -> PathBuf {
    let system = if OS == "macos" { "darwin" } else { OS };
    let machine = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let package = format!("{tool}-{system}-{machine}");
    let path = root.join("node_modules/@foundry-rs").join(package).join("bin").join(tool);
    assert!(path.exists(), "{} is missing: run `npm ci` at the root of the repository", path.display());
    path
}

fn runner() -> TestRunner {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    TestRunner::new_with_rng(RunnerConfig::default(), rng)
}

fn draw<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// Contracts that call those before them, in random bytecode.
async fn random_bytecode(rival: &mut Rival, contracts: usize) {
    let mut runner = runner();
    let mut deployed = vec![rival.sender, Address::repeat_byte(0xdd)];
    for n in 0..contracts {
        let contract = draw(&mut runner, assembly::contract());
        let address = rival.deploy(contract.init(&deployed), 0).await;
        deployed.push(address);
        for argument in 0..4 {
            let argument =
                if argument == 3 { draw(&mut runner, any::<u64>()) } else { argument * 2 + n as u64 % 2 };
            rival.compare(address, assembly::argument(argument)).await;
        }
    }
    // The early ones again, at a later block.
    for address in deployed.iter().skip(2).take(6) {
        rival.compare(*address, assembly::argument(1)).await;
    }
}

/// A compiled contract under random writes.
async fn compiled(rival: &mut Rival, rounds: usize) {
    let (library, differ) = solidity::compile();
    let library = rival.deploy(library, 0).await;
    let at = rival.deploy([differ, library.abi_encode()].concat(), 1234).await;
    let mut runner = runner();
    let word = |n: u8| B256::repeat_byte(n);
    for _ in 0..rounds {
        let (n, small, bytes) =
            draw(&mut runner, (any::<u64>(), 0u8..5, proptest::collection::vec(any::<u8>(), 0..80)));
        let (who, few) = ([rival.sender, at, library][usize::from(small) % 3], U256::from(small));
        let write = match n % 6 {
            0 => Differ::putCall { who, n: few, left: u128::from(n), right: n }.abi_encode(),
            1 | 2 => Differ::addCall { value: U256::from(n) }.abi_encode(),
            3 => Differ::dropCall {}.abi_encode(),
            4 => Differ::sayCall { text: "é".repeat(bytes.len() / 2) }.abi_encode(),
            _ => Differ::storeCall { key: word(small), value: bytes.into() }.abi_encode(),
        };
        rival.send(at, write).await;
        for call in [
            Differ::pairCall { who, n: few }.abi_encode(),
            Differ::atCall { n: few }.abi_encode(),
            Differ::allCall {}.abi_encode(),
            Differ::blobCall { key: word(small) }.abi_encode(),
            Differ::delegatedCall { upTo: few }.abi_encode(),
            Differ::looksCall { who }.abi_encode(),
            Differ::diveCall { n: few }.abi_encode(),
            Differ::recoverCall { hash: word(1), v: 27, r: word(2), s: word(small) }.abi_encode(),
            Differ::triesCall { n: few }.abi_encode(),
            vec![small; 3],
        ] {
            rival.compare(at, call).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_random_contracts_are_executed_as_the_dev_chain_executes_them() {
    let mut rival = Rival::devchain();
    random_bytecode(&mut rival, 120).await;
    assert!(rival.compared > 480 && rival.reverted > 20, "{} of {}", rival.reverted, rival.compared);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_random_contracts_are_executed_as_anvil_executes_them() {
    let mut rival = Rival::anvil().await;
    random_bytecode(&mut rival, 40).await;
    assert!(rival.compared > 160 && rival.reverted > 0, "{} of {}", rival.reverted, rival.compared);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_compiled_contracts_are_executed_as_the_dev_chain_executes_them() {
    let mut rival = Rival::devchain();
    compiled(&mut rival, 40).await;
    assert!(rival.compared == 400 && rival.reverted > 40, "{} of {}", rival.reverted, rival.compared);
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_compiled_contracts_are_executed_as_anvil_executes_them() {
    let mut rival = Rival::anvil().await;
    compiled(&mut rival, 15).await;
    assert!(rival.compared == 150 && rival.reverted > 15, "{} of {}", rival.reverted, rival.compared);
}
