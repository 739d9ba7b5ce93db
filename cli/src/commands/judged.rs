// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `mandate verify evidence` and `mandate replay` share: by what they judge, and how they tell an outcome: a word, what
//! it means, an exit code.

use std::{error::Error, path::Path};

use mandate_attestation::{AnchorFiles, KnownImages, TrustAnchors, Verifier};
use mandate_model::{Outcome, Reason, bindings::BootRequest, outcome::PolicyReason};
use serde_json::{Value, json};

use crate::{
    args::TrustArgs,
    error::{CliError, Code, Result},
};

/// The largest file of a known image.
const MAX_IMAGE: usize = 1 << 20;

/// Believes the vendors' anchors, or those of the development PKI whose root was given, and knows the images that were given.
pub(crate) fn verifier(trust: &TrustArgs) -> Result<Verifier> {
    let files = AnchorFiles { tdx_root: trust.anchor.clone(), ..AnchorFiles::default() };
    let anchors = files.load().map_err(CliError::config)?;
    let mut images = KnownImages::default();
    for path in &trust.known_images {
        images
            .read(&read_capped(path, MAX_IMAGE)?)
            .map_err(|e| CliError::data(format!("{}: {e}", path.display())))?;
    }
    Ok(Verifier::new(anchors).with_images(images))
}

/// Reads a file that has at most `most` bytes.
pub(crate) fn read_capped(path: &Path, most: usize) -> Result<Vec<u8>> {
    use std::io::Read;
    let failed = |e: std::io::Error| CliError::data(format!("cannot read {}: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > most {
        return Err(CliError::data(format!("{}: more than {most} bytes", path.display())));
    }
    Ok(bytes)
}

/// How the anchors are told in an answer.
pub(crate) fn anchors_word(anchors: &TrustAnchors) -> String {
    match anchors.is_development() {
        true => {
            format!("DEVELOPMENT: proves nothing about real hardware (root {})", anchors.tdx_fingerprint())
        }
        false => "production".to_owned(),
    }
}

/// One word for scripts.
pub(crate) fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Allowed { .. } => "allowed",
        Outcome::Denied { .. } => "denied",
        Outcome::Undecided { .. } => "undecided",
    }
}

/// Ends the command: 0 for allowed, 1 for denied, 75 for undecided.
pub(crate) fn end(outcome: &Outcome) -> Result<()> {
    match outcome {
        Outcome::Allowed { .. } => Ok(()),
        Outcome::Denied { .. } => Err(CliError::refused(outcome)),
        Outcome::Undecided { .. } => Err(CliError::new(Code::Undecided, outcome)),
    }
}

/// The question to the contracts, field by field.
pub(crate) fn facts(request: &BootRequest) -> Value {
    let info = &request.info;
    json!({
        "app": info.appId,
        "code": info.composeHash,
        "osImage": info.osImageHash,
        "instance": info.instanceId,
        "device": info.deviceId,
        "tee": match request.tee { 1 => "TDX", 2 => "SNP", 3 => "Nitro", _ => "unknown" },
        "tcbStatus": info.tcbStatus,
        "advisories": info.advisoryIds,
        "mrAggregated": info.mrAggregated,
        "mrSystem": info.mrSystem,
        "launchTicket": request.ticket,
        "generation": request.generation,
    })
}

/// An error with all that caused it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// What an outcome means, and what to do about it.
pub(crate) fn explain(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allowed { .. } => {
            "the contracts let exactly this app, code, image, device, TEE and TCB have keys".into()
        }
        Outcome::Denied { reason: Reason::Policy(reason) } => policy(*reason).into(),
        Outcome::Denied { reason: Reason::Evidence(_) } => {
            "the evidence proves nothing, whatever the contracts say: nobody was asked further".into()
        }
        Outcome::Denied { reason: Reason::Request(_) } => {
            "the request is not one that this deployment or node answers".into()
        }
        Outcome::Undecided { .. } => {
            "neither yes nor no: nothing may be released on it, and a retry may decide".into()
        }
    }
}

fn policy(reason: PolicyReason) -> &'static str {
    match reason {
        PolicyReason::Allowed => "nothing is denied",
        PolicyReason::AppNotRegistered => "this KmsAuth knows no app of this id: `mandate app register`",
        PolicyReason::AppSuspended => "the protocol's guardian has suspended the app; it ends by itself",
        PolicyReason::AppPaused => "the app's guardian has paused it; it ends by itself: `mandate app show`",
        PolicyReason::OsImageUnknown => "the protocol's owner never allowed this OS image",
        PolicyReason::OsImageScheduled => "the OS image is allowed later: its notice runs still",
        PolicyReason::OsImageRetired => "the OS image was allowed and is not any more: boot a newer one",
        PolicyReason::OsImageRevoked => "the OS image is revoked for good: boot another one",
        PolicyReason::CodeUnknown => {
            "the app's owner never allowed this code hash: is it the file that was voted on?"
        }
        PolicyReason::CodeScheduled => "the code hash is allowed later: its notice runs still",
        PolicyReason::CodeRetired => {
            "a later version has replaced this code hash, or its approval has lapsed"
        }
        PolicyReason::CodeRevoked => "the code hash is revoked for good: propose another one",
        PolicyReason::DeviceUnknown => "the app allows listed devices only, and this is none of them",
        PolicyReason::DeviceDenied => "the app denies this device whatever else it allows",
        PolicyReason::TeeNotAllowed => "the app does not allow this kind of TEE",
        PolicyReason::TcbTooLow => {
            "the platform's TCB status is below the app's floor: update firmware or microcode"
        }
        PolicyReason::GenerationRetired => {
            "keys of this generation are not given out any more: ask for generation 0"
        }
        PolicyReason::ForeignAppRefused => "the app's own contract says no, fails, or spends too much gas",
        PolicyReason::NotSystemApp => "asked for the KMS's own app, and this is another one",
        PolicyReason::ConditionNotMet => {
            "a condition contract of the app says no: `mandate app show` lists them"
        }
        PolicyReason::AdvisoryDenied => {
            "a security advisory applies to the platform that the app does not accept"
        }
        PolicyReason::TicketNotAllowed => {
            "the app wants a launch ticket, and this boot has none that it knows"
        }
        PolicyReason::AppSunset => "the owner closed the app for good",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_explained_in_words_of_its_own() {
        let texts: BTreeSet<_> = PolicyReason::ALL.iter().map(|reason| policy(*reason)).collect();
        assert_eq!(texts.len(), PolicyReason::ALL.len());
    }

    #[test]
    fn g6_three_outcomes_end_in_three_codes() {
        let code = |outcome: Outcome| end(&outcome).map_or_else(|e| e.code as u8, |()| 0);
        assert_eq!(code(Outcome::Allowed { valid_until: 1 }), 0);
        assert_eq!(code(Outcome::Denied { reason: Reason::Policy(PolicyReason::CodeRevoked) }), 1);
        assert_eq!(code(Outcome::Undecided { why: "silence".into() }), 75);
    }
}
