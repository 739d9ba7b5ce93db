// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may be wrong with an endpoint.

use std::time::Duration;

/// What is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// It says that it serves this chain.
    pub chain_id: Option<u64>,
    /// It is so many blocks behind, and answers ranges beyond its head with what it has.
    pub lag: u64,
    /// It calls a block of its own making final.
    pub false_finality: bool,
    /// It has a block of its own making at this height, for whoever asks by number.
    pub false_at: Option<u64>,
    /// From now on its heads are of its own making, without any logs.
    pub false_head: bool,
    /// Its newest header has another hash than it says.
    pub false_hash: bool,
    /// One bit of each log is another.
    pub altered_logs: bool,
    /// It leaves every log of these transactions' blocks out.
    pub hide_logs: bool,
    /// It gives so many logs at most, without a word.
    pub cut: Option<usize>,
    /// It refuses longer ranges, in these words.
    pub cap_range: Option<(u64, Refusal)>,
    /// It refuses larger answers, in these words.
    pub cap_results: Option<(usize, Refusal)>,
    /// It refuses every n-th request as one too many, in these words.
    pub limit: Option<(u64, Refusal)>,
    /// Every n-th request finds it away.
    pub flaps: Option<u64>,
    /// It takes its time.
    pub slow: Option<Duration>,
    /// It never answers.
    pub hangs: bool,
    /// What it says is no JSON-RPC.
    pub malformed: bool,
    /// It has no `eth_getBlockReceipts`.
    pub no_receipts: bool,
    /// It has no state but that of its newest block.
    pub forgets: bool,
    /// Its subscriptions say nothing.
    pub silent: bool,
}

/// Faults that one endpoint of three may have without any consequence, all of them in turn, each at every endpoint in turn:
/// its name, where, and what.
pub fn harmless(turn: usize) -> (&'static str, usize, Faults) {
    let none = Faults::default;
    let limit = |how| Faults { limit: Some((3, how)), ..Faults::default() };
    let mut all = [
        ("lag", Faults { lag: 3, ..none() }),
        ("far lag", Faults { lag: 1_000, ..none() }),
        ("flapping", Faults { flaps: Some(2), ..none() }),
        ("away", Faults { flaps: Some(1), ..none() }),
        ("429", limit(Refusal::Status(429, "slow down"))),
        ("-32005", limit(Refusal::Code(-32005, "rate limited, try again in 1ms"))),
        ("malformed", Faults { malformed: true, ..none() }),
        ("altered logs", Faults { altered_logs: true, ..none() }),
        ("hidden logs", Faults { hide_logs: true, ..none() }),
        ("cut logs", Faults { cut: Some(1), ..none() }),
        ("no receipts", Faults { no_receipts: true, ..none() }),
        ("false hash", Faults { false_hash: true, ..none() }),
    ];
    let (rounds, index) = (turn / all.len(), turn % all.len());
    let (name, faults) = std::mem::take(&mut all[index]);
    (name, (rounds + turn) % 3, faults)
}

/// How it refuses.
#[derive(Debug, Clone, Copy)]
pub enum Refusal {
    /// A JSON-RPC error.
    Code(i64, &'static str),
    /// An HTTP status with a body.
    Status(u16, &'static str),
}
