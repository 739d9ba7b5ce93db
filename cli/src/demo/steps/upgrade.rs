// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 8: v2 supersedes v1, gets the same secret, and v1 is refused after the handover.

use std::time::Duration;

use alloy::{primitives::aliases::U40, sol_types::SolCall};
use mandate_model::{Reason, bindings::AppAuth, outcome::PolicyReason};
use serde_json::json;

use super::{
    domain::{connect, page_of, start_vouched_instance},
    hold,
    release::{app_address, tell_nodes, tell_secret},
    vote::await_notice,
};
use crate::{
    demo::{
        World,
        guest::{V1, V2, compose},
        report::{Kind, Teller},
    },
    error::{CliError, Result},
};

const HANDOVER: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let (v1, v2) = (compose(V1).1, compose(V2).1);
    let call = AppAuth::scheduleCodeCall {
        codeHash: v2,
        sourceUri: "https://example.org/notes/v2".into(),
        supersede: true,
        handover: U40::from(HANDOVER.as_secs()),
    };
    let text = format!("run notes v2, code {v2}, in place of v1");
    world
        .chain
        .dao_passes(teller, world.governor, vec![(world.app, call.abi_encode().into())], &text)
        .await?;
    await_notice(world, teller, v2).await?;

    let fetched = world.fetch(&world.guest(world.app, v2)).await?.map_err(CliError::refused)?;
    tell_secret(teller, &fetched);
    let before = world.secret.as_ref().and_then(app_address);
    let same = world.secret.as_ref().is_some_and(|s| s.secret.expose() == fetched.secret.expose());
    hold(same, "v2 did not get v1's secret")?;
    teller.at(Kind::Done, "v2's secret is v1's", None, None, &[("app_key_address", json!(before))]);

    world.fetch(&world.guest(world.app, v1)).await?.map_err(CliError::refused)?;
    teller.tell(Kind::Done, "during the handover v1 still gets it too");
    start_vouched_instance(world, teller).await?;

    world.chain.pass(HANDOVER + Duration::from_secs(1))?;
    let text = format!("the handover of {} passes", humantime::format_duration(HANDOVER));
    teller.at(Kind::Done, text, Some(world.chain.dev.head().number()), None, &[]);
    world.settle().await?;
    let refused = world.fetch(&world.guest(world.app, v1)).await?;
    let Err(error) = refused else {
        return Err(CliError::refused("v1 still gets the secret after its handover"));
    };
    tell_nodes(teller, error.reports());
    let expected = Reason::Policy(PolicyReason::CodeRetired);
    hold(error.denied() == Some(&expected), format!("v1 was not refused as retired: {error}"))?;
    await_v2_page(world, teller).await
}

/// v1's route ends with its permission; from then on the domain serves v2 alone.
async fn await_v2_page(world: &World, teller: &mut Teller<'_>) -> Result<()> {
    let routes = async || world.services().ok().map(|services| services.gateway.routes());
    let v2 = compose(V2).1;
    let only_v2 = |routes: &Vec<mandate_model::wire::gateway::Route>| {
        !routes.is_empty() && routes.iter().all(|route| route.code_hash == v2)
    };
    world.until("v1's route to end", routes, only_v2).await?;
    let page = connect(world).await?.page().await?;
    hold(page == page_of(V2), format!("the page is not v2's: {page:?}"))?;
    teller.at(Kind::Done, "v1's route has ended; the domain serves v2", None, None, &[("page", json!(page))]);
    Ok(())
}
