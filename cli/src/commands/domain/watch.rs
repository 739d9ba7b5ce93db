// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mandate domain watch`.

use std::{collections::BTreeSet, sync::Arc};

use mandate_runtime::{Clock, clock::SystemClock, shutdown};

use crate::{
    args::WatchArgs,
    context::Context,
    ct::{
        chain::Registry,
        effects::Webhook,
        logs,
        monitor::{Monitor, Settings},
        state::StateFile,
    },
    error::{CliError, Result},
};

pub(super) async fn run(context: &Context<'_>, args: &WatchArgs) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let logs = logs::read(&args.logs, logs::Purpose::Follow, clock.unix())
        .map_err(|e| CliError::config(format!("--logs {}: {e}", args.logs.display())))?;
    let webhook = match (&args.webhook, &args.webhook_secret_file) {
        (Some(url), Some(secret)) => Some(Webhook::new(url, secret)?),
        _ => None,
    };
    if args.interval.is_zero() {
        return Err(CliError::data("--interval must be above 0"));
    }
    let settings = Settings {
        logs,
        from: args.from,
        also: args.also.iter().map(|name| checked(name)).collect::<Result<BTreeSet<_>>>()?,
        grace: args.grace,
        interval: args.interval,
        webhook,
        report: args.report,
        format: context.format(),
    };
    let registry = registry(context, args).await?;
    let monitor = Monitor::new(settings, registry, clock, StateFile::open(&args.state)?)?;
    if args.once {
        return monitor.once().await;
    }
    let stop = shutdown::token().map_err(|e| CliError::unavailable(format!("cannot handle signals: {e}")))?;
    monitor.run(&stop).await
}

async fn registry(context: &Context<'_>, args: &WatchArgs) -> Result<Option<Registry>> {
    if args.no_registry {
        return Ok(None);
    }
    let (provider, deployment) = match args.report {
        true => {
            let (provider, deployment, _) = context.writer().await?;
            (provider, deployment)
        }
        false => context.reader().await?,
    };
    Ok(Some(Registry::new(provider, &deployment)))
}

/// A name as certificates have it, in lower case.
fn checked(name: &str) -> Result<String> {
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if lower.len() <= 253 && lower.contains('.') && lower.split('.').all(label) {
        return Ok(lower);
    }
    Err(CliError::data(format!(
        "--also {name:?} is no DNS name; wildcards are found by the names that they cover"
    )))
}
