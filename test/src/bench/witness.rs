// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a verified decision costs whoever proves it, and whoever verifies it: first on the demo's chain, then with ever more
//! apps beside the one that is asked about.

use std::{hint::black_box, time::Instant};

use alloy::{
    eips::BlockNumberOrTag,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::Provider,
    sol_types::{SolCall, SolValue},
};
use anyhow::{Context, Result, ensure};
use mandate_cli::demo::{World, bench::Decision};
use mandate_devchain::Injection;
use mandate_model::{
    bindings::KmsAuth,
    wire::{BlockRef, ViewCall},
};
use mandate_witness::{Known, Witness, build, build_beyond, execute, execute_beyond};

use super::{Figure, Times, options};

/// The step after which there is an app with active code.
const STEP: usize = 5;
/// Milliseconds for verification and decision together.
const TARGET: f64 = 2.0;
/// Bytes of a witness without its codes, with a million apps.
const SIZE_TARGET: f64 = 24.0 * 1024.0;
/// Building asks the chain in several rounds, so that it takes longer and varies less than verification.
const FEWER_BUILDS: usize = 5;
/// How many apps are registered, one after the other.
const APPS: [u64; 4] = [1, 1_000, 100_000, 1_000_000];

pub(super) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let mut world = World::up_to(options(&dir, false), STEP).await?;
    let mut decision = world.decision().await?;
    world.stop_services().await;
    let mut figures = of_the_demo(&decision, samples).await?;

    let asked = KmsAuth::decideCall::abi_decode(&decision.call.data)?.request;
    let slot = registration(&world, &decision).await?;
    let call = KmsAuth::isAppAllowedCall { bootInfo: asked.info };
    decision.call = ViewCall { to: decision.call.to, data: call.abi_encode().into() };
    let mut registered = 1;
    for apps in APPS {
        if apps > registered {
            world.chain().inject(&crowd(&world, decision.call.to, slot, registered..apps));
        }
        registered = apps;
        // The decision is at a final block.
        world.chain().mine(3);
        let block = world.chain().block(BlockNumberOrTag::Finalized).context("nothing is final")?;
        decision.block = BlockRef { number: block.number(), hash: block.hash() };
        figures.extend(among(&decision, apps, samples).await?);
    }
    world.shutdown().await;
    Ok(figures)
}

/// Building, verifying and size of `KmsAuth.decide` as the nodes ask it.
async fn of_the_demo(decision: &Decision, samples: usize) -> Result<Vec<Figure>> {
    let (witness, builds) = built(decision, samples.div_ceil(FEWER_BUILDS)).await?;
    let bytes = witness.encode();
    let mut decisions = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        let witness = Witness::decode(&bytes)?;
        let answer = execute(&witness, decision.block, &decision.spec, &decision.call)?;
        let answer = KmsAuth::decideCall::abi_decode_returns(&answer)?;
        decisions.push(start.elapsed());
        ensure!(answer.verdict == 1, "the contracts deny v1: reason {}", answer.reason);
    }
    let decisions = Times::new(decisions);
    Ok(vec![
        Figure::ms("witness.build.p50", builds.p50()),
        Figure::ms("witness.decide.p50", decisions.p50()),
        Figure::ms("witness.decide.p99", decisions.p99()).at_most(TARGET),
        Figure::new("witness.size", bytes.len() as f64, "B"),
        Figure::new("witness.size.proof", sum(witness.nodes()), "B"),
        Figure::new("witness.size.code", sum(witness.codes()), "B"),
    ])
}

/// The same of `KmsAuth.isAppAllowed` among this many apps, by a verifier that has the codes; and what is left of the
/// witness at the next block, when only the block has changed.
async fn among(decision: &Decision, apps: u64, samples: usize) -> Result<Vec<Figure>> {
    let (whole, builds) = built(decision, samples.div_ceil(FEWER_BUILDS)).await?;
    let codes = Known::new(whole.codes().iter().cloned(), Vec::new());
    let bytes = whole.without(&codes.hashes()).encode();
    let mut decisions = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        let witness = Witness::decode(&bytes)?;
        let done = execute_beyond(&codes, &witness, decision.block, &decision.spec, &decision.call)?;
        let answer = KmsAuth::isAppAllowedCall::abi_decode_returns(done.output())?;
        decisions.push(start.elapsed());
        ensure!(answer.isAllowed, "the contracts deny v1: {}", answer.reason);
    }
    let everything = Known::new(whole.nodes().iter().chain(whole.codes()).cloned(), Vec::new());
    let again =
        build_beyond(&everything, &decision.provider, &decision.spec, decision.block.hash, &decision.call)
            .await?;
    let decisions = Times::new(decisions);
    let name = |what: &str| format!("witness.apps.{apps}.{what}");
    let size = Figure::new(name("size"), bytes.len() as f64, "B");
    let size = if apps == 1_000_000 { size.at_most(SIZE_TARGET) } else { size };
    Ok(vec![
        size,
        Figure::new(name("nodes"), whole.nodes().len() as f64, "nodes"),
        Figure::ms(name("build.p50"), builds.p50()),
        Figure::ms(name("decide.p50"), decisions.p50()),
        Figure::ms(name("decide.p99"), decisions.p99()).at_most(TARGET),
        Figure::new(name("again.size"), again.encode().len() as f64, "B"),
    ])
}

async fn built(decision: &Decision, times: usize) -> Result<(Witness, Times)> {
    let build = || build(&decision.provider, &decision.spec, decision.block.hash, &decision.call);
    let witness = build().await?;
    let mut builds = Vec::new();
    for _ in 0..times {
        let start = Instant::now();
        black_box(build().await?);
        builds.push(start.elapsed());
    }
    Ok((witness, Times::new(builds)))
}

fn sum(parts: &[Bytes]) -> f64 {
    parts.iter().map(|part| part.len()).sum::<usize>() as f64
}

/// Where `KmsAuth` keeps its registry of apps, and what it holds for the app of the story.
async fn registration(world: &World, decision: &Decision) -> Result<(U256, U256)> {
    /// No contract of the suite has more slots of its own.
    const SLOTS: u64 = 64;
    for base in (0..SLOTS).map(U256::from) {
        let value = decision.provider.get_storage_at(decision.call.to, entry(world.app(), base)).await?;
        if !value.is_zero() {
            return Ok((base, value));
        }
    }
    anyhow::bail!("no slot of KmsAuth holds the registration of {}", world.app())
}

/// The slot of a key in the mapping at `base`.
fn entry(app: Address, base: U256) -> U256 {
    keccak256((app, base).abi_encode()).into()
}

/// Apps with code, storage and registration of their own, as like to the app of the story as it is to itself.
fn crowd(
    world: &World,
    kms_auth: Address,
    (base, value): (U256, U256),
    numbers: std::ops::Range<u64>,
) -> Injection {
    let app = |n: u64| Address::from_word(keccak256(B256::from(U256::from(n))));
    let copies = numbers.clone().map(|n| (world.app(), app(n))).collect();
    let slots = numbers.map(|n| (entry(app(n), base), value)).collect();
    Injection { copies, slots: vec![(kms_auth, slots)] }
}
