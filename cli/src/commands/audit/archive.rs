// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The logs as earlier audits saw them: one file for each node, one receipt a line. It only grows.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use alloy::{primitives::Address, sol_types::Eip712Domain};
use mandate_model::receipt::Receipt;

use crate::{
    audit::Held,
    error::{CliError, Result},
};

/// One node's file.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: BufWriter<File>,
    next: u64,
}

impl Archive {
    /// Opens or makes the node's file. What it holds is returned as well.
    pub(super) fn open(directory: &Path, node: Address, domain: &Eip712Domain) -> Result<(Self, Vec<Held>)> {
        let path = directory.join(format!("{node:#x}.jsonl"));
        let failed = |e: io::Error| CliError::config(format!("--archive {}: {e}", path.display()));
        fs::create_dir_all(directory).map_err(failed)?;
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(failed)?;
        let mut held = Vec::new();
        let (mut lines, mut whole, mut line) = (BufReader::new(&file), 0, String::new());
        loop {
            line.clear();
            let length = lines.read_line(&mut line).map_err(failed)? as u64;
            // A line without an end was being written when an earlier audit was stopped.
            if !line.ends_with('\n') {
                break;
            }
            let hash = parse(&line, node, held.len() as u64, domain).ok_or_else(|| {
                let (path, number) = (path.display(), held.len());
                CliError::data(format!("{path}, line {}: not receipt {number} of {node}", number + 1))
            })?;
            held.push(Held { sequence: held.len() as u64, hash, by: "the archive".to_owned() });
            whole += length;
        }
        drop(lines);
        file.set_len(whole).map_err(failed)?;
        let next = held.len() as u64;
        Ok((Self { path, file: BufWriter::new(file), next }, held))
    }

    /// Adds what is new of receipts that follow each other.
    pub(super) fn extend(&mut self, receipts: &[Receipt]) -> Result<()> {
        for receipt in receipts.iter().filter(|receipt| receipt.sequence >= self.next) {
            let line = serde_json::to_string(receipt).map_err(|e| self.failed(&e))?;
            writeln!(self.file, "{line}").map_err(|e| self.failed(&e))?;
        }
        self.next = receipts.last().map_or(self.next, |last| self.next.max(last.sequence + 1));
        self.file.flush().map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> CliError {
        CliError::config(format!("--archive {}: {error}", self.path.display()))
    }
}

fn parse(line: &str, node: Address, sequence: u64, domain: &Eip712Domain) -> Option<alloy::primitives::B256> {
    let receipt: Receipt = serde_json::from_str(line).ok()?;
    let is_it = receipt.node == node && receipt.sequence == sequence && receipt.is_signed(domain);
    is_it.then(|| receipt.hash(domain))
}
