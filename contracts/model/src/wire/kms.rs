// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A KMS node's API: `POST /v1/nonce`, `POST /v1/release`, `POST /v1/revocations`, `POST /v1/grants`,
//! `GET /v1/receipts?after=N`, `GET /v1/receipts/root` (a [`SignedRoot`] or `null`), `GET /v1/requests/{hash}`,
//! `GET /v1/bundles/{sequence}`, `GET /v1/node`.

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::{outcome::Outcome, receipt::Receipt};

mod wish;

pub use wish::{AppKeys, Candidate, MAX_STATEMENT_LIFE, RouteWish, Wish};

/// The answer to `POST /v1/nonce`: single use, short-lived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NonceResponse {
    /// The node's key.
    pub node: Address,
    /// 32 random bytes that the evidence must bind.
    pub nonce: B256,
    /// Seconds for which the node remembers it.
    pub ttl: u64,
}

/// One node's nonce inside a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeNonce {
    /// Whose.
    pub node: Address,
    /// Which.
    pub nonce: B256,
}

/// What the guest asks for; the evidence's report data is [`ReleaseRequest::report_data`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Chain of the policy.
    pub chain_id: u64,
    /// The `KmsAuth` that decides.
    pub kms_auth: Address,
    /// Key generation that is asked for; 0 stands for the current one.
    pub generation: u64,
    /// Epoch of the committee whose root is asked for: the one in force, for which 0 stands, or that of the root before it
    /// during its handover.
    pub epoch: u64,
    /// X25519 public key to which partials are sealed, 32 bytes, made for this request alone.
    pub transport_key: B256,
    /// Nonces of all nodes that are asked, in ascending order of `node`.
    pub nonces: Vec<NodeNonce>,
    /// What for; the app's secret when it is left out.
    #[serde(default, skip_serializing_if = "Wish::is_secret")]
    pub wish: Wish,
    /// `mandate_attestation::Evidence`, encoded. The app, code, device … are what it proves.
    pub evidence: Bytes,
}

impl ReleaseRequest {
    /// The bytes that the evidence's 64 bytes of report data are the SHA-512 of: every field but the evidence, each of
    /// fixed length or preceded by its count (`wish` by its kind's number), after the tag `mandate-release-v1`.
    pub fn binding(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96 + self.nonces.len() * 52);
        out.extend_from_slice(b"mandate-release-v1");
        out.extend_from_slice(self.transport_key.as_slice());
        out.extend_from_slice(&(self.nonces.len() as u64).to_be_bytes());
        for n in &self.nonces {
            out.extend_from_slice(n.node.as_slice());
            out.extend_from_slice(n.nonce.as_slice());
        }
        out.extend_from_slice(&self.chain_id.to_be_bytes());
        out.extend_from_slice(self.kms_auth.as_slice());
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        self.wish.bind(&mut out);
        out
    }

    /// What the quote must carry as report data.
    pub fn report_data(&self) -> [u8; 64] {
        use sha2::{Digest, Sha512};
        Sha512::digest(self.binding()).into()
    }
}

/// A node's answer. Exactly when the outcome is `Allowed`, `given` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseResponse {
    /// What was decided.
    pub outcome: Outcome,
    /// What was asked for.
    pub given: Option<Given>,
    /// The signed receipt; missing only when the outcome is `Undecided`.
    pub receipt: Option<Receipt>,
}

impl ReleaseResponse {
    /// The sealed part of the secret, if that is what was given.
    pub fn partial(&self) -> Option<&SealedPartial> {
        match &self.given {
            Some(Given::Partial(partial)) => Some(partial),
            _ => None,
        }
    }
}

/// What a node gives: to each [`Wish`] its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Given {
    /// The partial signature, sealed to the transport key.
    Partial(SealedPartial),
    /// The node's part of the committee's signature on the statement.
    Statement(StatementPartial),
    /// The node's part of the committee's signature on what it verified of the instance.
    Instance(InstancePartial),
    /// The node's EIP-712 signature of [`crate::signed::Vouch`], 65 bytes.
    Vouch(Bytes),
    /// The member's whole share, sealed to the transport key.
    Copy(SealedCopy),
}

