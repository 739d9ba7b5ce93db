// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line, as `mandate --help` shows it.

mod committee;
mod domain;
mod image;
mod judging;

use std::{path::PathBuf, time::Duration};

use alloy::primitives::{Address, B256, Bytes, U256};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use committee::{AdmitArgs, CommitteeCommand, OpenArgs, Switch};
pub(crate) use domain::{DomainCommand, WatchArgs};
pub(crate) use image::{ImageCommand, MeasureArgs, TdxShape};
pub(crate) use judging::{
    AuditArgs, BundleArgs, ReplayArgs, TrustArgs, VerifyDomainArgs, VerifyEvidenceArgs,
};

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 refused by the contracts or a check; 2 bad command line; 64 unreadable or invalid configuration or \
key; 65 bad input; 69 RPC or service unreachable, or a port taken; 75 undecided, neither yes nor no; 76 wrong chain.

Data goes to stdout, diagnostics to stderr. Secrets are read from files and the environment, never from arguments.";

/// No key without a mandate: governance for apps in trusted execution environments.
#[derive(Debug, Parser)]
#[command(name = "mandate", version, after_help = AFTER_HELP, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// File with the RPC endpoint and the addresses of a deployment
    #[arg(long, global = true, env = "MANDATE_CONFIG", value_name = "FILE", default_value = "mandate.toml")]
    pub(crate) config: PathBuf,
    /// JSON-RPC endpoint; overrides the one in the config file
    #[arg(long, global = true, env = "MANDATE_RPC", value_name = "URL")]
    pub(crate) rpc: Option<String>,
    /// Print JSON, one document per line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) wallet: WalletArgs,
}

