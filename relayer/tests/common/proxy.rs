// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A JSON-RPC endpoint that lies, lags, flaps, limits, cuts, hangs or talks nonsense in front of an honest one: as an alloy
//! transport, or over HTTP and WebSocket (`server`). With no fault it passes everything on.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use alloy::{
    consensus::constants::EMPTY_ROOT_HASH,
    primitives::{B256, Bloom, Bytes},
    providers::{DynProvider, Provider},
    rpc::{
        json_rpc::{ErrorPayload, RequestPacket, Response, ResponsePacket, ResponsePayload, RpcError},
        types::Block,
    },
    transports::{TransportError, TransportErrorKind, TransportFut, TransportResult},
};
use serde_json::{Value, json};
use tower::Service;

pub use faults::*;

mod faults;
pub mod server;

/// What it answers.
pub enum Answer {
    Result(Value),
    Error(i64, String),
    Status(u16, String),
    Garbage,
    Silence,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Code(code, message) => Self::Error(code, message.to_owned()),
            Refusal::Status(status, body) => Self::Status(status, body.to_owned()),
        }
    }
}

#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    upstream: DynProvider,
    faults: Mutex<Faults>,
    asked: Mutex<BTreeMap<String, u64>>,
    forged: Mutex<Forged>,
}

#[derive(Default)]
struct Forged {
    by_hash: HashMap<B256, Value>,
    by_number: BTreeMap<u64, B256>,
}

