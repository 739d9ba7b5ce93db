// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Collateral in files, one per platform family and CA, as `dcap-qvl` writes it in JSON.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use dcap_qvl::QuoteCollateralV3;

use super::{CollateralError, Platform, shortened};
use crate::evidence::{Collateral, MAX_EVIDENCE};

/// JSON has bytes in hex, so a file may be twice as long as what it holds.
const MAX_FILE: u64 = 2 * MAX_EVIDENCE as u64;

pub(super) fn read(dir: &Path, platform: Platform) -> Result<Collateral, CollateralError> {
    let file = path(dir, platform);
    let failed = |what: String| CollateralError::File { file: file.clone(), platform, what };
    let bytes = read_capped(&file).map_err(|e| failed(e.to_string()))?;
    let read: QuoteCollateralV3 = serde_json::from_slice(&bytes).map_err(|e| failed(shortened(&e)))?;
    let collateral = Collateral::from(read);
    collateral.check_caps().map_err(|e| failed(e.to_string()))?;
    Ok(collateral)
}

/// Whoever reads meanwhile sees the old file or the new one.
pub(super) fn write(dir: &Path, platform: Platform, collateral: &Collateral) -> io::Result<()> {
    let file = path(dir, platform);
    let new = file.with_extension("json.new");
    fs::write(&new, serde_json::to_vec(&QuoteCollateralV3::from(collateral))?)?;
    fs::rename(new, file)
}

fn path(dir: &Path, platform: Platform) -> PathBuf {
    dir.join(format!("{platform}.json"))
}

fn read_capped(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let got = File::open(file)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    match u64::try_from(got).is_ok_and(|got| got <= MAX_FILE) {
        true => Ok(bytes),
        false => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {MAX_FILE} bytes"))),
    }
}
