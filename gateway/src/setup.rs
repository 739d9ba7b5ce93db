// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a configuration file to the parts of a gateway in earnest.

use std::{path::PathBuf, sync::Arc, time::Duration};

use alloy::{
    primitives::B256,
    providers::{DynProvider, Provider, ProviderBuilder},
};
use futures::future::{BoxFuture, FutureExt};
use mandate_acme::{
    AcmeIssuer,
    config::{AcmeSection, AcmeSetupError},
    keys::{AgentKeys, DevelopmentKeys, KeyError, KeySource},
};
use mandate_attestation::{AnchorFileError, KnownImages, Verifier};
use mandate_runtime::{
    Ambient,
    config::{Secret, secret_file},
};
use mandate_witness::{
    ChainSpec, Endpoint, Known, ProofCache, Quorum, QuorumConfigError, RpcWitnessSource, SourceError,
    VerifiedReader, ViewCall, Witness, WitnessSource,
};
use thiserror::Error;

use crate::{
    admin::Reload,
    chain::VerifiedChain,
    config::{AdminConfig, AttestationConfig, ChainConfig, Config, KeysConfig},
    provenance::{Agent, Deployed, Origin},
    service::{AdminPart, BoxError, IssuerFactory, Parts},
};

/// Why a configuration that reads well cannot be followed.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A URL is none.
    #[error("chain.endpoints.{index}: not a URL")]
    Endpoint {
        /// Which.
        index: usize,
    },
    /// The quorum cannot be met.
    #[error("chain.quorum: {0}")]
    Quorum(#[from] QuorumConfigError),
    /// A file cannot be read.
    #[error("{field}: {}: {source}", path.display())]
    File {
        /// Which setting names it.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
    /// A root cannot be had.
    #[error("attestation.trust_anchors: {0}")]
    Anchor(#[from] AnchorFileError),
    /// A file or key of the section `acme` cannot be used.
    #[error(transparent)]
    Acme(#[from] AcmeSetupError),
    /// The keys cannot be used.
    #[error("keys: {0}")]
    Keys(#[from] KeyError),
}

/// Everything that `config` names. `reload` reads it again.
///
/// # Errors
/// When a file or URL that it names cannot be used. Nothing is contacted yet.
pub fn parts(config: &Config, ambient: Ambient, reload: Option<Reload>) -> Result<Parts, SetupError> {
    let keys = keys(&config.keys, &ambient)?;
    Ok(Parts {
        chain: Arc::new(chain(&config.chain, &ambient)?),
        verifier: verifier(&config.attestation)?,
        origin: origin(config, &ambient),
        issuer: issuer(&config.acme, Arc::clone(&keys), ambient.clone())?,
        store: config.store.clone(),
        keys,
        ambient,
        admin: config.admin.as_ref().map(admin).transpose()?,
        reload,
    })
}

fn origin(config: &Config, ambient: &Ambient) -> Origin {
    let ChainConfig { id: chain_id, kms_auth, domain_registry, .. } = config.chain;
    let agent = config.keys.agent.as_ref().map(|socket| Agent::new(Arc::clone(&ambient.net), socket));
    Origin { deployed: Deployed { chain_id, kms_auth, domain_registry }, agent }
}

fn admin(config: &AdminConfig) -> Result<AdminPart, SetupError> {
    let path = &config.token_file;
    let text = secret_file(path).map_err(|e| file("admin.token_file", path, e))?;
    match text.trim() {
        short if short.len() < MIN_TOKEN => Err(file("admin.token_file", path, "fewer than 32 characters")),
        token => Ok(AdminPart { listen: config.listen, token: Secret::new(token.to_owned()) }),
    }
}

fn chain(config: &ChainConfig, ambient: &Ambient) -> Result<VerifiedChain, SetupError> {
    let spec = match (config.forks.as_slice(), config.id) {
        ([], id) => ChainSpec::public(id).unwrap_or_else(|| ChainSpec::dev(id)),
        (forks, id) => ChainSpec { chain_id: id, forks: forks.to_vec(), until: None },
    };
    let providers = config.endpoints.iter().enumerate().map(|(index, url)| provider(index, url.expose()));
    let providers = providers.collect::<Result<Vec<_>, _>>()?;
    let named = |(index, provider): (usize, &DynProvider)| (format!("endpoint {index}"), provider.clone());
    let endpoints = providers.iter().enumerate().map(named);
    let endpoints = endpoints.map(|(name, provider)| Endpoint { name, provider }).collect();
    let sources = providers.iter().enumerate().map(named);
    let sources =
        sources.map(|(name, provider)| RpcWitnessSource::new(name, provider, spec.clone())).collect();
    let headers = Quorum::new(config.id, config.quorum, endpoints)?;
    let mut reader = VerifiedReader::new(Arc::new(headers), Arc::new(FirstOf(sources)), spec)
        .with_cache(ProofCache::default());
    if let Some(seconds) = config.max_age_seconds {
        let clock = Arc::clone(&ambient.clock);
        reader = reader.with_max_age(Duration::from_secs(seconds), move || clock.unix());
    }
    let chain = VerifiedChain::new(reader, config.kms_auth, config.domain_registry);
    Ok(chain.with_committee(config.committee))
}

/// The URL may hold credentials, so errors show its position only.
fn provider(index: usize, url: &str) -> Result<DynProvider, SetupError> {
    let url = url.parse().map_err(|_| SetupError::Endpoint { index })?;
    Ok(ProviderBuilder::new().connect_http(url).erased())
}

/// Asks one source after the other: any that answers will do, since what it says is verified.
#[derive(Debug)]
struct FirstOf(Vec<RpcWitnessSource>);

impl FirstOf {
    async fn ask(&self, known: &Known, block: B256, call: &ViewCall) -> Result<Witness, SourceError> {
        let mut failures = Vec::new();
        for source in &self.0 {
            match source.witness_beyond(known, block, call).await {
                Ok(witness) => return Ok(witness),
                Err(e) => failures.push(e.to_string()),
            }
        }
        Err(SourceError { source_name: "every endpoint".to_owned(), why: failures.join("; ") })
    }
}

impl WitnessSource for FirstOf {
    fn witness<'a>(&'a self, block: B256, call: &'a ViewCall) -> BoxFuture<'a, Result<Witness, SourceError>> {
        async move { self.ask(&Known::default(), block, call).await }.boxed()
    }

    fn witness_beyond<'a>(
        &'a self,
        known: &'a Known,
        block: B256,
        call: &'a ViewCall,
    ) -> BoxFuture<'a, Result<Witness, SourceError>> {
        self.ask(known, block, call).boxed()
    }
}

fn verifier(config: &AttestationConfig) -> Result<Verifier, SetupError> {
    const FIELD: &str = "attestation.known_images";
    let mut images = KnownImages::default();
    for path in &config.known_images {
        let text = std::fs::read(path).map_err(|e| file(FIELD, path, e))?;
        images.read(&text).map_err(|e| file(FIELD, path, e))?;
    }
    Ok(Verifier::new(config.trust_anchors.load()?).with_images(images))
}

fn keys(config: &KeysConfig, ambient: &Ambient) -> Result<Arc<dyn KeySource>, SetupError> {
    match (&config.agent, &config.development_seed) {
        (Some(socket), _) => Ok(Arc::new(AgentKeys::new(Arc::clone(&ambient.net), socket))),
        (None, Some(path)) => {
            tracing::warn!("DEVELOPMENT KEYS: every key of this gateway derives from a file");
            Ok(Arc::new(DevelopmentKeys::from_file(path)?))
        }
        (None, None) => Err(KeyError::NotASeed { path: PathBuf::new() }.into()),
    }
}

fn issuer(
    config: &AcmeSection,
    keys: Arc<dyn KeySource>,
    ambient: Ambient,
) -> Result<IssuerFactory, SetupError> {
    let (acme, dns) = config.build("acme", &ambient)?;
    Ok(Box::new(move |challenges| Ok(Arc::new(AcmeIssuer::new(acme, keys, challenges, dns, ambient)?))))
}

/// Characters of an admin token at least: more than anybody guesses.
const MIN_TOKEN: usize = 32;

fn file(field: &'static str, path: &std::path::Path, source: impl Into<BoxError>) -> SetupError {
    SetupError::File { field, path: path.to_owned(), source: source.into() }
}