impl Proxy {
    pub fn new(upstream: DynProvider) -> Self {
        let (faults, asked, forged) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { upstream, faults, asked, forged }))
    }

    pub fn set(&self, faults: Faults) {
        *self.0.faults.lock().unwrap() = faults;
    }

    pub fn faults(&self) -> Faults {
        self.0.faults.lock().unwrap().clone()
    }

    /// How often a method was asked for, or any.
    pub fn asked(&self, method: &str) -> u64 {
        let asked = self.0.asked.lock().unwrap();
        if method.is_empty() { asked.values().sum() } else { asked.get(method).copied().unwrap_or(0) }
    }

    /// Its head, as it tells of it without being asked.
    async fn newest(&self) -> Answer {
        self.nth_answer(1, "eth_getBlockByNumber", &json!(["latest", false])).await
    }

    fn count(&self, method: &str) -> u64 {
        let mut asked = self.0.asked.lock().unwrap();
        *asked.entry(method.to_owned()).or_default() += 1;
        asked.values().sum()
    }

    async fn upstream(&self, method: &str, params: &Value) -> Result<Value, Answer> {
        let answer: TransportResult<Value> =
            self.0.upstream.raw_request(method.to_owned().into(), params).await;
        answer.map_err(|error| match error {
            RpcError::ErrorResp(payload) => Answer::Error(payload.code, payload.message.to_string()),
            other => Answer::Status(502, other.to_string()),
        })
    }

    pub async fn answer(&self, method: &str, params: &Value) -> Answer {
        let n = self.count(method);
        self.nth_answer(n, method, params).await
    }

    async fn nth_answer(&self, n: u64, method: &str, params: &Value) -> Answer {
        let faults = self.faults();
        if let Some(slow) = faults.slow {
            tokio::time::sleep(slow).await;
        }
        if faults.hangs {
            return Answer::Silence;
        }
        if faults.malformed {
            return Answer::Garbage;
        }
        if faults.flaps.is_some_and(|every| n.is_multiple_of(every)) {
            return Answer::Status(502, "bad gateway".to_owned());
        }
        if let Some((_, how)) = faults.limit.filter(|(every, _)| n.is_multiple_of(*every)) {
            return how.into();
        }
        self.lie(&faults, method, params).await.unwrap_or_else(|answer| answer)
    }

    async fn lie(&self, faults: &Faults, method: &str, params: &Value) -> Result<Answer, Answer> {
        let result = match method {
            "eth_chainId" if faults.chain_id.is_some() => json!(format!("{:#x}", faults.chain_id.unwrap())),
            "eth_getBlockReceipts" if faults.no_receipts => {
                return Err(Answer::Error(-32601, "the method does not exist".to_owned()));
            }
            "eth_call" if faults.forgets && !self.is_newest(&params[1]).await? => {
                return Err(Answer::Error(-32000, "missing trie node".to_owned()));
            }
            "eth_getBlockByNumber" => self.by_number(faults, params).await?,
            "eth_getBlockByHash" => self.by_hash(faults, params).await?,
            "eth_getLogs" => self.logs(faults, params).await?,
            "eth_getBlockReceipts" => self.receipts(faults, params).await?,
            _ => self.upstream(method, params).await?,
        };
        Ok(Answer::Result(result))
    }

    async fn head(&self, faults: &Faults) -> Result<u64, Answer> {
        let latest = self.upstream("eth_blockNumber", &json!([])).await?;
        Ok(number(&latest).saturating_sub(faults.lag))
    }

    async fn is_newest(&self, block: &Value) -> Result<bool, Answer> {
        let newest = self.upstream("eth_getBlockByNumber", &json!(["latest", false])).await?;
        let named = block.to_string();
        Ok(block.is_null() || named.contains("latest") || named.contains(newest["hash"].as_str().unwrap()))
    }

    async fn by_number(&self, faults: &Faults, params: &Value) -> Result<Value, Answer> {
        let head = self.head(faults).await?;
        let tag = params[0].as_str().unwrap_or_default();
        let block = async |n: u64| self.upstream("eth_getBlockByNumber", &json!([hex(n), false])).await;
        let finalized = self.upstream("eth_getBlockByNumber", &json!(["finalized", false])).await?;
        let finalized = number(&finalized["number"]).saturating_sub(faults.lag);
        let asked = match tag {
            "latest" | "pending" => head,
            "finalized" => finalized,
            "safe" | "earliest" => return self.upstream("eth_getBlockByNumber", params).await,
            number => u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap(),
        };
        if asked > head {
            return Ok(Value::Null);
        }
        let honest = block(asked).await?;
        if faults.false_hash && tag == "latest" {
            let mut header = honest;
            header["hash"] = json!(B256::repeat_byte(0xfa));
            return Ok(header);
        }
        if faults.false_head && asked > finalized {
            if tag == "latest" || tag == "pending" {
                return Ok(self.forge(honest));
            }
            let known = self.0.forged.lock().unwrap();
            if let Some(hash) = known.by_number.get(&asked) {
                return Ok(known.by_hash[hash].clone());
            }
        }
        if faults.false_at == Some(asked) && tag.starts_with("0x") {
            return Ok(forged(honest, None));
        }
        match faults.false_finality && asked == finalized && asked > 0 {
            true => Ok(forged(honest, None)),
            false => Ok(honest),
        }
    }

    /// A block in place of `honest`, on top of the one that was forged before it.
    fn forge(&self, honest: Value) -> Value {
        let mut known = self.0.forged.lock().unwrap();
        let height = number(&honest["number"]);
        if let Some(hash) = known.by_number.get(&height) {
            return known.by_hash[hash].clone();
        }
        let parent = known.by_number.get(&(height - 1)).copied();
        let block = forged(honest, parent);
        let hash: B256 = serde_json::from_value(block["hash"].clone()).unwrap();
        known.by_number.insert(height, hash);
        known.by_hash.insert(hash, block.clone());
        block
    }

    async fn by_hash(&self, faults: &Faults, params: &Value) -> Result<Value, Answer> {
        let hash: B256 = serde_json::from_value(params[0].clone()).unwrap();
        if let Some(block) = self.0.forged.lock().unwrap().by_hash.get(&hash) {
            return Ok(block.clone());
        }
        let block = self.upstream("eth_getBlockByHash", params).await?;
        let head = self.head(faults).await?;
        Ok(if number(&block["number"]) > head { Value::Null } else { block })
    }

    async fn logs(&self, faults: &Faults, params: &Value) -> Result<Value, Answer> {
        let filter = &params[0];
        let head = self.head(faults).await?;
        if filter["blockHash"].is_null() {
            let end = |name: &str| filter[name].as_str().map_or(head, |text| number(&json!(text)));
            let blocks = end("toBlock") + 1 - end("fromBlock");
            if let Some((_, how)) = faults.cap_range.filter(|(most, _)| blocks > *most) {
                return Err(how.into());
            }
        }
        let mut logs = self.upstream("eth_getLogs", params).await?;
        let all = logs.as_array_mut().unwrap();
        all.retain(|log| number(&log["blockNumber"]) <= head);
        if let Some((_, how)) = faults.cap_results.filter(|(most, _)| all.len() > *most) {
            return Err(how.into());
        }
        all.truncate(faults.cut.unwrap_or(usize::MAX));
        if faults.hide_logs {
            all.clear();
        }
        if faults.altered_logs {
            all.iter_mut().for_each(alter);
        }
        Ok(logs)
    }

    async fn receipts(&self, faults: &Faults, params: &Value) -> Result<Value, Answer> {
        let mut receipts = self.upstream("eth_getBlockReceipts", params).await?;
        let head = self.head(faults).await?;
        let Some(all) = receipts.as_array_mut() else { return Ok(receipts) };
        if all.first().is_some_and(|receipt| number(&receipt["blockNumber"]) > head) {
            return Ok(Value::Null);
        }
        for logs in all.iter_mut().filter_map(|receipt| receipt["logs"].as_array_mut()) {
            if faults.hide_logs {
                logs.clear();
            }
            if faults.altered_logs {
                logs.iter_mut().for_each(alter);
            }
        }
        Ok(receipts)
    }
}

