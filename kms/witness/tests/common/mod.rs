// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A world of accounts with real headers and proofs, and endpoints onto it that can lie, lag and fail.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use alloy::{
    consensus::Header,
    primitives::{Address, B256, Bytes, U256, hex, keccak256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rlp::encode,
    rpc::{
        client::RpcClient,
        json_rpc::{
            ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest,
        },
        types,
    },
    transports::{TransportError, TransportFut},
};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles, TrieAccount, proof::ProofRetainer};
use mandate_witness::{BlockRef, ViewCall};
use serde_json::{Value, json};

pub const CHAIN_ID: u64 = 31337;

/// `value(bytes32 slot)`: the slot's value.
pub const READER: &str = "600435545f5260205ff3";
/// The value of the slot that the slot names.
pub const CHASER: &str = "60043554545f5260205ff3";
/// The sum of a slot and the next.
pub const ADDER: &str = "60043580549060010154015f5260205ff3";
/// Delegates every call to the address in slot 0 and passes on what comes back, reverts too.
pub const PROXY: &str = "365f5f375f5f365f5f545af43d5f5f3e6016573d5ffd5b3d5ff3";
/// The balance of the account in the argument.
pub const BALANCE: &str = "600435315f5260205ff3";
/// Its code's length.
pub const CODE_SIZE: &str = "6004353b5f5260205ff3";
/// SHA-256 of nothing, by the precompile.
pub const SHA256: &str = "60205f5f5f60025afa5060205ff3";
/// Hash of the block before.
pub const BLOCK_HASH: &str = "60014303405f5260205ff3";
/// Reverts with deadbeef.
pub const REVERTER: &str = "63deadbeef60e01b5f5260045ffd";
/// Never ends.
pub const ENDLESS: &str = "5b5f56";
/// Calls itself with all gas and answers one more than what it was answered.
pub const DIVER: &str = "60205f5f5f5f305af15060015f51015f5260205ff3";
/// timestamp, number, coinbase, basefee, prevrandao, chain id, gas price, caller.
pub const ENVIRONMENT: &str = "425f52436020524160405248606052446080524660a0523a60c0523360e0526101005ff3";

#[derive(Debug, Clone, Default)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    pub code: Bytes,
    pub storage: BTreeMap<B256, U256>,
}

impl Account {
    pub fn contract(code: &str) -> Self {
        let code = hex::decode(code).unwrap().into();
        Self { nonce: 1, code, ..Self::default() }
    }

    pub fn with(mut self, slot: u64, value: U256) -> Self {
        self.storage.insert(B256::from(U256::from(slot)), value);
        self
    }

    fn storage_leaves(&self) -> BTreeMap<B256, Vec<u8>> {
        self.storage.iter().filter(|(_, v)| !v.is_zero()).map(|(k, v)| (keccak256(k), encode(v))).collect()
    }

    fn leaf(&self) -> Vec<u8> {
        let code_hash = if self.code.is_empty() { KECCAK_EMPTY } else { keccak256(&self.code) };
        let storage_root = prove(&self.storage_leaves(), B256::ZERO).0;
        encode(TrieAccount { nonce: self.nonce, balance: self.balance, storage_root, code_hash })
    }
}

pub type State = BTreeMap<Address, Account>;

fn prove(leaves: &BTreeMap<B256, Vec<u8>>, target: B256) -> (B256, Vec<Bytes>) {
    if leaves.is_empty() {
        return (EMPTY_ROOT_HASH, Vec::new());
    }
    let target = Nibbles::unpack(target);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    leaves.iter().for_each(|(key, value)| builder.add_leaf(Nibbles::unpack(key), value));
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    (root, nodes.matching_nodes_sorted(&target).into_iter().map(|(_, node)| node).collect())
}

fn state_leaves(state: &State) -> BTreeMap<B256, Vec<u8>> {
    state.iter().map(|(address, account)| (keccak256(address), account.leaf())).collect()
}

#[derive(Debug, Clone)]
pub struct Block {
    pub header: Header,
    pub state: State,
}

impl Block {
    pub fn at(&self) -> BlockRef {
        BlockRef { number: self.header.number, hash: self.header.hash_slow() }
    }

    pub fn header_rlp(&self) -> Vec<u8> {
        encode(&self.header)
    }
}

/// A chain: blocks with their states, and how far below the head finality is.
#[derive(Debug, Clone, Default)]
pub struct World {
    pub blocks: Vec<Block>,
    pub lag: u64,
}

