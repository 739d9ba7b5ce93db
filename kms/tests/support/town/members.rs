// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Nodes that prove themselves: the KMS's own app, and what each node runs.

use std::sync::Arc;

use alloy::primitives::{Address, B256, aliases::U40};
use futures::future::{BoxFuture, FutureExt};
use mandate_attestation::{
    Evidence, Quoter, QuoterError,
    dev_pki::{DevGuest, DevPki},
};
use mandate_kms::Running;
use mandate_model::bindings::{AppInit, KmsAuth, KmsCommittee, Node as Registered};
use mandate_runtime::{Clock, clock::SystemClock};

use super::{Town, YEAR};

/// What honest nodes run.
pub const KMS_CODE: B256 = B256::repeat_byte(0x4b);

/// `TcbStatus.SWHardeningNeeded`.
const WORST_TCB: u8 = 2;

#[derive(Debug)]
struct TownQuoter {
    pki: Arc<DevPki>,
    guest: DevGuest,
}

impl Quoter for TownQuoter {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        let evidence = self.pki.evidence(&self.guest, report_data, SystemClock::new().unix());
        async move { Ok(evidence) }.boxed()
    }
}

impl Town {
    /// Registers the KMS's own app, which allows `KMS_CODE` on every device with a tolerable TCB.
    pub async fn register_kms(&self) -> Address {
        let policy = KmsAuth::new(self.kms_auth, &self.provider);
        self.allow_image(DevGuest::new(Address::ZERO, KMS_CODE).os_image_hash()).await;
        let (owner, salt) = (self.chain.accounts()[0], B256::repeat_byte(0x4b));
        let init = AppInit {
            owner,
            guardian: owner,
            codeHashes: vec![KMS_CODE],
            anyDevice: true,
            teeKinds: vec![1],
            tcbFloor: WORST_TCB,
            ..AppInit::default()
        };
        let app = policy.predictApp(owner, salt).call().await.unwrap();
        self.mined(policy.deployAndRegisterApp(init, salt).into_transaction_request()).await;
        self.mined(policy.setKmsApp(app).into_transaction_request()).await;
        app
    }

    /// From its next start on, the node proves that it is this.
    pub fn runs(&self, n: u8, guest: DevGuest) {
        self.guests.lock().unwrap().insert(n, guest);
    }

    /// Starts nodes that prove themselves as the KMS's own app.
    pub async fn start_members(&self, kms_app: Address, of: &[u8]) -> Vec<Running> {
        for n in of {
            self.runs(*n, DevGuest::new(kms_app, KMS_CODE));
        }
        self.start_all(of).await
    }

    pub(super) fn quoter(&self, n: u8) -> Option<Arc<dyn Quoter>> {
        let guest = self.guests.lock().unwrap().get(&n)?.clone();
        Some(Arc::new(TownQuoter { pki: self.pki.clone(), guest }))
    }

    /// The owner's word for a node that runs.
    pub async fn admit_running(&self, n: u8, node: &Running) {
        self.admit_at(n, node.url()).await;
    }

    pub(super) async fn admit_at(&self, n: u8, url: String) {
        let keys = Self::keys(n);
        let node = Registered {
            nodeKey: keys.address(),
            operator: self.chain.accounts()[0],
            dealingKey: keys.dealing_public(),
            sealingKey: keys.sealing_public(),
            url,
            evidenceDigest: B256::ZERO,
            admittedFrom: U40::ZERO,
            expiresAt: U40::from(self.chain.now() + YEAR),
            attestedUntil: U40::ZERO,
        };
        let committee = KmsCommittee::new(self.committee, &self.provider);
        self.mined(committee.admitNode(node).into_transaction_request()).await;
    }

    /// Waits until the contract lets these nodes take part.
    pub async fn until_admitted(&self, of: &[u8]) {
        let committee = KmsCommittee::new(self.committee, &self.provider);
        for n in of {
            let node = Self::keys(*n).address();
            self.patiently("vouches", async || committee.isAdmitted(node).call().await.unwrap()).await;
        }
    }

    /// Waits until the node has seen final what the contract says of its attestation: it looks at its own pace.
    pub async fn until_seated(&self, n: u8, node: &Running) {
        let until = self.attested_until(n).await;
        self.until(node, "its attestation", |status| status.attested_until == until).await;
    }

    /// Waits until the node complains of this.
    pub async fn until_complains(&self, node: &Running, of: &str) {
        let complains = async || node.health().problems().iter().any(|problem| problem.contains(of));
        self.patiently(of, complains).await;
    }

    /// When the attestation of a node ends, by the contract.
    pub async fn attested_until(&self, n: u8) -> u64 {
        let committee = KmsCommittee::new(self.committee, &self.provider);
        committee.attestationOf(Self::keys(n).address()).call().await.unwrap().until.to()
    }
}
