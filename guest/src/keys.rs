// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Gets the app's secret from the committee.
//!
//! 1. Every node is asked for a nonce.
//! 2. One piece of evidence binds all nonces, a transport key made for this request alone, and the request itself.
//! 3. Every node that gave a nonce is asked for its part. Each part is opened, verified against the public polynomial and
//!    counted; with the `t`-th the secret is there and nobody else is waited for.
//!
//! Nothing here is decided by one node: a lying one is named and passed over, a silent one is passed over.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes};
use mandate_model::{
    receipt::Receipt,
    wire::{
        gateway::SignedInstance,
        kms::{NodeNonce, ReleaseRequest, RouteWish, Wish},
        relayer::CommitteeView,
    },
};
use mandate_runtime::{Ambient, entropy, http::Client};
use mandate_threshold::{
    AppSecret, GROUP_KEY_LENGTH, GroupSignature, Partial, SealingKey,
    identity::{self, IdentityError},
};
use zeroize::Zeroizing;

use crate::{Quoter, describe::Description};

mod ask;
mod committee;
mod report;
mod stated;

pub use report::{KeyError, NodeOutcome, NodeReport};
pub use stated::Stated;

use ask::Answers;
use committee::Committee;

/// What the guest was told together with its own measured code, and so may believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// Chain of the policy.
    pub chain_id: u64,
    /// The `KmsAuth` that decides.
    pub kms_auth: Address,
    /// The `KmsCommittee`: the domain of the nodes' signatures.
    pub committee: Address,
    /// The committee's group key.
    pub group_key: [u8; GROUP_KEY_LENGTH],
}

/// Asks committees for secrets.
#[derive(Debug, Clone)]
pub struct KeyClient {
    ambient: Ambient,
    http: Client,
    grace: Duration,
}

impl KeyClient {
    /// A client that gives each node 10 seconds to answer.
    pub fn new(ambient: &Ambient) -> Self {
        Self {
            ambient: ambient.clone(),
            http: Client::new(ambient.net.clone()),
            grace: Duration::from_secs(1),
        }
    }

    /// Gives each node `timeout` for each of the two answers.
    #[must_use]
    pub fn node_timeout(mut self, timeout: Duration) -> Self {
        self.http = self.http.timeout(timeout);
        self
    }

    /// How long, once a quorum gave nonces, the others are waited for: the evidence must name all who are to be asked.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Asks relayers, one after the other, for the committee of `epoch`, 0 for the one in force. What they say is believed
    /// only as far as it agrees with what is pinned.
    ///
    /// # Errors
    /// When none gives a view; the error says why for each.
    pub async fn committee(&self, relayers: &[String], epoch: u64) -> Result<CommitteeView, KeyError> {
        let mut failures = Vec::new();
        let query = if epoch == 0 { String::new() } else { format!("?epoch={epoch}") };
        for relayer in relayers {
            let url = format!("{}/v1/committee{query}", relayer.trim_end_matches('/'));
            match self.http.get_json::<CommitteeView>(&url).await {
                Ok(view) => return Ok(view),
                Err(error) => failures.push(error.to_string()),
            }
        }
        Err(KeyError::NoView { failures })
    }

    /// The committee in force, or, for as long as its handover lasts, the one whose key is pinned.
    ///
    /// # Errors
    /// As [`KeyClient::committee`].
    pub async fn pinned_committee(
        &self,
        pinned: &Pinned,
        relayers: &[String],
    ) -> Result<CommitteeView, KeyError> {
        let view = self.committee(relayers, 0).await?;
        match view.outgoing {
            Some(outgoing) if *view.group_key != *pinned.group_key.as_slice() => {
                self.committee(relayers, outgoing.epoch).await
            }
            _ => Ok(view),
        }
    }

