// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `verify evidence`, `bundle`, `replay` and `audit` are told.

use std::{net::SocketAddr, path::PathBuf};

use alloy::primitives::{Address, B256};
use clap::Args;

use crate::commands::domain::verify::parse_resolver;

/// What evidence is judged by.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// Root certificate (DER) of a development PKI instead of the vendors' own; the answer says so
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Option<PathBuf>,
    /// Measurements (JSON) of an image that guests boot without a manifest, as nodes are configured with; may be repeated
    #[arg(long = "known-image", value_name = "FILE")]
    pub(crate) known_images: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyEvidenceArgs {
    /// File or http(s) URL: evidence as a guest encodes it, in hex, or in a request to a node or gateway
    #[arg(value_name = "FILE|URL")]
    pub(crate) evidence: String,
    /// The 64 bytes that the evidence must bind, in hex; default: what the request binds, otherwise not checked
    #[arg(long, value_name = "HEX")]
    pub(crate) report_data: Option<String>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// Key generation to ask for; 0 stands for the current one
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) generation: u64,
    /// A further endpoint of another operator; may be repeated
    #[arg(long = "endpoint", value_name = "URL")]
    pub(crate) endpoints: Vec<String>,
    /// How many endpoints must agree on the finalised block; default: all
    #[arg(long, value_name = "NUMBER")]
    pub(crate) quorum: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyDomainArgs {
    /// The site
    #[arg(value_name = "https://NAME[:PORT]")]
    pub(crate) site: String,
    /// Connect there, whatever DNS says
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) resolve: Option<SocketAddr>,
    /// Roots (PEM) that the site's certificate may lead to; default: the public ones
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Logs (JSON) whose word on the certificate counts: Google's log_list.json version 3, or one's own in that form. Without
    /// it that step is undecided, or left out with --ca
    #[arg(long, value_name = "FILE")]
    pub(crate) logs: Option<PathBuf>,
    /// Resolver to ask for the CAA records; may be repeated. Default: those of /etc/resolv.conf
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_resolver)]
    pub(crate) dns: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// A further endpoint of another operator; may be repeated
    #[arg(long = "endpoint", value_name = "URL")]
    pub(crate) endpoints: Vec<String>,
    /// How many endpoints must agree on a block; default: all
    #[arg(long, value_name = "NUMBER")]
    pub(crate) quorum: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The node's URL
    #[arg(value_name = "URL")]
    pub(crate) node: String,
    /// Number of the receipt
    #[arg(value_name = "NUMBER")]
    pub(crate) receipt: u64,
    /// Where to write it; default: bundle-NUMBER.json
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The bundle, as `mandate bundle` wrote it
    #[arg(value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// The node that must have signed; default: any
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) node: Option<Address>,
    /// Hash of the finalised block as known from elsewhere; default: the node's word
    #[arg(long, value_name = "HASH")]
    pub(crate) block: Option<B256>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Audit this node only, where the chain says or at URL; may be repeated. Default: every node that the committee lists
    #[arg(long = "node", value_name = "ADDRESS[=URL]", value_parser = parse_node)]
    pub(crate) nodes: Vec<(Address, Option<String>)>,
    /// Receipts that somebody holds (JSON: a receipt, a list of them, a node's answer or a bundle), which the logs must
    /// have; may be repeated
    #[arg(long = "held", value_name = "FILE")]
    pub(crate) held: Vec<PathBuf>,
    /// Directory with the logs as they were at the last audit, which the present ones must continue; kept up to date
    #[arg(long, value_name = "DIR")]
    pub(crate) archive: Option<PathBuf>,
    /// Check the logs only, and judge no decision again
    #[arg(long)]
    pub(crate) no_replay: bool,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

fn parse_node(text: &str) -> Result<(Address, Option<String>), String> {
    let (node, url) = match text.split_once('=') {
        Some((node, url)) => (node, Some(url.to_owned())),
        None => (text, None),
    };
    Ok((node.parse().map_err(|e| format!("{node:?} is no address: {e}"))?, url))
}
