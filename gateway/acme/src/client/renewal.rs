// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When the authority would like a certificate to be renewed (RFC 9773).

use std::time::Duration;

use instant_acme::{CertificateIdentifier, Error, RenewalInfo};
use mandate_runtime::clock::within;
use rustls_pki_types::CertificateDer;

use super::{AcmeIssuer, Problem};
use crate::issuer::{IssueError, RenewalWindow};

/// Bounds for how soon to ask again (RFC 9773, section 4.3.2, leaves them to the client).
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(86_400);

impl AcmeIssuer {
    pub(super) async fn suggested(
        &self,
        leaf: &CertificateDer<'static>,
    ) -> Result<Option<RenewalWindow>, IssueError> {
        // Without an authority key identifier it has no name by which to ask.
        let Ok(id) = CertificateIdentifier::try_from(leaf) else { return Ok(None) };
        let asked = async { Ok::<_, Problem>(self.account().await?.renewal_info(&id).await?) };
        let issuer = || self.config.directory.clone();
        match within(self.ambient.clock.as_ref(), self.config.timeout, asked).await {
            Some(Ok((info, again_after))) => {
                let window = window(&info, again_after);
                if let (Some(_), Some(page)) = (window, &info.explanation_url) {
                    tracing::info!(page, "the authority explains its renewal window");
                }
                window.map(Some).ok_or_else(|| IssueError::Unreachable {
                    issuer: issuer(),
                    what: "its renewal window ends before it begins".to_owned(),
                })
            }
            Some(Err(Problem::Acme(Error::Unsupported(_)))) => Ok(None),
            Some(Err(Problem::Acme(error))) => Err(self.unreachable(&error)),
            Some(Err(Problem::Issue(error))) => Err(error),
            None => Err(IssueError::Unreachable { issuer: issuer(), what: "no answer in time".to_owned() }),
        }
    }
}

fn window(info: &RenewalInfo, again_after: Duration) -> Option<RenewalWindow> {
    let start = u64::try_from(info.suggested_window.start.unix_timestamp()).ok()?;
    let end = u64::try_from(info.suggested_window.end.unix_timestamp()).ok()?;
    (start < end).then(|| RenewalWindow { start, end, again_after: again_after.clamp(SOONEST, LATEST) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(start: &str, end: &str, seconds: u64) -> Option<RenewalWindow> {
        let text = format!(r#"{{"suggestedWindow":{{"start":"{start}","end":"{end}"}}}}"#);
        window(&serde_json::from_str(&text).unwrap(), Duration::from_secs(seconds))
    }

    #[test]
    fn window_has_an_order_and_bounds() {
        let good = read("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", 21_600).unwrap();
        assert_eq!((good.end - good.start, good.again_after), (86_400, Duration::from_secs(21_600)));
        assert_eq!(read("2026-01-03T00:00:00Z", "2026-01-02T00:00:00Z", 1), None);
        assert_eq!(read("2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z", 1), None);
        assert_eq!(read("1969-01-02T00:00:00Z", "2026-01-02T00:00:00Z", 1), None);
        let hasty = read("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", 0).unwrap();
        let lazy = read("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", u64::MAX).unwrap();
        assert_eq!((hasty.again_after, lazy.again_after), (SOONEST, LATEST));
    }
}