impl World {
    pub fn new(state: State) -> Self {
        let mut world = Self { blocks: Vec::new(), lag: 2 };
        world.mine(state);
        world
    }

    pub fn mine(&mut self, state: State) -> &Block {
        let number = self.blocks.len() as u64;
        self.mine_fork(state, number)
    }

    /// Blocks with different `salt` have different hashes.
    pub fn mine_fork(&mut self, state: State, salt: u64) -> &Block {
        let number = self.blocks.len() as u64;
        let header = Header {
            parent_hash: self.blocks.last().map_or(B256::ZERO, |b| b.header.hash_slow()),
            number,
            timestamp: 1_700_000_000 + 12 * number,
            state_root: prove(&state_leaves(&state), B256::ZERO).0,
            beneficiary: Address::repeat_byte(0xcb),
            mix_hash: B256::repeat_byte(0x3a),
            base_fee_per_gas: Some(7),
            gas_limit: 30_000_000,
            withdrawals_root: Some(EMPTY_ROOT_HASH),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::from(U256::from(salt))),
            ..Header::default()
        };
        self.blocks.push(Block { header, state });
        self.head()
    }

    pub fn grow(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.mine(self.head().state.clone());
        }
    }

    pub fn head(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    pub fn finalized(&self) -> Option<&Block> {
        let number = self.head().header.number.checked_sub(self.lag)?;
        self.blocks.get(number as usize)
    }

    fn block(&self, tag: &Value) -> Option<&Block> {
        match tag {
            Value::Object(id) => self.by_hash(&id["blockHash"]),
            Value::String(tag) => match tag.as_str() {
                "latest" => self.blocks.last(),
                "finalized" => self.finalized(),
                hash if hash.len() == 66 => self.by_hash(&json!(hash)),
                n => self.blocks.get(usize::from_str_radix(n.trim_start_matches("0x"), 16).unwrap()),
            },
            _ => None,
        }
    }

    fn by_hash(&self, hash: &Value) -> Option<&Block> {
        let hash: B256 = serde_json::from_value(hash.clone()).unwrap();
        self.blocks.iter().find(|b| b.header.hash_slow() == hash)
    }

    fn answer(&self, method: &str, params: &Value) -> Value {
        let block_json = |block: Option<&Block>| match block {
            Some(block) => {
                let block: types::Block = types::Block::empty(types::Header::new(block.header.clone()));
                serde_json::to_value(block).unwrap()
            }
            None => Value::Null,
        };
        match method {
            "eth_chainId" => json!(format!("0x{CHAIN_ID:x}")),
            "eth_getBlockByNumber" => block_json(self.block(&params[0])),
            "eth_getBlockByHash" => block_json(self.by_hash(&params[0])),
            "eth_getCode" => {
                let address: Address = serde_json::from_value(params[0].clone()).unwrap();
                let state = &self.block(&params[1]).unwrap().state;
                json!(state.get(&address).map(|a| a.code.clone()).unwrap_or_default())
            }
            "eth_getProof" => {
                let address: Address = serde_json::from_value(params[0].clone()).unwrap();
                let keys: Vec<B256> = serde_json::from_value(params[1].clone()).unwrap();
                account_proof(&self.block(&params[2]).unwrap().state, address, &keys)
            }
            other => panic!("nobody should ask for {other}"),
        }
    }
}

fn account_proof(state: &State, address: Address, keys: &[B256]) -> Value {
    let (_, proof) = prove(&state_leaves(state), keccak256(address));
    let account = state.get(&address).cloned().unwrap_or_default();
    let leaves = account.storage_leaves();
    let storage: Vec<Value> = keys
        .iter()
        .map(|key| {
            let value = account.storage.get(key).copied().unwrap_or_default();
            json!({ "key": key, "value": value, "proof": prove(&leaves, keccak256(key)).1 })
        })
        .collect();
    json!({
        "address": address,
        "balance": account.balance,
        "nonce": format!("0x{:x}", account.nonce),
        "codeHash": keccak256(&account.code),
        "storageHash": prove(&leaves, B256::ZERO).0,
        "accountProof": proof,
        "storageProof": storage,
    })
}

type Tamper = Box<dyn Fn(&str, &mut Value) + Send>;

#[derive(Default)]
struct Inner {
    world: World,
    tamper: Option<Tamper>,
    silent: bool,
    requests: Vec<(String, Value)>,
}

/// An endpoint; clones are the same one.
#[derive(Clone, Default)]
pub struct Node(Arc<Mutex<Inner>>);