/// A share sealed by HPKE (RFC 9180, base mode) to a replica's transport key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedCopy {
    /// Its epoch.
    pub epoch: u64,
    /// `mandate_threshold::seal` output with the request's binding as associated data.
    pub sealed: Bytes,
}

/// A partial signature sealed by HPKE (RFC 9180, base mode) to the guest's transport key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SealedPartial {
    /// Epoch whose share signed.
    pub epoch: u64,
    /// Key generation that was signed, never 0.
    pub generation: u64,
    /// `mandate_threshold::seal` output with the request's binding as associated data.
    pub sealed: Bytes,
}

/// A part of a public statement. Whoever has a quorum of them can combine them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatementPartial {
    /// Epoch whose share signed.
    pub epoch: u64,
    /// Key generation that the statement is about, never 0.
    pub generation: u64,
    /// `mandate_threshold::Partial`, encoded.
    pub partial: Bytes,
}

/// A part of a public statement about an instance: `mandate_threshold::InstanceStatement`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstancePartial {
    /// Epoch whose share signed.
    pub epoch: u64,
    /// What the node found in the evidence: `abi.encode(BootRequest)`, its generation 0. Parts of different findings do not
    /// combine.
    pub boot_request: Bytes,
    /// `mandate_threshold::Partial`, encoded.
    pub partial: Bytes,
}

/// What a relayer tells a node at head: look at these again. The node believes only what it verifies itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationNotice {
    /// The app.
    pub app: Address,
    /// The code hashes that were revoked in it; empty for a pause or suspension.
    pub code_hashes: Vec<B256>,
    /// Height at which the relayer saw it.
    pub block_number: u64,
}

/// What a relayer tells nodes and gateways once it is final: something about this app became wider. Signed by nobody and
/// believed by nobody: whoever gets it reads the chain again, and a notice of nothing changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantNotice {
    /// The app.
    pub app: Address,
    /// Height at which it was final for the relayer.
    pub block_number: u64,
}

/// The next root over a node's receipts, for `ReceiptAnchor.postRoot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedRoot {
    /// The node's key.
    pub node: Address,
    /// The root's number, from 0.
    pub index: u64,
    /// The root before it; zero for the first.
    pub previous_root: B256,
    /// [`crate::receipt_tree::ReceiptTree::root`].
    pub root: B256,
    /// How many receipts it covers.
    pub count: u64,
    /// EIP-712 by `node`: [`crate::signed::ReceiptRoot`].
    pub signature: Bytes,
}

/// The answer to `GET /v1/node`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The node's key.
    pub node: Address,
    /// Ed25519, under which it deals.
    pub dealing_key: B256,
    /// X25519, to which letters for it are sealed.
    pub sealing_key: B256,
    /// Epoch whose share it holds, 0 for none.
    pub epoch: u64,
    /// Nodes whose shares of that epoch can be read by everybody, because they were away during the ceremony.
    pub revealed: usize,
    /// When its attestation ends, block time; 0 for none, the end of all time where none is needed.
    pub attested_until: u64,
    /// Finalised height that it verified last.
    pub finalized: u64,
    /// Whether its freshness lease runs.
    pub fresh: bool,
    /// Number of receipts.
    pub receipts: u64,
    /// Whether its trust anchors are those of a development PKI.
    pub dev_anchors: bool,
}

#[cfg(test)]
mod tests {
    use alloy::{hex, primitives::B512};

    use super::*;

    fn request() -> ReleaseRequest {
        let nonce = |n| NodeNonce { node: Address::repeat_byte(n), nonce: B256::repeat_byte(n + 1) };
        ReleaseRequest {
            chain_id: 31337,
            kms_auth: Address::repeat_byte(0xaa),
            generation: 2,
            epoch: 5,
            transport_key: B256::repeat_byte(0xbb),
            nonces: vec![nonce(1), nonce(3)],
            wish: Wish::Secret,
            evidence: Bytes::from_static(b"evidence"),
        }
    }

    fn candidate() -> Candidate {
        Candidate {
            node: Address::repeat_byte(0x0e),
            dealing_key: B256::repeat_byte(0x0d),
            sealing_key: B256::repeat_byte(0x05),
            demand: 9,
            until: 1000,
        }
    }

    fn route() -> RouteWish {
        RouteWish { registration: B512::repeat_byte(0x4e), until: 3_000 }
    }

