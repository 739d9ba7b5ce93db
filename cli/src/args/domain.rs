// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `mandate domain` is told.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{Address, B256};
use clap::{Args, Subcommand};

use super::{Route, VerifyDomainArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Let an app serve a domain (by the app's owner)
    Add {
        /// The domain
        name: String,
        /// The app id
        app: Address,
        #[command(flatten)]
        route: Route,
    },
    /// A domain's app, pinned ACME account and certificate
    Show {
        /// The domain
        name: String,
    },
    /// A live site end to end: TLS key, evidence, code, decision, record, CAA, logs, incidents; 0 ok, 1 failed, 75 undecided
    Verify(VerifyDomainArgs),
    /// Watch Certificate Transparency logs for certificates of the registry's domains that nobody recorded; with --once: 0
    /// nothing unknown, 1 something unknown or a log that misbehaves, 75 not everything could be looked at
    Watch(WatchArgs),
    /// A domain's incidents: certificates that somebody saw and that were not recorded
    Incidents {
        /// The domain
        name: String,
    },
    /// Close an incident, with a record of why (by the app's owner; for good)
    CloseIncident {
        /// The domain
        name: String,
        /// SHA-256 of the certificate
        fingerprint: B256,
        /// Why it needs no more attention: 1 to 512 bytes, recorded on chain
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        route: Route,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// List of logs (JSON): Google's log_list.json version 3, or one's own in that form
    #[arg(long, value_name = "FILE")]
    pub(crate) logs: PathBuf,
    /// Where it keeps how far each log is verified and what is still to be told
    #[arg(long, value_name = "FILE", default_value = "mandate-ct.json")]
    pub(crate) state: PathBuf,
    /// Follow the logs to their present ends and stop
    #[arg(long)]
    pub(crate) once: bool,
    /// Entry to begin at in logs that the state does not know; default: their present ends
    #[arg(long, value_name = "INDEX")]
    pub(crate) from: Option<u64>,
    /// Pause between visits
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) interval: Duration,
    /// How long a certificate may be unrecorded before it is an incident; counts from when the log took it
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) grace: Duration,
    /// A name to watch that the registry does not have: every certificate of it is told; may be repeated
    #[arg(long = "also", value_name = "NAME")]
    pub(crate) also: Vec<String>,
    /// Watch only the names of --also, without a chain
    #[arg(long, requires = "also", conflicts_with = "report")]
    pub(crate) no_registry: bool,
    /// Send incidents and alarms here as well: an https URL
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    pub(crate) webhook: Option<String>,
    /// File of mode 0600 with the secret that signs them (HMAC-SHA256, as the relayer's webhooks)
    #[arg(long, value_name = "FILE", requires = "webhook")]
    pub(crate) webhook_secret_file: Option<PathBuf>,
    /// Report incidents on chain, where `domain verify` and everybody else sees them; needs a key that pays the gas
    #[arg(long)]
    pub(crate) report: bool,
}
