// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates with evidence: what is believed of them, and TLS over them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use common::{NOW, guest, pki};
use mandate_attestation::{
    DigestVersion, Event, Evidence, EvidenceError, KnownImage, KnownImages, Verifier,
    dev_pki::{Defect, DevGuest},
    x509::{
        AttestedPeers, CMW_OID, CertificateError, MAX_CERTIFICATE, Policy, extension, report_data, upstream,
        verify_certificate,
    },
};
use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    client::danger::ServerCertVerifier,
    crypto::ring::{self, sign::any_supported_type},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::danger::ClientCertVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
};
use time::OffsetDateTime;

const UPSTREAM: [u64; 9] = [1, 3, 6, 1, 4, 1, 62397, 1, 0];

fn verifier() -> Verifier {
    Verifier::new(pki().trust_anchors())
}

fn evidence(guest: &DevGuest, key: &KeyPair) -> Evidence {
    pki().evidence(guest, report_data(&key.subject_public_key_info()), NOW)
}

fn certificate(key: &KeyPair, extensions: &[(&[u64], Vec<u8>)]) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["app.example".to_owned()]).unwrap();
    let at = |offset: i64| OffsetDateTime::from_unix_timestamp(NOW as i64 + offset).unwrap();
    (params.not_before, params.not_after) = (at(-3600), at(3600));
    let extensions =
        extensions.iter().map(|(oid, value)| CustomExtension::from_oid_content(oid, value.clone()));
    params.custom_extensions = extensions.collect();
    params.self_signed(key).unwrap().der().to_vec()
}

fn attested(guest: &DevGuest, key: &KeyPair) -> Vec<u8> {
    certificate(key, &[(&CMW_OID, extension(&evidence(guest, key)))])
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

#[test]
fn g1_a_certificate_is_believed_for_its_key() {
    let key = key();
    let believed = verify_certificate(&attested(&guest(), &key), &verifier(), NOW).unwrap();
    assert_eq!(believed.spki(), key.subject_public_key_info());
    assert_eq!(believed.facts().app_id(), guest().app_id);
}

/// The attack: another's evidence, which is public, in a certificate for one's own key.
#[test]
fn g1_evidence_in_a_certificate_of_another_key_is_refused() {
    let (key, thief) = (key(), key());
    let stolen = certificate(&thief, &[(&CMW_OID, extension(&evidence(&guest(), &key)))]);
    let refused = verify_certificate(&stolen, &verifier(), NOW);
    assert_eq!(refused, Err(CertificateError::Evidence(EvidenceError::ReportDataMismatch)));
}

#[test]
fn a_certificate_without_evidence_or_with_two_is_refused() {
    let key = key();
    let one = (&CMW_OID[..], extension(&evidence(&guest(), &key)));
    let none = verify_certificate(&certificate(&key, &[]), &verifier(), NOW);
    assert!(matches!(none, Err(CertificateError::NoEvidence(_))), "{none:?}");
    let twice = verify_certificate(&certificate(&key, &[one.clone(), one.clone()]), &verifier(), NOW);
    assert!(matches!(twice, Err(CertificateError::Duplicate(_))), "{twice:?}");
    let empty = verify_certificate(&certificate(&key, &[(&CMW_OID, Vec::new())]), &verifier(), NOW);
    assert!(matches!(empty, Err(CertificateError::Extension { .. })), "{empty:?}");
}

#[test]
fn a_certificate_has_its_time() {
    let (der, verifier) = (attested(&guest(), &key()), verifier());
    for now in [NOW - 3601, NOW + 3601, u64::MAX] {
        assert_eq!(verify_certificate(&der, &verifier, now), Err(CertificateError::Expired));
    }
    for now in [NOW - 3600, NOW + 3600] {
        assert!(verify_certificate(&der, &verifier, now).is_ok());
    }
}

#[test]
fn a_certificate_is_capped_and_ends_where_it_ends() {
    let key = key();
    let mut der = attested(&guest(), &key);
    der.push(0);
    let longer = verify_certificate(&der, &verifier(), NOW);
    assert_eq!(longer, Err(CertificateError::Malformed("bytes follow it".to_owned())));
    der.resize(MAX_CERTIFICATE, 0);
    assert_eq!(verify_certificate(&der, &verifier(), NOW), longer);
    der.push(0);
    let got = MAX_CERTIFICATE + 1;
    let refused = verify_certificate(&der, &verifier(), NOW);
    assert_eq!(refused, Err(CertificateError::TooLarge { got, max: MAX_CERTIFICATE }));
}

#[test]
fn a_certificate_cut_at_any_length_is_refused_without_panic() {
    let (der, verifier) = (attested(&guest(), &key()), verifier());
    for length in 0..der.len() {
        assert!(verify_certificate(&der[..length], &verifier, NOW).is_err(), "{length}");
        assert!(upstream::read(&der[..length], NOW).is_err(), "{length}");
    }
}

#[test]
fn g1_defects_of_evidence_are_defects_of_its_certificate() {
    for defect in [Defect::TudBit(0), Defect::ForgedLog, Defect::RevokedPck, Defect::OtherReportData] {
        let refused = verify_certificate(&attested(&guest().with_defect(defect), &key()), &verifier(), NOW);
        assert!(matches!(refused, Err(CertificateError::Evidence(_))), "{defect:?}: {refused:?}");
    }
}

fn upstream_oid(last: u64) -> [u64; 9] {
    let mut oid = UPSTREAM;
    oid[8] = last;
    oid
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0x04, 0x82][..], &length, bytes].concat()
}

