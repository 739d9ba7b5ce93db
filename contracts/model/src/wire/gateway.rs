// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A gateway's API: `POST /v1/register`, `POST /v1/revocations` (a [`super::kms::RevocationNotice`]),
//! `POST /v1/grants` (a [`super::kms::GrantNotice`]), `POST /v1/domains`, `GET /v1/domains?after=NAME`, `POST /v1/domains/release`; for
//! operators, on a port of its own, `GET /v1/routes`, `GET /v1/certificates`, `POST /v1/drain`, `POST /v1/reload`.

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};

use crate::outcome::Outcome;

/// Begins what the evidence of an instance binds that ends the TLS of domains itself.
const INGRESS_REGISTRATION: &[u8] = b"mandate-ingress-registration-v1";

/// An instance asks for a route. What proves the instance binds the key that the instance's TLS server will prove, so that the
/// gateway can pin it: see [`RegisterRequest::report_data`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterRequest {
    /// What proves the instance.
    pub proof: Proof,
    /// DER of the SubjectPublicKeyInfo of the instance's TLS certificate.
    pub spki: Bytes,
    /// `host:port` where the instance serves TLS.
    pub upstream: String,
    /// Domains whose TLS the instance ends itself. The registry must give each to its app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// The certificates that it serves them with, as far as it has any: what is recorded in the registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<ServedCertificate>,
}

/// A certificate with which an instance serves one of its domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServedCertificate {
    /// The domain.
    pub name: String,
    /// Who issued it, for CAA.
    pub issuer: String,
    /// The app's own ACME account there.
    pub account_uri: String,
    /// DER, the certificate itself first.
    pub chain: Vec<Bytes>,
}

/// What proves an instance to a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Proof {
    /// `mandate_attestation::Evidence`, encoded.
    Evidence(Bytes),
    /// The committee's word on such evidence.
    Statement(SignedInstance),
}

/// Evidence to be filled in: what it must bind is known once the rest of the request is there.
impl Default for Proof {
    fn default() -> Self {
        Self::Evidence(Bytes::new())
    }
}

impl From<Vec<u8>> for Proof {
    fn from(evidence: Vec<u8>) -> Self {
        Self::Evidence(evidence.into())
    }
}

/// `mandate_threshold::InstanceStatement` and the committee's signature. Whoever verifies it knows the deployment and the
/// registration himself; a statement of another deployment or about another registration is therefore one that nobody signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedInstance {
    /// What the nodes found in the evidence: `abi.encode(BootRequest)`, its generation 0.
    pub boot_request: Bytes,
    /// When the statement ends, Unix seconds.
    pub until: u64,
    /// The group's signature.
    pub signature: Bytes,
}

impl RegisterRequest {
    /// What the quote must carry as report data: SHA-512("ratls-cert:" ‖ `spki`), as in any RA-TLS certificate. A gateway that
    /// ends TLS sends nothing to whoever does not prove that key, so the rest needs no binding.
    ///
    /// With domains it is SHA-512 over "mandate-ingress-registration-v1", `spki`, `upstream`, the domains and the certificates, each
    /// part behind its length and each list behind its number of parts (8 bytes, big endian): the clients of the domains and
    /// their authority's validations are led to `upstream` without any key being proved to the gateway, and the certificates are
    /// recorded as the app's. Were these not bound, anybody could take evidence out of an instance's certificate, register a
    /// place of his own for the app's domain, and have an authority certify a key of his own for it; or have a certificate for a
    /// key of his own recorded as the app's.
    pub fn report_data(&self) -> [u8; 64] {
        if self.domains.is_empty() && self.certificates.is_empty() {
            return Sha512::new().chain_update(b"ratls-cert:").chain_update(&self.spki).finalize().into();
        }
        let mut parts = Parts(Sha512::new());
        parts.put(INGRESS_REGISTRATION);
        parts.put(&self.spki);
        parts.put(self.upstream.as_bytes());
        parts.count(self.domains.len());
        self.domains.iter().for_each(|name| parts.put(name.as_bytes()));
        parts.count(self.certificates.len());
        for ServedCertificate { name, issuer, account_uri, chain } in &self.certificates {
            [name, issuer, account_uri].into_iter().for_each(|text| parts.put(text.as_bytes()));
            parts.count(chain.len());
            chain.iter().for_each(|der| parts.put(der));
        }
        parts.0.finalize().into()
    }
}

