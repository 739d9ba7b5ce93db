// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS whose peers prove what they run instead of who they are.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError as TlsCertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::verify_certificate;
use crate::{verified::Verified, verifier::Verifier};

/// Which peers are welcome, by the facts of their evidence. The text says why one is not.
pub type Policy = Arc<dyn Fn(&Verified) -> Result<(), String> + Send + Sync>;

/// Verifies peers' certificates by the evidence in them, on both sides of TLS. Names, issuers and intermediate
/// certificates count nothing.
///
/// A policy here is asked once, in the handshake, and must answer at once: one that has to ask the chain accepts every
/// app here, and then judges the peer's certificate with [`super::verify_certificate`].
#[derive(Clone)]
pub struct AttestedPeers {
    verifier: Verifier,
    policy: Policy,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AttestedPeers {
    /// Peers whose evidence `verifier` accepts and whose facts `policy` does.
    pub fn new(verifier: Verifier, policy: Policy) -> Self {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        Self { verifier, policy, algorithms }
    }

    fn judge(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let peer =
            verify_certificate(certificate, &self.verifier, now.as_secs()).map_err(|e| refused(e.into()))?;
        (self.policy)(peer.facts()).map_err(|why| refused(why.into()))
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

fn refused(why: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::InvalidCertificate(TlsCertificateError::Other(OtherError(Arc::from(why))))
}

impl ServerCertVerifier for AttestedPeers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for AttestedPeers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for AttestedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestedPeers").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}