/// Where the key that signs transactions comes from: keystore file, MANDATE_PRIVATE_KEY or MANDATE_MNEMONIC.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Key (for commands that send transactions)")]
pub(crate) struct WalletArgs {
    /// Encrypted keystore (Web3 Secret Storage); its password comes from --password-file or MANDATE_PASSWORD
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) keystore: Option<PathBuf>,
    /// File whose first line is the keystore's password
    #[arg(long, global = true, value_name = "FILE", requires = "keystore")]
    pub(crate) password_file: Option<PathBuf>,
    /// File with a BIP-39 mnemonic; otherwise MANDATE_MNEMONIC, otherwise MANDATE_PRIVATE_KEY
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "keystore")]
    pub(crate) mnemonic_file: Option<PathBuf>,
    /// Account of the mnemonic, m/44'/60'/0'/0/INDEX
    #[arg(long, global = true, value_name = "INDEX", default_value_t = 0)]
    pub(crate) account: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole story on an embedded chain: a vote releases a key and issues a certificate
    Demo(DemoArgs),
    /// Deploy the contracts and write the config file
    Deploy(DeployArgs),
    /// Register, show and govern apps
    #[command(subcommand)]
    App(AppCommand),
    /// Propose calls to an AppGovernor
    Propose(ProposeArgs),
    /// Vote on a proposal
    Vote(VoteArgs),
    /// Let one's tokens vote: at once for oneself, or for somebody else
    Delegate(DelegateArgs),
    /// Queue a proposal that succeeded: its veto window starts
    Queue(ProposalArgs),
    /// Execute a queued proposal after its veto window
    Execute(ProposalArgs),
    /// The KMS committee
    #[command(subcommand)]
    Committee(CommitteeCommand),
    /// Domains and their certificates
    #[command(subcommand)]
    Domain(DomainCommand),
    /// OS images: what their files measure to
    #[command(subcommand)]
    Image(ImageCommand),
    /// The deployment at a glance
    Status,
    /// Verify a guest's evidence, or a deployment, against the chain
    #[command(subcommand)]
    Verify(VerifyCommand),
    /// Fetch from a node all that one of its receipts rests on
    Bundle(BundleArgs),
    /// Judge a decision again from its bundle, offline: 0 allowed, 1 denied, 75 the node's own word, 65 it does not hold
    Replay(ReplayArgs),
    /// Audit the nodes' receipts: whole, anchored, the same for everybody, and each decision judged again; 0 all holds, 1
    /// findings, 75 something could not be asked
    Audit(AuditArgs),
    /// Call any view of any contract, e.g. `mandate query AppAuth.codeState 0xHASH --at 0xAPP`
    Query(QueryArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave everything running afterwards and print commands to play with
    #[arg(long)]
    pub(crate) keep: bool,
    /// Port of the chain's JSON-RPC on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) rpc_port: u16,
    /// Use the embedded certificate issuer even when `pebble` is installed
    #[arg(long)]
    pub(crate) embedded_issuer: bool,
    /// Directory for sockets, databases and the config file; default: a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// TOML file with the parameters, as script/deploy/l1.toml; default: a development deployment owned by the sender
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: Option<PathBuf>,
    /// Refuse unless the endpoint has this chain id
    #[arg(long, value_name = "ID")]
    pub(crate) chain_id: Option<u64>,
    /// Replace the config file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Deploy an app's AppAuth and register it; its address is the app id
    Register(RegisterArgs),
    /// An app's rules and versions
    Show {
        /// The app id
        app: Address,
    },
    /// Let a code hash run after the app's notice
    Schedule(ScheduleArgs),
    /// End a code hash for good, at once
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Who governs the app; default: the sender
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) owner: Option<Address>,
    /// Who may revoke and pause at once
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) guardian: Option<Address>,
    /// Time between a decision to loosen and its effect
    #[arg(long, value_name = "TIME", default_value = "2days", value_parser = humantime::parse_duration)]
    pub(crate) notice: Duration,
    /// First code hash, active at once; may be repeated
    #[arg(long = "code", value_name = "HASH")]
    pub(crate) codes: Vec<B256>,
    /// A device that is allowed at once; may be repeated. Without any, every device is allowed
    #[arg(long = "device", value_name = "ID")]
    pub(crate) devices: Vec<B256>,
    /// Kinds of TEE that are allowed; may be repeated
    #[arg(long = "tee", value_enum, default_values = ["tdx"])]
    pub(crate) tees: Vec<Tee>,
    /// The worst TCB status that is allowed
    #[arg(long, value_enum, default_value_t = Tcb::UpToDate)]
    pub(crate) tcb_floor: Tcb,
    /// A contract (ICondition) that must say yes to every boot as well; may be repeated
    #[arg(long = "condition", value_name = "ADDRESS")]
    pub(crate) conditions: Vec<Address>,
    /// Let only boots with a launch ticket have keys
    #[arg(long)]
    pub(crate) require_ticket: bool,
    /// SHA-256 of a launch ticket that is allowed at once; may be repeated; implies --require-ticket
    #[arg(long = "ticket", value_name = "HASH")]
    pub(crate) tickets: Vec<B256>,
    /// Fixes the app id in advance; default: a random one
    #[arg(long, value_name = "HASH")]
    pub(crate) salt: Option<B256>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Tee {
    Tdx = 1,
    Snp = 2,
    Nitro = 3,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Tcb {
    UpToDate = 1,
    SwHardeningNeeded = 2,
    ConfigurationNeeded = 3,
    ConfigurationAndSwHardeningNeeded = 4,
    OutOfDate = 5,
    OutOfDateConfigurationNeeded = 6,
}

/// Send a call directly, or make a proposal of it.
#[derive(Debug, Args)]
pub(crate) struct Route {
    /// Propose the call to this AppGovernor instead of sending it
    #[arg(long, value_name = "GOVERNOR")]
    pub(crate) propose: Option<Address>,
    /// Text of the proposal
    #[arg(long, value_name = "TEXT", requires = "propose")]
    pub(crate) description: Option<String>,
    /// Send nothing: print the call as TARGET:DATA, for `mandate propose`, a council's motion or a Safe
    #[arg(long, conflicts_with = "propose")]
    pub(crate) calldata: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    /// The app id
    pub(crate) app: Address,
    /// The code hash: SHA-256 of app-compose.json
    #[arg(required_unless_present = "compose", conflicts_with = "compose")]
    pub(crate) code: Option<B256>,
    /// Take the hash from this app-compose.json, exactly as it will be booted
    #[arg(long, value_name = "FILE")]
    pub(crate) compose: Option<PathBuf>,
    /// Where voters find the source
    #[arg(long, value_name = "URI", default_value = "")]
    pub(crate) source: String,
    /// Retire the present versions after this one becomes active
    #[arg(long)]
    pub(crate) supersede: bool,
    /// How long the present versions stay beside it; longer than the notice leaves time to go back to them
    #[arg(long, value_name = "TIME", default_value = "3days", value_parser = humantime::parse_duration)]
    pub(crate) handover: Duration,
    #[command(flatten)]
    pub(crate) route: Route,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The app id
    pub(crate) app: Address,
    /// The code hash
    pub(crate) code: B256,
    /// Raise the key generation as well
    #[arg(long)]
    pub(crate) rotate: bool,
    #[command(flatten)]
    pub(crate) route: Route,
}

#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// The AppGovernor
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) governor: Address,
    /// A call as TARGET:DATA in hex; may be repeated
    #[arg(long = "call", value_name = "TARGET:DATA", required = true, value_parser = parse_call)]
    pub(crate) calls: Vec<(Address, Bytes)>,
    /// Text of the proposal
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: String,
}