    /// Gets the secret of `generation` (0 for the current one) of the app that `quoter` proves, under the root of the epoch
    /// that `view` shows: the one in force, or the one before it during its handover, for whoever pinned that one's key.
    ///
    /// # Errors
    /// [`KeyError::NotEnough`] lists what every node said.
    pub async fn fetch(
        &self,
        pinned: &Pinned,
        view: &CommitteeView,
        generation: u64,
        quoter: &dyn Quoter,
    ) -> Result<Fetched, KeyError> {
        let wanted = Wanted { generation, epoch: view.epoch, wish: Wish::Secret };
        let Signed { committee, app, combined, reports } = self.ask(pinned, view, wanted, quoter).await?;
        let generation = combined.about.generation();
        let message = committee.message(pinned, app, generation);
        Ok(Fetched {
            secret: AppSecret::derive(&combined.signature, &message),
            app,
            generation,
            epoch: view.epoch,
            reports,
            signature: combined.signature,
            message,
        })
    }

    /// Gets the committee's public word on the app's keys, those of `fetched`: whoever knows the group key can check it.
    ///
    /// # Errors
    /// As [`KeyClient::fetch`].
    pub async fn statement(
        &self,
        pinned: &Pinned,
        view: &CommitteeView,
        fetched: &Fetched,
        quoter: &dyn Quoter,
    ) -> Result<Stated, KeyError> {
        let keys = stated::keys(&fetched.secret)?;
        let (generation, wish) = (fetched.generation, Wish::Statement(keys));
        let wanted = Wanted { generation, epoch: view.epoch, wish };
        let Signed { app, combined, .. } = self.ask(pinned, view, wanted, quoter).await?;
        let statement = stated::statement(pinned, app, combined.about.generation(), &keys);
        Ok(Stated { statement, signature: combined.signature.as_bytes().to_vec() })
    }

    /// Gets the committee's public word on this instance, for a gateway that is to give it the route.
    ///
    /// # Errors
    /// As [`KeyClient::fetch`].
    pub async fn instance_statement(
        &self,
        pinned: &Pinned,
        view: &CommitteeView,
        route: RouteWish,
        quoter: &dyn Quoter,
    ) -> Result<SignedInstance, KeyError> {
        let wanted = Wanted { generation: 0, epoch: view.epoch, wish: Wish::Instance(route) };
        let Signed { combined, .. } = self.ask(pinned, view, wanted, quoter).await?;
        let signature = combined.signature.as_bytes().to_vec().into();
        Ok(SignedInstance { boot_request: combined.about.boot_request(), until: route.until, signature })
    }

    /// Asks the committee for its signature.
    async fn ask(
        &self,
        pinned: &Pinned,
        view: &CommitteeView,
        wanted: Wanted,
        quoter: &dyn Quoter,
    ) -> Result<Signed, KeyError> {
        let committee = Committee::check(pinned, view)?;
        let (app, combined, reports) =
            match self.attempt(pinned, &committee, wanted, quoter, Haste::Hurried).await? {
                Ok(signed) => signed,
                Err(LeftOut) => {
                    self.attempt(pinned, &committee, wanted, quoter, Haste::Patient).await?.map_err(
                        |LeftOut| {
                            // Nobody is left out by who is patient.
                            Answers::new(&committee).not_enough()
                        },
                    )?
                }
            };
        Ok(Signed { committee, app, combined, reports })
    }

    /// One round of nonces, evidence and parts. A slow node must not slow the guest, so in haste hardly anybody is waited for beyond
    /// the quorum, and neither are their parts for long; when that does not suffice, those who were left out are given their time.
    async fn attempt(
        &self,
        pinned: &Pinned,
        committee: &Committee,
        wanted: Wanted,
        quoter: &dyn Quoter,
        haste: Haste,
    ) -> Result<Result<(Address, Combined, Vec<NodeReport>), LeftOut>, KeyError> {
        let mut answers = Answers::new(committee);
        let nonces = ask::nonces(self, committee, haste, &mut answers).await;
        if nonces.len() < committee.quorum() {
            return Err(answers.not_enough());
        }
        let left_out = haste == Haste::Hurried && answers.left_out;
        let (request, transport, app) = self.request(pinned, wanted, nonces, quoter).await?;
        let asked = ask::Asked { pinned, request: &request, transport: &transport, app };
        let parts = ask::partials(self, committee, &asked, &mut answers);
        let combined = match left_out {
            true => tokio::select! {
                combined = parts => combined,
                () = self.ambient.clock.sleep(self.grace) => None,
            },
            false => parts.await,
        };
        if let Some(combined) = combined {
            return Ok(Ok((app, combined, answers.reports)));
        }
        let error = answers.not_enough();
        // Those who were left out cannot outvote so many denials.
        if left_out && error.denied().is_none() { Ok(Err(LeftOut)) } else { Err(error) }
    }

