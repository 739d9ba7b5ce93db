// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Step 9: the guardian revokes v2 in one transaction, and the next block shows it everywhere.

use std::time::{Duration, Instant};

use mandate_guest::instance::RegisterError;
use mandate_model::{Reason, bindings::AppAuth, outcome::PolicyReason};
use serde_json::json;

use super::{domain::connect, hold, release::tell_nodes};
use crate::{
    context::send,
    demo::{
        World,
        actors::Actor,
        chain::tell,
        guest::{V2, compose},
        report::{Kind, Teller},
    },
    error::{CliError, Result},
};

/// How long a revocation may take before the demo calls it failed.
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn run(world: &mut World, teller: &mut Teller<'_>) -> Result<()> {
    let code = compose(V2).1;
    let mut connection = connect(world).await?;
    connection.page().await?;
    teller.tell(Kind::Done, "a client keeps a connection to v2 open through the gateway");
    let closed = tokio::spawn(async move {
        connection.closed().await;
        Instant::now()
    });

    let auth = AppAuth::new(world.app, world.chain.of(Actor::Guardian)?);
    let sent = Instant::now();
    let receipt = send::<_, _, AppAuth::AppAuthErrors>(auth.revokeCode(code, false)).await?;
    tell(teller, Kind::Done, "the guardian revokes v2 in one transaction", &receipt);

    let closed = tokio::time::timeout(LIMIT, closed).await;
    let Ok(Ok(closed)) = closed else { return Err(CliError::refused("the open connection was not closed")) };
    let took = closed.saturating_duration_since(sent);
    let facts = [("milliseconds_from_transaction_to_close", json!(took.as_millis()))];
    teller.at(Kind::Done, "the gateway closes the open connection", receipt.block_number, None, &facts);
    world.revocation_effect = Some(took);

    let routes = async || world.services().ok().map(|services| services.gateway.routes());
    world.until("the route to be gone", routes, |routes| routes.iter().all(|r| r.code_hash != code)).await?;
    hold(connect(world).await.is_err(), "the gateway still takes connections to the domain")?;
    teller.at(Kind::Refused, "the gateway has no route to v2 any more", receipt.block_number, None, &[]);

    let vouched = world.vouched.as_ref().ok_or_else(|| CliError::data("v2 never registered"))?;
    let again = vouched.register(&world.ambient).await;
    let Err(RegisterError::Denied { reason, .. }) = again else {
        return Err(CliError::refused(format!("v2's statement was not refused: {again:?}")));
    };
    hold(
        reason == Reason::Policy(PolicyReason::CodeRevoked),
        format!("v2's statement was refused: {reason}"),
    )?;
    teller.tell(
        Kind::Refused,
        "the committee's statement about v2 has not ended, and the gateway refuses v2 all the same",
    );

    let asked = world.fetch(&world.guest(world.app, code)).await?;
    let Err(error) = asked else { return Err(CliError::refused("v2 still gets the secret")) };
    tell_nodes(teller, error.reports());
    let expected = Reason::Policy(PolicyReason::CodeRevoked);
    hold(error.denied() == Some(&expected), format!("v2 was not refused as revoked: {error}"))?;
    let receipts = error.reports().iter().filter_map(|r| r.outcome.receipt()).count();
    hold(receipts >= 3, "too few nodes left a receipt")?;
    teller.tell(Kind::Done, format!("{receipts} signed receipts say why"));
    Ok(())
}
