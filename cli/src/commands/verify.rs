// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate verify deployment`.

use serde_json::json;

use crate::{
    args::VerifyDeploymentArgs,
    context::Context,
    deploy::ParametersFile,
    error::{CliError, Result},
    verify::{Finding, Verifier},
};

pub(crate) async fn deployment(context: &Context<'_>, args: &VerifyDeploymentArgs) -> Result<()> {
    let file = ParametersFile::load(&args.parameters)?;
    let (provider, deployment) = context.reader().await?;
    let mut verifier = Verifier::new(&provider);
    verifier.protocol(&deployment, &file.protocol).await?;
    match (&file.dao, args.governor) {
        (Some(dao), Some(governor)) => verifier.dao(governor, dao).await?,
        (Some(_), None) => {
            return Err(CliError::data("the parameters have a [dao]: name its AppGovernor with --governor"));
        }
        (None, Some(_)) => return Err(CliError::data("--governor: the parameters have no [dao]")),
        (None, None) => {}
    }
    report(context, &provider, &verifier.findings()).await
}

async fn report(
    context: &Context<'_>,
    provider: &alloy::providers::DynProvider,
    findings: &[Finding],
) -> Result<()> {
    let drift: Vec<&Finding> = findings.iter().filter(|finding| !finding.holds).collect();
    let shown = json!({"compared": findings.len(), "drift": drift});
    context.print(provider, &shown).await?;
    if drift.is_empty() {
        return Ok(());
    }
    let text =
        format!("{} of {} do not hold: not the deployment of these parameters", drift.len(), findings.len());
    Err(CliError::refused(text))
}