/// Another block at the same height, whose hash is its own and whose logs are none.
fn forged(honest: Value, parent: Option<B256>) -> Value {
    let mut block: Block = serde_json::from_value(honest).unwrap();
    let header = &mut block.header.inner;
    header.extra_data = Bytes::from_static(b"forged");
    header.logs_bloom = Bloom::ZERO;
    header.receipts_root = EMPTY_ROOT_HASH;
    header.parent_hash = parent.unwrap_or(header.parent_hash);
    block.header.hash = header.hash_slow();
    serde_json::to_value(block).unwrap()
}

fn alter(log: &mut Value) {
    let last = log["topics"].as_array().unwrap().len() - 1;
    let topic: B256 = serde_json::from_value(log["topics"][last].clone()).unwrap();
    let mut bytes = topic.0;
    bytes[31] ^= 1;
    log["topics"][last] = json!(B256::from(bytes));
}

pub fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or("0x0");
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0)
}

fn hex(n: u64) -> String {
    format!("{n:#x}")
}

impl Service<RequestPacket> for Proxy {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        let proxy = self.clone();
        Box::pin(async move {
            let RequestPacket::Single(request) = packet else { panic!("nothing here asks in batches") };
            let params = request.params().map_or(Value::Null, |p| serde_json::from_str(p.get()).unwrap());
            let payload = match proxy.answer(request.method(), &params).await {
                Answer::Result(value) => {
                    ResponsePayload::Success(serde_json::value::to_raw_value(&value).unwrap())
                }
                Answer::Error(code, message) => {
                    ResponsePayload::Failure(ErrorPayload { code, message: message.into(), data: None })
                }
                Answer::Status(status, body) => return Err(TransportErrorKind::http_error(status, body)),
                Answer::Garbage => {
                    let error = serde_json::from_str::<Value>("<html>").unwrap_err();
                    return Err(RpcError::deser_err(error, "<html>"));
                }
                Answer::Silence => futures::future::pending().await,
            };
            Ok(ResponsePacket::Single(Response { id: request.id().clone(), payload }))
        })
    }
}
