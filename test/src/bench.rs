// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is measured, and how a figure is told: `NAME value unit target ok|short`, followed by `PEER=value` when something
//! comparable was measured in the same run.

use anyhow::{Context, Result};

mod demo;
mod evidence;
mod figure;
mod gateway;
mod kms;
mod relayer;
mod release;
mod report;
mod revocation;
mod witness;

pub use figure::{Figure, Times};
pub use gateway::{GATEWAY_ROLE, gateway_role};
pub use relayer::{RELAYER_ROLE, relayer_role};

/// One benchmark: some figures that are measured together.
#[derive(Debug, Clone, Copy)]
pub struct Bench {
    /// Its name on the command line; its figures' names begin with it.
    pub name: &'static str,
    /// What it measures.
    pub about: &'static str,
    /// How often, unless told otherwise.
    samples: usize,
}

/// All of them.
pub const BENCHES: [Bench; 21] = [
    Bench {
        name: "backfill",
        about: "a relayer catches up with a long chain into SQLite, beside ponder; thousands of blocks",
        samples: 200,
    },
    Bench {
        name: "boots",
        about: "so many apps with three instances each fetch their secret at once from four nodes; takes minutes",
        samples: 10_000,
    },
    Bench {
        name: "ceremony",
        about: "a committee of 4, 7, 13 and 31 nodes makes its first key through relayer and chain",
        samples: 3,
    },
    Bench { name: "day", about: "a relayer follows hours of blocks at 12 s, as fast as it can", samples: 48 },
    Bench { name: "demo", about: "the whole demo in one process, from nothing to the last step", samples: 5 },
    Bench {
        name: "effect-latency",
        about: "from a block with a revocation to the gateway that is told of it",
        samples: 300,
    },
    Bench {
        name: "gateway-acme",
        about: "orders of so many names at pebble with PowerDNS, CAA published before; each once more with CAA in place",
        samples: 50,
    },
    Bench {
        name: "gateway-idle",
        about: "memory of so many silent connections whose TLS is ended, beside nginx and HAProxy; two descriptors a connection, here and in each",
        samples: 9_900,
    },
    Bench {
        name: "gateway-keepalive",
        about: "requests on open connections whose TLS is ended, beside nginx and HAProxy; rounds",
        samples: 3,
    },
    Bench {
        name: "gateway-load",
        about: "a gateway's start with so many certificates in its SQLite, each of an app of its own, until all are served",
        samples: 10_000,
    },
    Bench {
        name: "gateway-passthrough",
        about: "new connections whose TLS passes through, and throughput, beside nginx and HAProxy; rounds",
        samples: 3,
    },
    Bench {
        name: "gateway-revoke",
        about: "from a relayer's message to the last byte on so many busy connections",
        samples: 500,
    },
    Bench {
        name: "gateway-terminate",
        about: "new TLS 1.3 connections that are ended and passed on over TLS, beside nginx and HAProxy; rounds",
        samples: 3,
    },
    Bench {
        name: "kms-rate",
        about: "releases of one node, beside a service with one key that checks and reads the same",
        samples: 2_000,
    },
    Bench {
        name: "release",
        about: "a guest's whole fetch of its secret from four nodes on loopback, warm",
        samples: 300,
    },
    Bench {
        name: "release-degraded",
        about: "a guest's fetch from four nodes: all well, one dead, one slow",
        samples: 300,
    },
    Bench {
        name: "revocation",
        about: "from the block with the guardian's transaction to the closed connection at the gateway",
        samples: 30,
    },
    Bench {
        name: "ten-relayers",
        about: "ten relayers on one PostgreSQL tell a gateway and a node of revocations, each once; so many blocks",
        samples: 200,
    },
    Bench {
        name: "verify-quote",
        about: "verification of a TDX guest's whole evidence, beside a bare dcap-qvl verification of its quote",
        samples: 500,
    },
    Bench {
        name: "verify-report",
        about: "verification of a SEV-SNP guest's whole evidence, its certificate chain seen before and not",
        samples: 100,
    },
    Bench {
        name: "witness",
        about: "the witness of a decision: building it over HTTP, verifying and deciding on it, its size; among 1 to \
                1,000,000 apps",
        samples: 300,
    },
];

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Names of benchmarks, in order.
    pub names: Vec<&'static str>,
    /// How often each measures.
    pub samples: Option<usize>,
}