impl Node {
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(Inner { world, ..Inner::default() })))
    }

    pub fn provider(&self) -> DynProvider {
        ProviderBuilder::new().connect_client(RpcClient::new(self.clone(), true)).erased()
    }

    pub fn update(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.0.lock().unwrap().world);
    }

    /// Lets this endpoint change its answers.
    pub fn lie(&self, tamper: impl Fn(&str, &mut Value) + Send + 'static) {
        self.0.lock().unwrap().tamper = Some(Box::new(tamper));
    }

    /// Lets this endpoint accept requests and never answer.
    pub fn fall_silent(&self) {
        self.0.lock().unwrap().silent = true;
    }

    pub fn calls(&self) -> Vec<String> {
        self.requests().into_iter().map(|(method, _)| method).collect()
    }

    /// What was asked, with its parameters.
    pub fn requests(&self) -> Vec<(String, Value)> {
        self.0.lock().unwrap().requests.clone()
    }

    pub fn forget_requests(&self) {
        self.0.lock().unwrap().requests.clear();
    }

    fn one(&self, request: &SerializedRequest) -> Option<Response> {
        let mut inner = self.0.lock().unwrap();
        if inner.silent {
            return None;
        }
        let params = request.params().map_or(Value::Null, |p| serde_json::from_str(p.get()).unwrap());
        inner.requests.push((request.method().to_owned(), params.clone()));
        let mut answer = inner.world.answer(request.method(), &params);
        if let Some(tamper) = &inner.tamper {
            tamper(request.method(), &mut answer);
        }
        let payload = match answer.get("error").and_then(Value::as_str) {
            Some(message) => ResponsePayload::Failure(ErrorPayload {
                code: -32000,
                message: message.to_owned().into(),
                data: None,
            }),
            None => ResponsePayload::Success(serde_json::value::to_raw_value(&answer).unwrap()),
        };
        Some(Response { id: request.id().clone(), payload })
    }
}

impl tower::Service<RequestPacket> for Node {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> TransportFut<'static> {
        let node = self.clone();
        Box::pin(async move {
            let answers: Option<Vec<Response>> = request.requests().iter().map(|r| node.one(r)).collect();
            match (answers, request) {
                (None, _) => std::future::pending().await,
                (Some(mut answers), RequestPacket::Single(_)) => {
                    Ok(ResponsePacket::Single(answers.remove(0)))
                }
                (Some(answers), RequestPacket::Batch(_)) => Ok(ResponsePacket::Batch(answers)),
            }
        })
    }
}

pub fn contract(n: u8) -> Address {
    Address::repeat_byte(n)
}

/// A call with one 32-byte argument, as `value(bytes32)` has it.
pub fn call(to: Address, argument: impl Into<U256>) -> ViewCall {
    let mut data = keccak256("value(bytes32)")[..4].to_vec();
    data.extend_from_slice(&B256::from(argument.into())[..]);
    ViewCall { to, data: data.into() }
}

/// Contracts of every kind among a crowd, so that the tries have branches, extensions and leaves.
pub fn state() -> State {
    state_among(200)
}

/// Likewise among so many other accounts.
pub fn state_among(others: u64) -> State {
    let mut state: State = (0..others)
        .map(|n| {
            let account = Account { balance: U256::from(n + 1), ..Account::default() };
            (Address::from_word(keccak256(n.to_be_bytes())), account)
        })
        .collect();
    let crowded = |code| (0..100).fold(Account::contract(code), |a, n| a.with(n, U256::from(1000 + n)));
    state.insert(contract(1), crowded(READER));
    state.insert(contract(2), Account::contract(CHASER).with(1, U256::from(2)).with(2, U256::from(77)));
    state.insert(
        contract(3),
        Account::contract(PROXY).with(0, contract(1).into_word().into()).with(5, U256::from(55)),
    );
    state.insert(contract(4), Account::contract(BALANCE));
    state.insert(contract(5), Account::contract(CODE_SIZE));
    state.insert(contract(6), Account::contract(SHA256));
    state.insert(contract(7), Account::contract(BLOCK_HASH));
    state.insert(contract(8), Account::contract(REVERTER));
    state.insert(contract(9), Account::contract(ENDLESS));
    state.insert(contract(10), Account::contract(ENVIRONMENT));
    state.insert(contract(12), crowded(ADDER));
    state.insert(contract(13), Account::contract(DIVER));
    state.insert(contract(11), Account::contract(PROXY).with(0, contract(8).into_word().into()));
    state
}