fn json(events: &[Event]) -> String {
    let event = |e: &Event| {
        let version = if e.digest_version == DigestVersion::V2 { 2 } else { 1 };
        format!(
            r#"{{"imr":{},"event_type":{},"digest":"","event":"{}","event_payload":"{}","version":{version}}}"#,
            e.register,
            e.kind,
            e.name,
            hex::encode(&e.payload)
        )
    };
    format!("[{}]", events.iter().map(event).collect::<Vec<_>>().join(","))
}

/// As an upstream guest with a quote extension shows itself.
fn upstream_certificate(key: &KeyPair) -> (Vec<u8>, mandate_attestation::TdxEvidence) {
    let tdx = common::tdx(evidence(&guest(), key));
    let extensions = [
        (&upstream_oid(1)[..], octets(&tdx.quote)),
        (&upstream_oid(2)[..], octets(json(&tdx.event_log).as_bytes())),
        (&upstream_oid(3)[..], octets(&[0xee; 20])),
    ];
    (certificate(key, &extensions), tdx)
}

fn knows_the_image() -> Verifier {
    let mut images = KnownImages::default();
    let manifest = mandate_attestation::OsImage::parse(&common::minted(&guest()).image).unwrap();
    let image = KnownImage {
        version: 1,
        os_image_hash: alloy::primitives::B256::repeat_byte(0x0f),
        name: String::new(),
        measurements: manifest.measurements,
        snp: Vec::new(),
    };
    images.add(&image).unwrap();
    verifier().with_images(images)
}

#[test]
fn g1_an_upstream_certificate_is_verified_with_collateral_from_elsewhere() {
    let key = key();
    let (der, tdx) = upstream_certificate(&key);
    let read = upstream::read(&der, NOW).unwrap();
    assert_eq!(read.quote(), tdx.quote);
    assert_eq!(read.claims().app_id, Some(vec![0xee; 20]));
    let believed = read.clone().verify(tdx.collateral.clone(), &knows_the_image(), NOW).unwrap();
    // The fact is the TEE's, not the issuer's claim.
    assert_eq!(believed.facts().app_id(), guest().app_id);
    assert_eq!(believed.facts().os_image_hash(), alloy::primitives::B256::repeat_byte(0x0f));
    let unknown = read.verify(tdx.collateral, &verifier(), NOW);
    assert_eq!(unknown, Err(CertificateError::Evidence(EvidenceError::UnknownImage)));
}

#[test]
fn g1_an_upstream_certificate_of_another_key_is_refused() {
    let (mine, theirs) = (key(), key());
    let tdx = common::tdx(evidence(&guest(), &theirs));
    let extensions = [
        (&upstream_oid(1)[..], octets(&tdx.quote)),
        (&upstream_oid(2)[..], octets(json(&tdx.event_log).as_bytes())),
    ];
    let read = upstream::read(&certificate(&mine, &extensions), NOW).unwrap();
    let refused = read.verify(tdx.collateral, &knows_the_image(), NOW);
    assert_eq!(refused, Err(CertificateError::Evidence(EvidenceError::ReportDataMismatch)));
    let half = upstream::read(&certificate(&mine, &extensions[..1]), NOW);
    assert!(matches!(half, Err(CertificateError::NoEvidence(oid)) if oid.ends_with(".1.2")));
}

