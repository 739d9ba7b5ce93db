// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The steps of the story after the chain has started. Each returns an error unless everything that it claims held.

use super::{World, report::Teller};
use crate::error::{CliError, Result};

mod contracts;
mod domain;
mod genesis;
mod refusals;
mod release;
mod revocation;
mod start;
mod upgrade;
mod vote;

pub(crate) use domain::Vouched;

/// Runs step 2 to 10.
pub(crate) async fn run(step: usize, world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    match step {
        2 => contracts::run(world, teller).await,
        3 => start::run(world, teller).await,
        4 => genesis::run(world, teller).await,
        5 => vote::run(world, teller).await,
        6 => release::run(world, teller).await,
        7 => domain::run(world, teller).await,
        8 => upgrade::run(world, teller).await,
        9 => revocation::run(world, teller).await,
        10 => refusals::run(world, teller).await,
        other => Err(CliError::data(format!("there is no step {other}"))),
    }
}

/// A claim of the story.
pub(crate) fn hold(claim: bool, otherwise: impl Into<String>) -> Result<()> {
    if claim { Ok(()) } else { Err(CliError::refused(otherwise.into())) }
}
