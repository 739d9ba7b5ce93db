// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Answering an order's challenges, and taking the answers back.

use std::sync::Arc;

use instant_acme::{AuthorizationHandle, AuthorizationStatus, ChallengeType, Error, Identifier, Order};

use super::{AcmeIssuer, Problem};
use crate::{
    caa::Method,
    challenge::{Answer, ChallengeError},
    dns::{Change, DnsError, Zone},
    issuer::{CertificateRequest, IssueError},
    name::{DomainName, Subject},
};

/// What answers an order's challenges. Dropping it takes the answers back as well, but does not wait for that.
#[must_use = "the challenges are answered for as long as this lives"]
pub(super) struct Answers {
    _tls: Vec<Answer>,
    records: Option<Records>,
}

impl Answers {
    /// Takes the answers back. Failing to is no reason to go without the certificate.
    pub(super) async fn withdraw(mut self) {
        if let Some(records) = self.records.take() {
            records.remove().await;
        }
    }
}

impl AcmeIssuer {
    /// Answers each open challenge, all of them before the authority is told of the first: those of a name and of its
    /// wildcard are two values of one record set.
    pub(super) async fn answer(
        &self,
        order: &mut Order,
        request: &CertificateRequest,
    ) -> Result<Answers, Problem> {
        let method = self.method(request.subject())?;
        let mut answers = Answers { _tls: Vec::new(), records: None };
        let mut values = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            self.same_name(&authorization, request)?;
            let challenge =
                authorization.challenge(kind(method)).ok_or_else(|| self.without(method, request))?;
            let proof = challenge.key_authorization();
            match method {
                Method::Dns01 => values.push(proof.dns_value()),
                Method::TlsAlpn01 => {
                    let digest: [u8; 32] = proof.digest().as_ref().try_into().map_err(|_| Error::Crypto)?;
                    let (life, entropy) = (self.config.timeout, self.ambient.entropy.as_ref());
                    let answer = self.challenges.answer(request.name(), digest, life, entropy).await;
                    answers._tls.push(answer.map_err(|e| self.unanswered(request, e))?);
                }
            }
        }
        if !values.is_empty() {
            answers.records = Some(self.publish(request.name(), values).await?);
        }
        match self.tell_ready(order, method).await {
            Ok(()) => Ok(answers),
            Err(problem) => {
                answers.withdraw().await;
                Err(problem)
            }
        }
    }

    /// A store that is away for a moment is no authority's refusal.
    fn unanswered(&self, request: &CertificateRequest, error: ChallengeError) -> IssueError {
        match error {
            ChallengeError::Shared(_) => {
                IssueError::Unreachable { issuer: self.config.issuer.clone(), what: error.to_string() }
            }
            error => self.refused(request, error),
        }
    }

    async fn tell_ready(&self, order: &mut Order, method: Method) -> Result<(), Problem> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Valid
                && let Some(mut challenge) = authorization.challenge(kind(method))
            {
                challenge.set_ready().await?;
            }
        }
        Ok(())
    }

    /// The authority asks about the names of the request and no others.
    fn same_name(
        &self,
        authorization: &AuthorizationHandle<'_>,
        request: &CertificateRequest,
    ) -> Result<(), IssueError> {
        let asked = authorization.identifier();
        let wild = matches!(request.subject(), Subject::Wildcard(_));
        let same = matches!(asked.identifier, Identifier::Dns(name) if name == request.name().as_str());
        match same && (wild || !asked.wildcard) {
            true => Ok(()),
            false => Err(self.refused(request, "the authority asks about another name")),
        }
    }

    fn without(&self, method: Method, request: &CertificateRequest) -> IssueError {
        let (issuer, name) = (self.config.issuer.clone(), request.name().clone());
        IssueError::NoChallenge { issuer, name, kind: method.as_str() }
    }

    /// Publishes the values and waits until whoever asks sees them: an authority that asks too early fails the order.
    async fn publish(&self, name: &DomainName, values: Vec<String>) -> Result<Records, IssueError> {
        let unknown = |e: DnsError| IssueError::of_dns(name, e);
        let zone =
            self.dns.zone_of(name).ok_or_else(|| unknown(DnsError::NoResolver { name: name.to_string() }))?;
        let add: Vec<_> =
            values.iter().map(|value| Change::AddChallenge(name.clone(), value.clone())).collect();
        // Made first: what is cut short in the middle may have been written.
        let records = Records { zone: Arc::clone(zone), name: name.clone(), values };
        zone.apply(&add).await.map_err(unknown)?;
        match self.dns.until_challenges(zone.as_ref(), name, &records.values).await {
            Ok(()) => Ok(records),
            Err(error) => {
                records.remove().await;
                Err(unknown(error))
            }
        }
    }
}

fn kind(method: Method) -> ChallengeType {
    match method {
        Method::Dns01 => ChallengeType::Dns01,
        Method::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// Challenge records that stand in a zone. Other orders' values of the same name are left alone.
struct Records {
    zone: Arc<dyn Zone>,
    name: DomainName,
    values: Vec<String>,
}

impl Records {
    async fn remove(mut self) {
        // Until it is done the values stay here, so that being cut short leaves the removal to `drop`.
        if remove(self.zone.as_ref(), &self.name, &self.values).await {
            self.values.clear();
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let (zone, name) = (Arc::clone(&self.zone), self.name.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !values.is_empty() {
            runtime.spawn(async move { remove(zone.as_ref(), &name, &values).await });
        }
    }
}

async fn remove(zone: &dyn Zone, name: &DomainName, values: &[String]) -> bool {
    let away: Vec<_> =
        values.iter().map(|value| Change::RemoveChallenge(name.clone(), value.clone())).collect();
    let removed = zone.apply(&away).await;
    if let Err(error) = &removed {
        tracing::warn!(%name, %error, "a challenge's TXT record stays behind; it is of no use to anybody");
    }
    removed.is_ok()
}
