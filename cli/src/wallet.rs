// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key that signs transactions: from a keystore file, the environment or a mnemonic, never from an argument.

use std::{fs, path::Path};

use alloy::signers::local::{LocalSigner, MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use zeroize::Zeroizing;

use crate::{
    args::WalletArgs,
    error::{CliError, Result},
};

const NO_KEY: &str = "no key to sign with: give --keystore FILE or --mnemonic-file FILE, or set MANDATE_PRIVATE_KEY or \
                      MANDATE_MNEMONIC";

impl WalletArgs {
    /// Loads the signer.
    ///
    /// # Errors
    /// `Config` when no source is given, or when it cannot be read or decrypted. No error text holds key material.
    pub(crate) fn signer(&self) -> Result<PrivateKeySigner> {
        if let Some(path) = &self.keystore {
            return from_keystore(path, self.password_file.as_deref());
        }
        if let Some(path) = &self.mnemonic_file {
            return from_mnemonic(&read_secret(path)?, self.account, &path.display().to_string());
        }
        if let Some(key) = secret_env("MANDATE_PRIVATE_KEY")? {
            let malformed = |_| CliError::config("MANDATE_PRIVATE_KEY is not a 32-byte hex key");
            return key.trim().parse().map_err(malformed);
        }
        match secret_env("MANDATE_MNEMONIC")? {
            Some(phrase) => from_mnemonic(&phrase, self.account, "MANDATE_MNEMONIC"),
            None => Err(CliError::config(NO_KEY)),
        }
    }
}

fn from_keystore(path: &Path, password_file: Option<&Path>) -> Result<PrivateKeySigner> {
    let password = match password_file {
        Some(file) => read_secret(file)?,
        None => secret_env("MANDATE_PASSWORD")?
            .ok_or_else(|| CliError::config("the keystore needs --password-file or MANDATE_PASSWORD"))?,
    };
    let password = password.lines().next().unwrap_or_default();
    LocalSigner::decrypt_keystore(path, password)
        .map_err(|e| CliError::config(format!("keystore {}: {e}", path.display())))
}

fn from_mnemonic(phrase: &str, index: u32, origin: &str) -> Result<PrivateKeySigner> {
    // The library's error may quote the phrase.
    let malformed = |_| CliError::config(format!("{origin} is not a valid BIP-39 mnemonic"));
    MnemonicBuilder::<English>::default()
        .phrase(phrase.trim())
        .index(index)
        .and_then(|builder| builder.build())
        .map_err(malformed)
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>> {
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|e| CliError::config(format!("cannot read {}: {e}", path.display())))
}

fn secret_env(name: &str) -> Result<Option<Zeroizing<String>>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(Zeroizing::new(value))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(CliError::config(format!("{name} is not UTF-8"))),
    }
}
