// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate domain add|show|verify|watch|incidents|close-incident`.

mod incidents;
pub(crate) mod verify;
mod watch;

use alloy::{primitives::Address, sol_types::SolCall};
use mandate_model::bindings::DomainRegistry::{self, DomainRegistryErrors as Errors};
use serde_json::json;

use super::governance::direct_or_propose;
use crate::{
    args::{DomainCommand, Route},
    context::{ConfigFile, Context, send, sent, view},
    error::{CliError, Result},
};

pub(crate) async fn run(context: &Context<'_>, command: &DomainCommand) -> Result<()> {
    match command {
        DomainCommand::Add { name, app, route } => add(context, name, *app, route).await,
        DomainCommand::Show { name } => show(context, name).await,
        DomainCommand::Verify(args) => verify::run(context, args).await,
        DomainCommand::Watch(args) => watch::run(context, args).await,
        DomainCommand::Incidents { name } => incidents::list(context, name).await,
        DomainCommand::CloseIncident { name, fingerprint, reason, route } => {
            incidents::close(context, name, *fingerprint, reason, route).await
        }
    }
}

async fn add(context: &Context<'_>, name: &str, app: Address, route: &Route) -> Result<()> {
    let registry = ConfigFile::load(&context.global.config)?.deployment.domain_registry;
    let call = DomainRegistry::approveDomainCall { name: name.to_owned(), app };
    let description = format!("Let app {app} serve {name}");
    if direct_or_propose(context, route, registry, call.abi_encode().into(), description).await?.is_some() {
        return Ok(());
    }
    let (provider, ..) = context.writer().await?;
    let registry = DomainRegistry::new(registry, &provider);
    let receipt = send::<_, _, Errors>(registry.approveDomain(name.to_owned(), app)).await?;
    let (block, transaction) = sent(&receipt);
    context
        .print(&provider, &json!({"name": name, "app": app, "block": block, "transaction": transaction}))
        .await
}

async fn show(context: &Context<'_>, name: &str) -> Result<()> {
    let (provider, deployment) = context.reader().await?;
    let registry = DomainRegistry::new(deployment.domain_registry, &provider);
    let domain = view::<_, _, Errors>(registry.domain(name.to_owned())).await?;
    if domain.app.is_zero() {
        return Err(CliError::data(format!("no app may serve {name}; `mandate domain add` approves one")));
    }
    context.print(&provider, &json!({
        "name": domain.name, "app": domain.app, "approvedAt": domain.approvedAt.to::<u64>(),
        "issuer": domain.issuer, "accountUri": domain.accountUri,
        "certificate": domain.certificate, "spkiHash": domain.spkiHash, "notAfter": domain.notAfter.to::<u64>(),
    })).await
}
