// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a verified decision costs whoever proves it, and whoever verifies it.

use std::{hint::black_box, time::Instant};

use alloy::{primitives::Bytes, sol_types::SolCall};
use anyhow::{Result, ensure};
use mandate_cli::demo::World;
use mandate_model::bindings::KmsAuth;
use mandate_witness::{Witness, build, execute};

use super::{Figure, Times, options};

/// The step after which there is an app with active code.
const STEP: usize = 5;
/// Milliseconds for verification and decision together.
const TARGET: f64 = 2.0;
/// Building asks the chain in several rounds, so that it takes longer and varies less than verification.
const FEWER_BUILDS: usize = 5;

pub(super) async fn measure(samples: usize) -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let mut world = World::up_to(options(&dir, false), STEP).await?;
    let decision = world.decision().await?;
    world.stop_services().await;
    let spec = &decision.spec;

    let build = || build(&decision.provider, spec, decision.block.hash, &decision.call);
    let witness = build().await?;
    let mut builds = Vec::new();
    for _ in 0..samples.div_ceil(FEWER_BUILDS) {
        let start = Instant::now();
        black_box(build().await?);
        builds.push(start.elapsed());
    }

    let bytes = witness.encode();
    let mut decisions = Vec::with_capacity(samples);
    for _ in 0..samples {
        let start = Instant::now();
        let witness = Witness::decode(&bytes)?;
        let answer = execute(&witness, decision.block, spec, &decision.call)?;
        let answer = KmsAuth::decideCall::abi_decode_returns(&answer)?;
        decisions.push(start.elapsed());
        ensure!(answer.verdict == 1, "the contracts deny v1: reason {}", answer.reason);
    }
    world.shutdown().await;

    let (builds, decisions) = (Times::new(builds), Times::new(decisions));
    let sum = |parts: &[Bytes]| parts.iter().map(|part| part.len()).sum::<usize>() as f64;
    Ok(vec![
        Figure::ms("witness.build.p50", builds.p50()),
        Figure::ms("witness.decide.p50", decisions.p50()),
        Figure::ms("witness.decide.p99", decisions.p99()).at_most(TARGET),
        Figure::new("witness.size", bytes.len() as f64, "B"),
        Figure::new("witness.size.proof", sum(witness.nodes()), "B"),
        Figure::new("witness.size.code", sum(witness.codes()), "B"),
    ])
}