impl Plan {
    /// Reads `NAME… [--samples N]`; `all` stands for every name.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let (mut names, mut samples) = (Vec::new(), None);
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            if argument == "--samples" {
                let number = arguments.next().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
                samples = Some(number.ok_or("--samples needs a number above 0")?);
            } else if argument == "all" {
                names.extend(BENCHES.map(|bench| bench.name));
            } else {
                let known = BENCHES.iter().find(|bench| bench.name == argument);
                names.push(known.ok_or_else(|| format!("there is no {argument}; `list` names all"))?.name);
            }
        }
        match names.is_empty() {
            true => Err("name at least one benchmark, or `all`; `list` names them".to_owned()),
            false => Ok(Self { names, samples }),
        }
    }
}

/// Runs one benchmark.
///
/// # Errors
/// When it could not be measured.
pub async fn measure(name: &str, samples: Option<usize>) -> Result<Vec<Figure>> {
    let bench = BENCHES.iter().find(|bench| bench.name == name).context("there is no such benchmark")?;
    let samples = samples.unwrap_or(bench.samples);
    let figures = match bench.name {
        "backfill" => relayer::backfill(samples).await,
        "day" => relayer::day(samples).await,
        "effect-latency" => relayer::latency(samples).await,
        "ten-relayers" => relayer::fleet(samples).await,
        "gateway-acme" => gateway::acme(samples).await,
        "gateway-idle" => gateway::idle(samples).await,
        "gateway-keepalive" => gateway::keepalive(samples).await,
        "gateway-load" => gateway::load(samples).await,
        "gateway-passthrough" => gateway::passthrough(samples).await,
        "gateway-revoke" => gateway::revoke(samples).await,
        "gateway-terminate" => gateway::terminate(samples).await,
        "boots" => kms::boots(samples).await,
        "ceremony" => kms::ceremony(samples).await,
        "kms-rate" => kms::rate(samples).await,
        "release-degraded" => kms::degraded(samples).await,
        "demo" => demo::measure(samples).await,
        "release" => release::measure(samples).await,
        "revocation" => revocation::measure(samples).await,
        "verify-quote" => evidence::measure(samples),
        "verify-report" => report::measure(samples),
        _ => witness::measure(samples).await,
    };
    figures.with_context(|| format!("cannot measure {name}"))
}

/// A directory and free ports for a world of its own, with the embedded issuer unless `authority`.
fn options(dir: &tempfile::TempDir, authority: bool) -> mandate_cli::demo::Options {
    mandate_cli::demo::Options { dir: dir.path().to_owned(), rpc_port: 0, embedded_issuer: !authority }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Plan, String> {
        Plan::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn plan_names_what_exists_and_nothing_else() {
        let plan = parse("witness --samples 7 demo").unwrap();
        assert_eq!(plan, Plan { names: vec!["witness", "demo"], samples: Some(7) });
        assert_eq!(parse("all").unwrap().names.len(), BENCHES.len());
        for (line, why) in [
            ("", "at least one"),
            ("speed", "no speed"),
            ("demo --samples 0", "above 0"),
            ("--samples", "above 0"),
        ] {
            assert!(parse(line).unwrap_err().contains(why), "{line}");
        }
    }

    #[tokio::test]
    async fn quote_figures_come_with_their_peer() {
        let figures = measure("verify-quote", Some(3)).await.unwrap();
        let lines: Vec<String> = figures.iter().map(ToString::to_string).collect();
        assert!(lines.iter().any(|line| line.contains("dcap-qvl=")), "{lines:?}");
    }
}