/// A hash of parts that nothing else hashes to.
struct Parts(Sha512);

impl Parts {
    fn count(&mut self, n: usize) {
        self.0.update((n as u64).to_be_bytes());
    }

    fn put(&mut self, part: &[u8]) {
        self.count(part.len());
        self.0.update(part);
    }
}

/// The gateway's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterResponse {
    /// What was decided; a route exists exactly when `Allowed`.
    pub outcome: Outcome,
    /// The names under which the instance is reached.
    pub names: Vec<String>,
    /// Seconds after which the instance must register again.
    pub lease: u64,
    /// With which other instances of the app serve the same domains: the key is the app's, so this one may serve them as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<ServedCertificate>,
    /// Domains that have none yet, which another instance of the app is about to obtain: this one had better wait for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<String>,
}

/// What a gateway did about a [`super::kms::RevocationNotice`], by its own reading of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevocationEffect {
    /// Routes of the app that were closed, with their connections.
    pub closed: u64,
    /// Routes that the newest state still allows.
    pub kept: u64,
    /// Routes that could not be judged at the notice's block yet; the gateway goes on trying by itself.
    pub pending: u64,
}

/// A relayer saw a domain approved at finality: please order. The gateway reads the registry itself, with proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainOrder {
    /// The domain.
    pub name: String,
}

/// A relayer saw a domain released at finality: please look. The gateway reads the registry itself, with proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DomainRelease {
    /// keccak256 of the name, as `DomainReleased` gives it.
    pub domain_hash: B256,
    /// Height of the release.
    pub block_number: u64,
}

/// Where a domain stands after a [`DomainRelease`], by the gateway's own reading of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseEffect {
    /// Whether this gateway serves it (still).
    pub served: bool,
    /// Whether something is still to be done: a certificate waits for its revocation, or the gateway has not seen the
    /// block yet. Ask again.
    pub pending: bool,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuedCertificate {
    /// The domain.
    pub name: String,
    /// The app it was issued for.
    pub app: Address,
    /// Who issued it, for CAA.
    pub issuer: String,
    /// The ACME account's URI, for CAA (RFC 8657); empty when the issuer has no accounts.
    pub account_uri: String,
    /// SHA-256 of the leaf's DER.
    pub fingerprint: B256,
    /// SHA-256 of the leaf's SPKI.
    pub spki_hash: B256,
    /// End of validity, Unix seconds.
    pub not_after: u64,
}

/// An operator wants an instance, or every instance of an app, to get no new connections; or to get them again. Open ones go
/// on. It holds for the routes that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DrainOrder {
    /// The instance or app.
    pub id: Address,
    /// Whether to keep new connections from it.
    pub draining: bool,
}

/// What a [`DrainOrder`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drained {
    /// Routes that it concerns.
    pub routes: u64,
    /// Their connections at the moment.
    pub connections: u64,
}

