// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Upstream dstack's webhook, so that an upstream KMS can be governed by these contracts.
//!
//! | | |
//! |---|---|
//! | `POST /bootAuth/app` | whether an app may boot |
//! | `POST /bootAuth/kms` | whether a KMS node may |
//! | `GET /` | the deployment |
//!
//! Each answer rests on one finalised block, executed on state that is proven against that block's header. Whoever asks
//! trusts this relayer for the header: the suite's own nodes do not, and ask for witnesses instead.

use alloy::{
    primitives::{Address, B256},
    sol_types::SolCall,
};
use axum::extract::State;
use mandate_model::{
    bindings::{AppBootInfo, KmsAuth},
    wire::BlockRef,
};
use mandate_runtime::http::{ApiError, ApiJson, PeerKey};
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{Answer, Api, Asker, Shared, key_of, page, ready::must_decide, unproven};

/// The longest text in characters, and the most advisories, of a request.
const MAX_TEXT: usize = 256;
const MAX_ADVISORIES: usize = 256;

/// What upstream's KMS sends. Hexadecimal with or without `0x`, of exactly the right length: short values are refused, not
/// padded.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootInfo {
    #[serde(deserialize_with = "address")]
    app_id: Address,
    #[serde(deserialize_with = "hash")]
    compose_hash: B256,
    #[serde(deserialize_with = "address")]
    instance_id: Address,
    #[serde(deserialize_with = "hash")]
    device_id: B256,
    #[serde(deserialize_with = "hash")]
    mr_aggregated: B256,
    #[serde(deserialize_with = "hash")]
    mr_system: B256,
    #[serde(deserialize_with = "hash")]
    os_image_hash: B256,
    tcb_status: String,
    #[serde(default)]
    advisory_ids: Vec<String>,
    /// Which TEE; absent for TDX.
    #[serde(default)]
    tee_variant: Option<String>,
}

/// What upstream's KMS gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootAnswer {
    /// Whether the contracts allow it.
    pub is_allowed: bool,
    /// The gateway's own app.
    pub gateway_app_id: String,
    /// Why not; empty when allowed.
    pub reason: String,
}

/// What upstream's tools read about a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentInfo {
    /// `ok`.
    pub status: String,
    /// `KmsAuth`.
    pub kms_contract_addr: Address,
    /// Not told: an endpoint's URL may hold a credential.
    pub eth_rpc_url: String,
    /// The gateway's own app.
    pub gateway_app_id: String,
    /// Chain id.
    pub chain_id: u64,
    /// The `AppAuth` whose clones are blessed.
    pub app_auth_implementation: Address,
    /// The same, under upstream's newer name.
    pub app_implementation: Address,
}

pub(super) async fn app(
    State(api): Shared,
    asker: Asker,
    ApiJson(info): ApiJson<BootInfo>,
) -> Answer<BootAnswer> {
    let call = KmsAuth::isAppAllowedCall { bootInfo: info.checked()? };
    let reader = Reader::new(&api, &asker).await?;
    let answer = reader.read(&call).await?;
    reader.answered(answer.isAllowed, answer.reason).await
}

pub(super) async fn kms(
    State(api): Shared,
    asker: Asker,
    ApiJson(info): ApiJson<BootInfo>,
) -> Answer<BootAnswer> {
    let call = KmsAuth::isKmsAllowedCall { bootInfo: info.checked()? };
    let reader = Reader::new(&api, &asker).await?;
    let answer = reader.read(&call).await?;
    reader.answered(answer.isAllowed, answer.reason).await
}

pub(super) async fn deployment(State(api): Shared, asker: Asker) -> Answer<DeploymentInfo> {
    let reader = Reader::new(&api, &asker).await?;
    let implementation = reader.read(&KmsAuth::appImplementationCall {}).await?;
    Ok(ApiJson(DeploymentInfo {
        status: "ok".to_owned(),
        kms_contract_addr: api.contracts.kms_auth,
        eth_rpc_url: String::new(),
        gateway_app_id: reader.gateway_app().await?,
        chain_id: api.contracts.chain_id,
        app_auth_implementation: implementation,
        app_implementation: implementation,
    }))
}

/// Reads of one answer: all of one finalised block.
struct Reader<'a> {
    api: &'a Api,
    block: BlockRef,
    asker: PeerKey,
}

impl<'a> Reader<'a> {
    /// At the newest finalised block, unless what is allowed cannot be known now.
    async fn new(api: &'a Api, asker: &Asker) -> Result<Self, ApiError> {
        must_decide(api).await?;
        let progress = api.store.progress().await.map_err(ApiError::internal)?;
        let block = progress.finalized.ok_or_else(page::none_yet)?;
        Ok(Self { api, block, asker: key_of(asker) })
    }

