// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The peer: a service with one key, which checks the same evidence, reads the same contracts with the same proofs, and derives the
//! app's secret by one HKDF. It keeps no receipt, seals nothing, remembers no revocation and has no lease.

use std::sync::Arc;

use alloy::primitives::{Address, B256};
use anyhow::Result;
use axum::{Router, extract::State, routing::post};
use hkdf::Hkdf;
use mandate_attestation::{Evidence, Verified, Verifier};
use mandate_kms::boot::boot_request;
use mandate_model::{
    bindings::{AppAuth, KmsAuth},
    wire::{MAX_BODY, kms::ReleaseRequest},
};
use mandate_runtime::{
    Clock,
    clock::SystemClock,
    http::{ApiError, ApiJson, serve},
    net::{Net, TcpNet},
};
use mandate_witness::{At, ProofCache, Quorum, RpcWitnessSource, VerifiedReader};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use super::town::{Town, loopback};

struct Service {
    verifier: Verifier,
    reader: VerifiedReader,
    kms_auth: Address,
    clock: SystemClock,
    key: [u8; 32],
}

/// Starts one for the town's contracts; its URL.
pub(super) async fn start(town: &Town, stop: CancellationToken) -> Result<String> {
    let spec = mandate_witness::ChainSpec::dev(town.deployment.chain_id);
    let provider = alloy::providers::Provider::erased(town.chain.provider());
    let endpoint = mandate_witness::Endpoint { name: "rpc".into(), provider: provider.clone() };
    let headers = Quorum::new(town.deployment.chain_id, 1, vec![endpoint])?;
    let witnesses = RpcWitnessSource::new("rpc", provider, spec.clone());
    let reader = VerifiedReader::new(Arc::new(headers), Arc::new(witnesses), spec);
    let service = Service {
        verifier: town.pki.trust_anchors().into(),
        reader: reader.with_cache(ProofCache::default()),
        kms_auth: town.deployment.kms_auth,
        clock: SystemClock::new(),
        key: [7; 32],
    };
    let listener = TcpNet.listen(loopback()).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/v1/release", post(release))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(service));
    tokio::spawn(serve(listener, router, stop));
    Ok(url)
}

async fn release(
    State(service): State<Arc<Service>>,
    ApiJson(request): ApiJson<ReleaseRequest>,
) -> Result<ApiJson<B256>, ApiError> {
    let (worker, now) = (service.clone(), service.clock.unix());
    let verify = move || -> Result<Verified, String> {
        let evidence = Evidence::decode(&request.evidence).map_err(|e| e.to_string())?;
        worker.verifier.verify(&evidence, now, &request.report_data()).map_err(|e| e.to_string())
    };
    let verified = tokio::task::spawn_blocking(verify).await.map_err(ApiError::internal)?;
    let verified = verified.map_err(ApiError::bad_request)?;
    service.decide(&verified).await.map(ApiJson)
}

impl Service {
    /// What a node reads before it releases: the decision and the generation at finality, the decision at the head.
    async fn decide(&self, verified: &Verified) -> Result<B256, ApiError> {
        let app = verified.app_id();
        let finalized = self.reader.block(At::Finalized).await.map_err(ApiError::unavailable)?;
        let call = KmsAuth::decideCall { request: boot_request(verified, 0) };
        let read = self.reader.read_at(finalized, self.kms_auth, &call).await;
        let mut allowed = read.map_err(ApiError::unavailable)?.value.verdict == 1;
        let call = KmsAuth::isRegisteredCall { app };
        let registered = self.reader.read_at(finalized, self.kms_auth, &call).await;
        allowed &= registered.map_err(ApiError::unavailable)?.value.registered;
        let read = self.reader.read_at(finalized, app, &AppAuth::generationCall {}).await;
        let generation = read.map_err(ApiError::unavailable)?.value.current;
        let call = KmsAuth::decideCall { request: boot_request(verified, generation) };
        let read = self.reader.read(self.kms_auth, &call, At::Head).await;
        allowed &= read.map_err(ApiError::unavailable)?.value.verdict == 1;
        match allowed {
            true => self.secret(app, generation),
            false => Err(ApiError::bad_request("denied")),
        }
    }

    fn secret(&self, app: Address, generation: u64) -> Result<B256, ApiError> {
        let mut secret = B256::ZERO;
        let info: [&[u8]; 2] = [app.as_slice(), &generation.to_be_bytes()];
        let expanded = Hkdf::<Sha256>::new(None, &self.key).expand_multi_info(&info, secret.as_mut_slice());
        expanded.map_err(ApiError::internal).map(|()| secret)
    }
}
