// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS towards clients, with certificates that were issued for domains, and towards instances, where one public key is
//! accepted and nothing else counts.

use std::sync::Arc;

use mandate_acme::ACME_TLS;
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    server::{NoServerSessionStorage, ParsedCertificate, ResolvesServerCert},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Sessions with one instance that are kept to be resumed.
const SESSIONS: usize = 8;

/// The one cryptography provider of the gateway, given to every configuration explicitly.
///
/// Of the suites of TLS 1.3, those with SHA-256 come first: processors have instructions for it and none for SHA-384, and a
/// handshake hashes more than it encrypts.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() == CipherSuite::TLS13_AES_256_GCM_SHA384);
    Arc::new(provider)
}

/// TLS 1.2 and 1.3 for clients, with certificates from `resolver`. The application protocol is set for each connection.
///
/// # Errors
/// When the provider lacks the protocol versions.
pub fn server(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let versions = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
    // Sealed tickets: a client may resume at the cost of one key exchange, and nothing is stored for it. A ticket counts for
    // the name that it was given for alone, and where the name leads is asked anew each time.
    config.ticketer = ring::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// What validating ACME authorities meet.
///
/// # Errors
/// When the provider lacks the protocol versions.
pub fn acme_server(resolver: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, Error> {
    let mut config = server(resolver)?;
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    Ok(config)
}

/// TLS 1.3 to an instance that must prove the key in `spki`; offers it `protocols`.
///
/// A session may be resumed by whoever shares this configuration, which is one route: only a server that proved the key within
/// that route's life has its secret, and the route ends when the policy says so. Early data is never sent.
///
/// # Errors
/// When the provider lacks the protocol version.
pub fn upstream(spki: Vec<u8>, protocols: Vec<Vec<u8>>) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(PinnedKey { spki, provider: Arc::clone(&provider) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = protocols;
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// Accepts the server that proves possession of one public key. Names, dates and issuers say nothing here: the evidence
/// binds the key, and the policy was asked about the evidence.
#[derive(Debug)]
struct PinnedKey {
    spki: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let proven = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        match proven.as_ref() == self.spki {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Only 1.3 is offered, so a server that gets here did not play by the rules.
        Err(Error::General("the instance answered with TLS 1.2, which was not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