    /// The request for these nonces, with evidence that binds it; the key that opens the answers; the app that asks.
    async fn request(
        &self,
        pinned: &Pinned,
        wanted: Wanted,
        mut nonces: Vec<NodeNonce>,
        quoter: &dyn Quoter,
    ) -> Result<(ReleaseRequest, SealingKey, Address), KeyError> {
        nonces.sort_unstable_by_key(|nonce| nonce.node);
        let transport = SealingKey::from_seed(entropy::bytes(&*self.ambient.entropy));
        let mut request = ReleaseRequest {
            chain_id: pinned.chain_id,
            kms_auth: pinned.kms_auth,
            generation: wanted.generation,
            epoch: wanted.epoch,
            transport_key: B256::from(transport.public()),
            nonces,
            wish: wanted.wish,
            evidence: Default::default(),
        };
        let evidence = quoter.evidence(request.report_data()).await?;
        let app = Description::of(&evidence).ok_or(KeyError::NoApp)?.app;
        request.evidence = evidence.encode().into();
        Ok((request, transport, app))
    }
}

/// How long stragglers are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// As long as half of what the quorum took.
    Hurried,
    /// The whole grace.
    Patient,
}

/// Nothing came of a round, and nodes were left out of it that might have helped.
struct LeftOut;

/// What a request is for.
#[derive(Clone, Copy)]
struct Wanted {
    generation: u64,
    epoch: u64,
    wish: Wish,
}

/// The app's secret, and how it came.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The secret.
    pub secret: AppSecret,
    /// The app whose it is.
    pub app: Address,
    /// Its key generation.
    pub generation: u64,
    /// The epoch of the committee that answered.
    pub epoch: u64,
    /// What every node did, in the order of the committee.
    pub reports: Vec<NodeReport>,
    signature: GroupSignature,
    message: Vec<u8>,
}

impl Fetched {
    /// Opens what was encrypted to this app and generation before it ever ran.
    ///
    /// # Errors
    /// When it was made for another app, generation or group key.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        identity::decrypt(&self.signature, &self.message, ciphertext)
    }

    /// The signed receipts of the nodes.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.reports.iter().filter_map(|report| report.outcome.receipt())
    }
}

/// What a quorum signed, and how that came.
struct Signed {
    committee: Committee,
    app: Address,
    combined: Combined,
    reports: Vec<NodeReport>,
}

/// What a part is about beyond what was asked, in the words of the node that gave it. Only a quorum's word is believed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    /// A key generation.
    Generation(u64),
    /// What was found in the instance's evidence, encoded.
    Instance(Bytes),
}

impl About {
    /// The generation; 0, which is none, of what is about no generation.
    fn generation(&self) -> u64 {
        match self {
            Self::Generation(generation) => *generation,
            Self::Instance(_) => 0,
        }
    }

    /// What was found; nothing of what is about no instance.
    fn boot_request(self) -> Bytes {
        match self {
            Self::Generation(_) => Bytes::new(),
            Self::Instance(boot_request) => boot_request,
        }
    }
}

/// A quorum's signature, and what about.
struct Combined {
    signature: GroupSignature,
    about: About,
}

/// Valid partials by what they are about.
#[derive(Default)]
struct Gathered(std::collections::BTreeMap<About, Vec<Partial>>);

impl Gathered {
    /// Adds one, and combines when that makes a quorum.
    fn add(
        &mut self,
        committee: &Committee,
        (namespace, message): (&[u8], &[u8]),
        about: About,
        partial: Partial,
    ) -> Option<Combined> {
        let partials = self.0.entry(about.clone()).or_default();
        partials.push(partial);
        if partials.len() < committee.quorum() {
            return None;
        }
        let signature = committee.polynomial().combine(namespace, message, partials).ok()?;
        Some(Combined { signature, about })
    }
}