/// TLS's own idea of the time.
#[derive(Debug)]
struct Then;

impl TimeProvider for Then {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW)))
    }
}

struct Side {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn side(guest: &DevGuest) -> Side {
    let key = key();
    let der = attested(guest, &key);
    Side { chain: vec![der.into()], key: PrivateKeyDer::try_from(key.serialize_der()).unwrap() }
}

fn peers(policy: Policy) -> Arc<AttestedPeers> {
    Arc::new(AttestedPeers::new(verifier(), policy))
}

/// Only this app.
fn only(guest: &DevGuest) -> Policy {
    let app = guest.app_id;
    Arc::new(move |facts| {
        (facts.app_id() == app).then_some(()).ok_or_else(|| format!("app {} is not welcome", facts.app_id()))
    })
}

/// A handshake in memory; the client's error or the server's, whichever comes first.
fn handshake(
    client: Side,
    server: Side,
    policy: &Policy,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<(), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Then));
    let config = config.with_protocol_versions(versions).unwrap();
    let accepts: Arc<dyn ClientCertVerifier> = peers(Arc::clone(policy));
    let shown = SingleCertAndKey::from(CertifiedKey::new(server.chain, any_supported_type(&server.key)?));
    let config = config.with_client_cert_verifier(accepts).with_cert_resolver(Arc::new(shown));
    let mut server = ServerConnection::new(Arc::new(config))?;

    let config = ClientConfig::builder_with_details(provider, Arc::new(Then));
    let config = config.with_protocol_versions(versions).unwrap();
    let accepts: Arc<dyn ServerCertVerifier> = peers(Arc::clone(policy));
    let config = config.with_root_certificates(RootCertStore::empty());
    let mut config = config.with_client_auth_cert(client.chain, client.key)?;
    config.dangerous().set_certificate_verifier(accepts);
    let mut client = ClientConnection::new(Arc::new(config), "anything.example".try_into().unwrap())?;

    for _ in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut input = &bytes[..];
        while !input.is_empty() {
            server.read_tls(&mut input).unwrap();
            server.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut input = &bytes[..];
        while !input.is_empty() {
            client.read_tls(&mut input).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

/// What the verifier said.
fn why(refused: &rustls::Error) -> String {
    match refused {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(why)) => why.to_string(),
        other => panic!("{other}"),
    }
}

const VERSIONS: [&[&rustls::SupportedProtocolVersion]; 2] =
    [&[&rustls::version::TLS13], &[&rustls::version::TLS12]];

#[test]
fn g1_peers_that_run_the_expected_app_talk() {
    for versions in VERSIONS {
        let done = handshake(side(&guest()), side(&guest()), &only(&guest()), versions);
        assert_eq!(done, Ok(()), "{versions:?}");
    }
}

#[test]
fn g1_a_peer_that_runs_another_app_is_sent_away_on_either_side() {
    let other = DevGuest { app_id: alloy::primitives::Address::repeat_byte(0xbb), ..guest() };
    for (client, server) in [(&other, &guest()), (&guest(), &other)] {
        let refused = handshake(side(client), side(server), &only(&guest()), VERSIONS[0]).unwrap_err();
        assert!(why(&refused).contains("is not welcome"), "{refused}");
    }
}

/// The attack: a peer shows another's certificate, without its key.
#[test]
fn g1_a_peer_must_hold_the_attested_key() {
    for versions in VERSIONS {
        let (mut thief, owner) = (side(&guest()), side(&guest()));
        thief.chain = owner.chain;
        let refused = handshake(side(&guest()), thief, &only(&guest()), versions);
        let expected = rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        assert_eq!(refused, Err(expected));
    }
}

#[test]
fn g1_a_peer_with_bad_evidence_is_sent_away() {
    let bad = guest().with_defect(Defect::TudBit(0));
    let refused = handshake(side(&guest()), side(&bad), &only(&guest()), VERSIONS[0]).unwrap_err();
    assert!(why(&refused).contains("under debug"), "{refused}");
}
