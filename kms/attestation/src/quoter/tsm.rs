// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Evidence from the kernel: quotes through configfs-tsm, event log and image manifest from files, collateral from a PCCS
//! or from files.
//!
//! A quote is asked for by making a directory under `/sys/kernel/config/tsm/report`, writing the report data to its
//! `inblob` and reading `outblob`. The directory is this request's alone; `generation` counts the writes to it, so a
//! number that is off by more than ours means that somebody else wrote.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::{FutureExt, future::BoxFuture};

use super::{EvidenceSources, Quoter, QuoterError, Surroundings};
use crate::{
    Event, Evidence, TdxEvidence,
    pccs::{CollateralClient, Https},
    upstream,
};

/// Where the kernel has its report interface.
pub const REPORT_DIR: &str = "/sys/kernel/config/tsm/report";

const PROVIDER: &str = "tdx_guest";
const MAX_QUOTE: u64 = 16 * 1024;
const MAX_FILE: u64 = 256 * 1024;

/// The production quoter: this TD's own quotes.
#[derive(Debug, Clone)]
pub struct TsmQuoter {
    surroundings: Surroundings,
    sources: Arc<EvidenceSources>,
    collateral: Arc<CollateralClient>,
    create: fn(&Path) -> io::Result<()>,
}

impl TsmQuoter {
    /// Quotes with what belongs to them from the configured places.
    ///
    /// # Errors
    /// When the collateral's place cannot be used. Nothing is contacted yet.
    pub fn new(surroundings: Surroundings, sources: EvidenceSources) -> Result<Self, QuoterError> {
        let https = Https::with_public_roots().map_err(|e| QuoterError::Collateral(e.to_string()))?;
        let collateral = CollateralClient::new(&sources.collateral, Arc::new(https))?;
        Ok(Self {
            surroundings,
            sources: Arc::new(sources),
            collateral: Arc::new(collateral),
            create: |path| std::fs::create_dir(path),
        })
    }

    async fn whole(&self, report_data: [u8; 64]) -> Result<Evidence, QuoterError> {
        let this = self.clone();
        let local = tokio::task::spawn_blocking(move || {
            let quote = this.quote(&report_data)?;
            let event_log = event_log(&this.sources.event_log)?;
            let image = this.sources.image.as_ref().map(|path| read("image manifest", path)).transpose()?;
            Ok((quote, event_log, image.unwrap_or_default()))
        });
        let (quote, event_log, image) = local.await.unwrap_or_else(|error| {
            Err(QuoterError::Quote {
                place: self.sources.report_dir.display().to_string(),
                what: error.to_string(),
            })
        })?;
        let collateral = self.collateral.collateral(&quote, (self.surroundings.now)()).await?;
        Ok(Evidence::Tdx(Box::new(TdxEvidence { quote, event_log, image, collateral })))
    }

    fn quote(&self, report_data: &[u8; 64]) -> Result<Vec<u8>, QuoterError> {
        let name = hex::encode((self.surroundings.random)());
        let entry = self.sources.report_dir.join(format!("mandate-{name}"));
        let failed = |what: String| QuoterError::Quote { place: entry.display().to_string(), what };
        (self.create)(&entry).map_err(|e| failed(format!("cannot be made: {e}")))?;
        let quote = report(&entry, report_data).map_err(failed);
        if let Err(error) = std::fs::remove_dir(&entry) {
            tracing::debug!(entry = %entry.display(), %error, "report entry stays");
        }
        quote
    }
}

impl Quoter for TsmQuoter {
    fn evidence(&self, report_data: [u8; 64]) -> BoxFuture<'_, Result<Evidence, QuoterError>> {
        self.whole(report_data).boxed()
    }
}

/// One report through the entry. Attributes are opened without creating them: a directory that has none is no report
/// interface.
fn report(entry: &Path, report_data: &[u8; 64]) -> Result<Vec<u8>, String> {
    let attribute = |name: &str, max| read_capped(&entry.join(name), max).map_err(|e| format!("{name}: {e}"));
    let provider = attribute("provider", 64)?;
    let provider = String::from_utf8_lossy(&provider).trim().to_owned();
    if provider != PROVIDER {
        return Err(format!("the kernel's provider is {provider:?}, this program quotes with {PROVIDER:?}"));
    }
    let before = generation(&attribute("generation", 64)?)?;
    let mut inblob =
        OpenOptions::new().write(true).open(entry.join("inblob")).map_err(|e| format!("inblob: {e}"))?;
    inblob.write_all(report_data).map_err(|e| format!("inblob: {e}"))?;
    drop(inblob);
    let quote = attribute("outblob", MAX_QUOTE)?;
    let after = generation(&attribute("generation", 64)?)?;
    if before.checked_add(1) != Some(after) {
        return Err(format!("somebody else wrote to it: generation {after} after {before} and one write"));
    }
    if quote.is_empty() {
        return Err("outblob: empty".to_owned());
    }
    Ok(quote)
}

fn generation(text: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(text);
    text.trim().parse().map_err(|_| format!("generation: {:?} is no number", text.trim()))
}

fn read_capped(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let got = File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(got).is_ok_and(|got| got <= max) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {max} bytes")))
}

fn read(part: &'static str, path: &Path) -> Result<Vec<u8>, QuoterError> {
    read_capped(path, MAX_FILE).map_err(|e| QuoterError::Part {
        part,
        place: path.display().to_string(),
        what: e.to_string(),
    })
}

fn event_log(path: &Path) -> Result<Vec<Event>, QuoterError> {
    let text = read("event log", path)?;
    upstream::event_log(&text).map_err(|e| QuoterError::Part {
        part: "event log",
        place: path.display().to_string(),
        what: e.to_string(),
    })
}

/// The places of a configuration that names none.
pub(super) fn default_report_dir() -> PathBuf {
    PathBuf::from(REPORT_DIR)
}

#[cfg(test)]
mod tests;