    #[test]
    fn wish_is_left_out_when_it_is_for_the_secret_and_reads_back_otherwise() {
        let json = serde_json::to_value(request()).unwrap();
        assert_eq!(json.get("wish"), None);
        let keys = AppKeys { ca_spki_sha256: B256::ZERO, ethereum: Address::ZERO };
        for wish in [
            Wish::Secret,
            Wish::Statement(keys),
            Wish::Vouch(candidate()),
            Wish::Copy(keys.ethereum),
            Wish::Instance(route()),
        ] {
            let request = ReleaseRequest { wish, ..request() };
            let json = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<ReleaseRequest>(&json).unwrap(), request);
        }
    }

    /// Guests in the field bind these bytes: a change here locks them out.
    #[test]
    fn binding_is_stable() {
        let expected = [
            hex::encode("mandate-release-v1"),
            "bb".repeat(32),
            "0000000000000002".into(),
            "01".repeat(20) + &"02".repeat(32),
            "03".repeat(20) + &"04".repeat(32),
            "0000000000007a69".into(),
            "aa".repeat(20),
            "0000000000000002".into(),
            "0000000000000005".into(),
            "00".into(),
        ];
        assert_eq!(hex::encode(request().binding()), expected.concat());
        let keys = AppKeys { ca_spki_sha256: B256::repeat_byte(0xcc), ethereum: Address::repeat_byte(0xdd) };
        let with_statement = ReleaseRequest { wish: Wish::Statement(keys), ..request() };
        let expected = [&expected[..9].concat(), "01", &"cc".repeat(32), &"dd".repeat(20)].concat();
        assert_eq!(hex::encode(with_statement.binding()), expected);
        let begin = hex::encode(&request().binding()[..request().binding().len() - 1]);
        let vouch = ReleaseRequest { wish: Wish::Vouch(candidate()), ..request() };
        let fields =
            [&"0e".repeat(20), &"0d".repeat(32), &"05".repeat(32), "0000000000000009", "00000000000003e8"];
        assert_eq!(hex::encode(vouch.binding()), begin.clone() + "02" + &fields.concat());
        let copy = ReleaseRequest { wish: Wish::Copy(Address::repeat_byte(0xe0)), ..request() };
        assert_eq!(hex::encode(copy.binding()), begin.clone() + "03" + &"e0".repeat(20));
        let instance = ReleaseRequest { wish: Wish::Instance(route()), ..request() };
        assert_eq!(hex::encode(instance.binding()), begin + "04" + &"4e".repeat(64) + "0000000000000bb8");
        let report_data = concat!(
            "da559ce0dee9be7e3c30ea69f309d7af2094416702604742c814380972bb8889",
            "ab9aea67f962c5be0269b299269873bb1dfe4e6fb846829d4385e1ced60bbb9e",
        );
        assert_eq!(hex::encode(request().report_data()), report_data);
    }

    #[test]
    fn binding_covers_everything_but_the_evidence() {
        let changed: [fn(&mut ReleaseRequest); 8] = [
            |r| r.chain_id += 1,
            |r| r.kms_auth = Address::ZERO,
            |r| r.generation += 1,
            |r| r.epoch += 1,
            |r| r.wish = Wish::Statement(AppKeys { ca_spki_sha256: B256::ZERO, ethereum: Address::ZERO }),
            |r| r.transport_key = B256::ZERO,
            |r| r.nonces.truncate(1),
            |r| r.nonces[0].nonce = B256::ZERO,
        ];
        let wishes = |change: fn(&mut RouteWish)| {
            let mut other = route();
            change(&mut other);
            ReleaseRequest { wish: Wish::Instance(other), ..request() }.binding()
        };
        let changed_routes: [fn(&mut RouteWish); 2] =
            [|r| r.until += 1, |r| r.registration = B512::repeat_byte(0x4f)];
        for change in changed_routes {
            assert_ne!(wishes(change), wishes(|_| ()));
        }
        for change in changed {
            let mut other = request();
            change(&mut other);
            assert_ne!(other.binding(), request().binding());
        }
        let evidence = Bytes::new();
        assert_eq!(ReleaseRequest { evidence, ..request() }.binding(), request().binding());
    }
}