/// One live route, for an operator's `GET /v1/routes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The app.
    pub app: Address,
    /// The instance.
    pub instance: Address,
    /// The code it proved.
    pub code_hash: B256,
    /// Where it is.
    pub upstream: String,
    /// Open connections.
    pub connections: u64,
    /// Whether it did not answer when it was last asked.
    pub failing: bool,
    /// Whether an operator keeps new connections from it.
    pub draining: bool,
    /// Domains whose TLS the instance ends itself.
    pub domains: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_evidence_for_domains_binds_key_place_domains_and_certificates_and_is_of_no_other_use() {
        let request = |spki: &'static [u8], upstream: &str, domains: &[&str]| RegisterRequest {
            proof: Proof::default(),
            spki: Bytes::from_static(spki),
            upstream: upstream.to_owned(),
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            certificates: Vec::new(),
        };
        let bound = request(b"key", "10.0.0.5:443", &["a.example", "b.example"]).report_data();
        for other in [
            request(b"key", "10.0.0.5:443", &[]),
            request(b"kez", "10.0.0.5:443", &["a.example", "b.example"]),
            request(b"key", "10.0.0.6:443", &["a.example", "b.example"]),
            request(b"key", "10.0.0.5:443", &["a.example"]),
            request(b"key", "10.0.0.5:443", &["a.exampleb.example"]),
            request(b"key1", "0.0.0.5:443", &["a.example", "b.example"]),
        ] {
            assert_ne!(other.report_data(), bound, "{other:?}");
        }
        let certificate = |account: &str, chain: &[&'static [u8]]| ServedCertificate {
            name: "a.example".to_owned(),
            issuer: "ca.example".to_owned(),
            account_uri: account.to_owned(),
            chain: chain.iter().map(|der| Bytes::from_static(der)).collect(),
        };
        let with = |certificates: Vec<ServedCertificate>| {
            let request = request(b"key", "10.0.0.5:443", &["a.example", "b.example"]);
            RegisterRequest { certificates, ..request }.report_data()
        };
        let mut all = vec![
            bound,
            with(vec![certificate("1", &[b"leaf"])]),
            with(vec![certificate("2", &[b"leaf"])]),
            with(vec![certificate("1", &[b"other"])]),
            with(vec![certificate("1", &[b"le", b"af"])]),
            with(vec![certificate("1", &[b"leaf"]), certificate("1", &[b"leaf"])]),
        ];
        let only = RegisterRequest {
            certificates: vec![certificate("1", &[b"leaf"])],
            ..request(b"key", "10.0.0.5:443", &[])
        };
        all.push(only.report_data());
        all.push(request(b"key", "10.0.0.5:443", &[]).report_data());
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        // Who proves it changes nothing of what is bound.
        let stated = SignedInstance { boot_request: Bytes::new(), until: 1, signature: Bytes::new() };
        let plain = request(b"key", "10.0.0.5:443", &[]);
        let stated = RegisterRequest { proof: Proof::Statement(stated), ..plain.clone() };
        assert_eq!(stated.report_data(), plain.report_data());
        // What the certificate of an instance binds.
        let plain = Sha512::digest(b"ratls-cert:key");
        assert_eq!(request(b"key", "10.0.0.5:443", &[]).report_data().as_slice(), plain.as_slice());
    }

    #[test]
    fn a_registration_has_one_proof_of_a_known_kind() {
        let with = |proof: &str| {
            let text = format!(r#"{{"proof":{proof},"spki":"0x01","upstream":"a:1"}}"#);
            serde_json::from_str::<RegisterRequest>(&text)
        };
        let statement = r#"{"bootRequest":"0x02","until":3,"signature":"0x04"}"#;
        assert_eq!(with(r#"{"evidence":"0x05"}"#).unwrap().proof, Proof::Evidence(vec![5].into()));
        let read = with(&format!(r#"{{"statement":{statement}}}"#)).unwrap();
        assert!(matches!(read.proof, Proof::Statement(SignedInstance { until: 3, .. })));
        assert_eq!(
            serde_json::from_str::<RegisterRequest>(&serde_json::to_string(&read).unwrap()).unwrap(),
            read
        );
        for wrong in [
            r#"{}"#.to_owned(),
            r#""0x05""#.to_owned(),
            r#"{"certificate":"0x05"}"#.to_owned(),
            format!(r#"{{"evidence":"0x05","statement":{statement}}}"#),
            r#"{"statement":{"bootRequest":"0x02","until":3,"signature":"0x04","chainId":1}}"#.to_owned(),
            r#"{"statement":{"bootRequest":"0x02","signature":"0x04"}}"#.to_owned(),
        ] {
            assert!(with(&wrong).is_err(), "{wrong}");
        }
    }
}
