// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate deploy`.

use std::fs;

use serde_json::json;

use crate::{
    args::DeployArgs,
    context::{ConfigFile, Context, chain_id, check_chain},
    deploy::{self, Parameters},
    error::{CliError, Result},
};

pub(crate) async fn run(context: &Context<'_>, args: &DeployArgs) -> Result<()> {
    let target = &context.global.config;
    if target.exists() && !args.force {
        let text =
            format!("{} exists: name another with --config, or replace it with --force", target.display());
        return Err(CliError::config(text));
    }
    let url = context.endpoint(None)?;
    let (provider, sender) = context.signing(&url).await?;
    match args.chain_id {
        Some(expected) => check_chain(&provider, &url, expected).await?,
        None => drop(chain_id(&provider, &url).await?),
    }
    let parameters = match &args.parameters {
        Some(path) => {
            let text = fs::read_to_string(path)
                .map_err(|e| CliError::config(format!("cannot read parameters {}: {e}", path.display())))?;
            toml::from_str(&text)
                .map_err(|e| CliError::config(format!("parameters {}: {e}", path.display())))?
        }
        None => Parameters::development(sender),
    };
    let (deployment, deployed) = deploy::protocol(&provider, &parameters).await?;
    let file = ConfigFile { rpc: Some(url), deployment };
    write(target, &file)?;
    context.print(&json!({"config": target.display().to_string(), "deployed": deployed}))
}

/// Writes the config file that the other commands read.
pub(crate) fn write(target: &std::path::Path, file: &ConfigFile) -> Result<()> {
    let text = toml::to_string(file).map_err(CliError::config)?;
    fs::write(target, text).map_err(|e| CliError::config(format!("cannot write {}: {e}", target.display())))
}
