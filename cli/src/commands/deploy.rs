// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate deploy`.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    args::DeployArgs,
    connection::{chain_id, check_chain},
    context::{ConfigFile, Context, unwritable},
    deploy::{self, Parameters, ParametersFile},
    error::{CliError, Result},
};

pub(crate) async fn run(context: &Context<'_>, args: &DeployArgs) -> Result<()> {
    let target = &context.global.config;
    if target.exists() && !args.force {
        let text =
            format!("{} exists: name another with --config, or replace it with --force", target.display());
        return Err(CliError::config(text));
    }
    let file = args.parameters.as_deref().map(ParametersFile::load).transpose()?;
    let url = context.endpoint(None)?;
    let (provider, sender) = context.signing(&url).await?;
    match args.chain_id {
        Some(expected) => check_chain(&provider, &url, expected, "--chain-id is").await?,
        None => drop(chain_id(&provider, &url).await?),
    }
    let ParametersFile { protocol, dao } =
        file.unwrap_or_else(|| ParametersFile { protocol: Parameters::development(sender), dao: None });
    writable(target)?;
    let (deployment, mut deployed) = deploy::protocol(&provider, &protocol).await?;
    ConfigFile { rpc: Some(url), deployment }.write(target)?;
    if let Some(dao) = &dao {
        deployed.extend(<[_; 2]>::from(deploy::dao(&provider, dao).await?));
    }
    let printed = json!({"config": target.display().to_string(), "deployed": deployed});
    context.print(&provider, &printed).await
}

/// Refuses a target that cannot be written, before anything is paid for. A deployment that fails leaves no file behind.
fn writable(target: &Path) -> Result<()> {
    let existed = target.exists();
    let opened = fs::OpenOptions::new().append(true).create(true).open(target);
    let kept = |_| if existed { Ok(()) } else { fs::remove_file(target) };
    opened.and_then(kept).map_err(|e| unwritable(target, &e))
}