#[derive(Debug, Args)]
pub(crate) struct VoteArgs {
    #[command(flatten)]
    pub(crate) proposal: ProposalArgs,
    /// The vote
    #[arg(value_enum)]
    pub(crate) support: Support,
    /// Reason, recorded on chain
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Support {
    Against = 0,
    For = 1,
    Abstain = 2,
}

#[derive(Debug, Args)]
pub(crate) struct DelegateArgs {
    /// The AppGovernor whose token is meant
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) governor: Address,
    /// Who votes; default: the sender
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Option<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct ProposalArgs {
    /// The AppGovernor
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) governor: Address,
    /// The proposal's id, as `propose` printed it
    pub(crate) id: U256,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Every contract's code, every role and parameter of a deployment; ends in 1 when one has drifted
    Deployment(VerifyDeploymentArgs),
    /// What evidence proves, and what the contracts say of it on proven state: 0 allowed, 1 denied, 75 undecided
    Evidence(VerifyEvidenceArgs),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyDeploymentArgs {
    /// TOML file that `mandate deploy` was given
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: PathBuf,
    /// The AppGovernor of the parameters' [dao]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) governor: Option<Address>,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// CONTRACT.function, e.g. KmsAuth.isRegistered; overloads by full signature
    pub(crate) view: String,
    /// Arguments as `cast` takes them: 0x…, numbers, text, (tuples), [arrays]
    pub(crate) arguments: Vec<String>,
    /// The contract's address, where the config file does not name it (AppAuth, AppGovernor, GovernanceToken)
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) at: Option<Address>,
    /// Block: a number, or latest, safe, finalized
    #[arg(long, value_name = "BLOCK", default_value = "finalized")]
    pub(crate) block: alloy::eips::BlockNumberOrTag,
}

fn parse_call(text: &str) -> Result<(Address, Bytes), String> {
    let (target, data) = text.split_once(':').ok_or("expected TARGET:DATA, e.g. 0xAPP:0x1234")?;
    let target = target.parse().map_err(|e| format!("target {target:?}: {e}"))?;
    let data = data.parse().map_err(|e| format!("data: {e}"))?;
    Ok((target, data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn call_is_refused_when_it_has_no_target() {
        assert!(Cli::try_parse_from(["mandate", "propose", "--governor", "0x1", "--call", "0x12"]).is_err());
    }
}