    async fn read<C: SolCall>(&self, call: &C) -> Result<C::Return, ApiError> {
        let Self { api, block, asker } = self;
        let read = api.witnesses.read(*block, api.contracts.kms_auth, call, *asker).await;
        read.map_err(|e| unproven(api, e))
    }

    async fn gateway_app(&self) -> Result<String, ApiError> {
        self.read(&KmsAuth::gatewayAppCall {}).await.map(|app| app.to_string())
    }

    /// A latch that was set while the contracts were read holds back what they said.
    async fn answered(&self, is_allowed: bool, reason: String) -> Answer<BootAnswer> {
        let gateway_app_id = self.gateway_app().await?;
        must_decide(self.api).await?;
        Ok(ApiJson(BootAnswer { is_allowed, gateway_app_id, reason }))
    }
}

impl BootInfo {
    /// As the contracts take it. Their upstream ABI judges TDX only, so that other TEEs are refused here.
    fn checked(self) -> Result<AppBootInfo, ApiError> {
        if let Some(variant) = self.tee_variant.filter(|v| !v.to_lowercase().contains("tdx")) {
            let text =
                format!("teeVariant {variant:?}: upstream's question cannot name it; only TDX is judged");
            return Err(ApiError::bad_request(text));
        }
        let long = |text: &String| text.chars().count() > MAX_TEXT;
        if long(&self.tcb_status)
            || self.advisory_ids.len() > MAX_ADVISORIES
            || self.advisory_ids.iter().any(long)
        {
            return Err(ApiError::bad_request(format!(
                "tcbStatus and each advisory have at most {MAX_TEXT} characters, and there are at most {MAX_ADVISORIES}"
            )));
        }
        Ok(AppBootInfo {
            appId: self.app_id,
            composeHash: self.compose_hash,
            instanceId: self.instance_id,
            deviceId: self.device_id,
            mrAggregated: self.mr_aggregated,
            mrSystem: self.mr_system,
            osImageHash: self.os_image_hash,
            tcbStatus: self.tcb_status,
            advisoryIds: self.advisory_ids,
        })
    }
}

fn address<'de, D: Deserializer<'de>>(d: D) -> Result<Address, D::Error> {
    bytes::<20, D>(d).map(Address::from)
}

fn hash<'de, D: Deserializer<'de>>(d: D) -> Result<B256, D::Error> {
    bytes::<32, D>(d).map(B256::from)
}

fn bytes<'de, const N: usize, D: Deserializer<'de>>(d: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(d)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    let mut bytes = [0; N];
    alloy::hex::decode_to_slice(digits, &mut bytes).map_err(|_| {
        D::Error::custom(format!("expected {} hex digits, got {} characters", 2 * N, digits.len()))
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(app: &str) -> Result<BootInfo, serde_json::Error> {
        let hash = "11".repeat(32);
        serde_json::from_value(serde_json::json!({
            "appId": app, "composeHash": hash, "instanceId": "0x".to_owned() + &"22".repeat(20), "deviceId": hash,
            "mrAggregated": hash, "mrSystem": hash, "osImageHash": hash, "tcbStatus": "UpToDate",
            "advisoryIds": [], "keyProviderInfo": "", "teeVariant": "dstack-tdx",
        }))
    }

    #[test]
    fn hex_is_taken_with_and_without_prefix() {
        let expected = Address::repeat_byte(0xaa);
        for app in ["aa".repeat(20), "0x".to_owned() + &"Aa".repeat(20)] {
            assert_eq!(parse(&app).unwrap().checked().unwrap().appId, expected);
        }
    }

    #[test]
    fn short_hex_is_refused_not_padded() {
        for app in ["", "0x", "aa", &"aa".repeat(19), &"aa".repeat(21), &"zz".repeat(20)] {
            let error = parse(app).unwrap_err().to_string();
            assert!(error.contains("expected 40 hex digits"), "{app}: {error}");
        }
    }

    #[test]
    fn other_tees_and_endless_lists_are_refused() {
        let mut info = parse(&"aa".repeat(20)).unwrap();
        info.tee_variant = Some("amd-sev-snp".to_owned());
        assert!(info.clone().checked().is_err());
        info.tee_variant = None;
        info.advisory_ids = vec!["INTEL-SA-00001".to_owned(); MAX_ADVISORIES + 1];
        assert!(info.clone().checked().is_err());
        info.advisory_ids = vec!["x".repeat(MAX_TEXT + 1)];
        assert!(info.checked().is_err());
    }
}
