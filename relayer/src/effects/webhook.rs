// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Webhooks: signed messages to whoever runs an app or this relayer. Delivered at least once, each message always under the
//! same id, so that a receiver can drop what it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy::primitives::Address;
use axum::http::{HeaderName, HeaderValue, Uri};
use mandate_runtime::{
    Ambient,
    config::{self, Problems, Secret, SecretFileError, duration},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use thiserror::Error;

mod format;
mod message;
mod post;
mod sign;

pub use format::Format;
pub use message::{EventKind, Message, Occurrence, Place};
pub(super) use message::{about_to_activate, told_at_finality, told_at_head};
pub use post::PostError;
pub use sign::{ID_HEADER, SIGNATURE_HEADER, signature};

/// The shortest secret that may sign, in bytes.
const MIN_SECRET: usize = 16;
/// Webhooks in one configuration.
const MAX_HOOKS: usize = 64;

/// One receiver.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Names it in the outbox, in logs and metrics; unique.
    pub name: String,
    /// `https://`, or `http://` with `private`. May hold a token, so it is never shown.
    pub url: Secret,
    /// A file of mode 0600 with the secret that signs.
    pub secret_file: Option<PathBuf>,
    /// The secret itself; meant for the environment. Exactly one of the two.
    pub secret: Option<Secret>,
    /// What it is told.
    pub events: BTreeSet<EventKind>,
    /// In whose form.
    #[serde(default)]
    pub format: Format,
    /// PagerDuty's integration key; with that format only.
    pub routing_key: Option<Secret>,
    /// Only of these apps; all when it is empty. What concerns no single app is told anyway.
    #[serde(default)]
    pub apps: BTreeSet<Address>,
    /// How long before its activation code is announced once more.
    #[serde(default = "default_lead", with = "duration")]
    pub lead: Duration,
    /// How long the receiver may take.
    #[serde(default = "default_timeout", with = "duration")]
    pub timeout: Duration,
    /// Whether the receiver may be in a private network.
    #[serde(default)]
    pub private: bool,
    /// PEM with roots that the receiver's certificate may lead to besides the public ones.
    pub ca_file: Option<PathBuf>,
}

fn default_lead() -> Duration {
    Duration::from_secs(3_600)
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

impl WebhookConfig {
    /// The defaults around what must be said.
    pub fn new(name: &str, url: &str, secret: &str, events: impl IntoIterator<Item = EventKind>) -> Self {
        Self {
            name: name.to_owned(),
            url: Secret::new(url.to_owned()),
            secret_file: None,
            secret: Some(Secret::new(secret.to_owned())),
            events: events.into_iter().collect(),
            format: Format::Json,
            routing_key: None,
            apps: BTreeSet::new(),
            lead: default_lead(),
            timeout: default_timeout(),
            private: false,
            ca_file: None,
        }
    }

    /// What `derive` needs to know of it.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            name: self.name.clone(),
            events: self.events.clone(),
            apps: self.apps.clone(),
            lead: self.lead.as_secs(),
        }
    }
}

/// Says what is wrong with a list of webhooks, without any value.
pub(crate) fn validate(hooks: &[WebhookConfig], problems: &mut Problems) {
    problems.require(hooks.len() <= MAX_HOOKS, "webhooks", format!("at most {MAX_HOOKS}"));
    let mut names = BTreeSet::new();
    for (i, hook) in hooks.iter().enumerate() {
        let path = format!("webhooks[{i}]");
        let named = !hook.name.is_empty()
            && hook.name.len() <= 64
            && hook.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        problems.require(named, format!("{path}.name"), "must be 1 to 64 letters, digits, `-`, `_` or `.`");
        problems.require(names.insert(&hook.name), format!("{path}.name"), "is taken by another webhook");
        problems.require(!hook.events.is_empty(), format!("{path}.events"), "must name at least one event");
        let secrets = usize::from(hook.secret.is_some()) + usize::from(hook.secret_file.is_some());
        problems.require(secrets < 2, path.clone(), "needs exactly one of `secret_file` and `secret`");
        let keyed = (hook.format == Format::PagerDuty) == hook.routing_key.is_some();
        problems.require(
            keyed,
            format!("{path}.routing_key"),
            "belongs to format `pagerduty`, which needs it",
        );
        problems.require(!hook.timeout.is_zero(), format!("{path}.timeout"), "must be above 0");
        if let Err(what) = usable(hook.url.expose(), hook.private) {
            problems.require(false, format!("{path}.url"), what);
        }
    }
}

fn usable(url: &str, private: bool) -> Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "is malformed")?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("names no host")?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("must not hold a user name");
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
    match (uri.scheme_str(), private) {
        (Some("https"), false) if literal.is_ok_and(|ip| !post::is_public(ip)) => {
            Err("is not a public address; set `private = true` if that is meant")
        }
        (Some("https"), _) | (Some("http"), true) => Ok(uri),
        _ => Err("must be an https URL, or an http one together with `private = true`"),
    }
}

/// Who wants to be told what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The webhook's name.
    pub name: String,
    /// Which events.
    pub events: BTreeSet<EventKind>,
    /// Of which apps; of all when empty.
    pub apps: BTreeSet<Address>,
    /// Seconds before an activation.
    pub lead: u64,
}

impl Subscription {
    /// Whether `what` is for it.
    pub fn wants(&self, what: &Occurrence) -> bool {
        let app = match what {
            Occurrence::Scheduled { app, .. }
            | Occurrence::AboutToActivate { app, .. }
            | Occurrence::Revoked { app, .. }
            | Occurrence::Incident { app, .. } => *app,
            Occurrence::Paused { app, .. } | Occurrence::Rotated { app, .. } => Some(*app),
            Occurrence::LowBalance { .. } | Occurrence::Latched { .. } | Occurrence::LatchCleared { .. } => {
                None
            }
        };
        self.events.contains(&what.kind())
            && (self.apps.is_empty() || app.is_none_or(|app| self.apps.contains(&app)))
    }
}

/// Why webhooks cannot be set up. No text holds a URL or secret.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// The secret's file.
    #[error("webhooks.{name}.secret_file: {source}")]
    SecretFile {
        /// Which webhook.
        name: String,
        /// Why.
        source: SecretFileError,
    },
    /// There is none.
    #[error("webhooks.{name}: needs exactly one of `secret_file` and `secret`")]
    NoSecret {
        /// Which webhook.
        name: String,
    },
    /// The secret is short enough to be guessed.
    #[error("webhooks.{name}: the secret must have at least {MIN_SECRET} bytes")]
    ShortSecret {
        /// Which webhook.
        name: String,
    },
    /// The URL.
    #[error("webhooks.{name}.url {what}")]
    Url {
        /// Which webhook.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The extra roots.
    #[error("webhooks.{name}.ca_file: {what}")]
    Roots {
        /// Which webhook.
        name: String,
        /// What is wrong with them.
        what: String,
    },
}

/// Why a message was not delivered.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// The configuration does not name the webhook any more.
    #[error("no webhook {0:?} is configured")]
    Unknown(String),
    /// It could not be written or signed.
    #[error("the message cannot be encoded")]
    Unencodable,
    /// It was not taken.
    #[error(transparent)]
    Post(#[from] PostError),
}

/// The configured receivers.
#[derive(Clone)]
pub struct Webhooks {
    hooks: Arc<BTreeMap<String, Hook>>,
    ambient: Ambient,
}

struct Hook {
    receiver: post::Receiver,
    secret: Secret,
    format: Format,
    routing_key: Option<Secret>,
}

impl Webhooks {
    /// Reads secrets and roots.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn new(configured: &[WebhookConfig], ambient: Ambient) -> Result<Self, WebhookError> {
        let hooks = configured.iter().map(|hook| Ok((hook.name.clone(), Hook::new(hook)?)));
        Ok(Self { hooks: Arc::new(hooks.collect::<Result<_, WebhookError>>()?), ambient })
    }

    /// Sends `message` under `id` to one of them.
    ///
    /// # Errors
    /// When it was not taken; sending it again does no harm.
    pub async fn deliver(&self, hook: &str, id: &str, message: &Message) -> Result<(), DeliveryError> {
        let found = self.hooks.get(hook).ok_or_else(|| DeliveryError::Unknown(hook.to_owned()))?;
        let body = format::body(found.format, id, message, found.routing_key.as_ref());
        let body = serde_json::to_vec(&body).map_err(|_| DeliveryError::Unencodable)?;
        let now = self.ambient.clock.unix();
        let signed = signature(&found.secret, now, id, &body).ok_or(DeliveryError::Unencodable)?;
        let value = |text: &str| HeaderValue::try_from(text).map_err(|_| DeliveryError::Unencodable);
        let headers = [
            (HeaderName::from_static(ID_HEADER), value(id)?),
            (HeaderName::from_static(SIGNATURE_HEADER), value(&signed)?),
        ];
        Ok(found.receiver.post(&*self.ambient.net, &headers, body.into()).await?)
    }
}

impl Hook {
    fn new(hook: &WebhookConfig) -> Result<Self, WebhookError> {
        let name = || hook.name.clone();
        let url = usable(hook.url.expose(), hook.private)
            .map_err(|what| WebhookError::Url { name: name(), what })?;
        let secret = match (&hook.secret, &hook.secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => {
                let text = config::secret_file(path);
                let text = text.map_err(|source| WebhookError::SecretFile { name: name(), source })?;
                Secret::new(text.as_str().to_owned())
            }
            (None, None) => return Err(WebhookError::NoSecret { name: name() }),
        };
        if secret.expose().len() < MIN_SECRET {
            return Err(WebhookError::ShortSecret { name: name() });
        }
        let bad = |what: String| WebhookError::Roots { name: name(), what };
        let roots = hook.ca_file.as_deref().map(roots).transpose().map_err(bad)?.unwrap_or_default();
        let tls = post::connector(&roots).map_err(|e| bad(e.to_string()))?;
        let receiver = post::Receiver { url, tls, private: hook.private, timeout: hook.timeout };
        Ok(Self { receiver, secret, format: hook.format, routing_key: hook.routing_key.clone() })
    }
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(|e| told(&e))?;
    let all: Vec<_> = found.collect::<Result<_, _>>().map_err(|e| told(&e))?;
    match all.is_empty() {
        true => Err(told(&"no certificate in PEM")),
        false => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    #[test]
    fn urls_lead_to_public_https_unless_privacy_is_asked_for() {
        for (url, private) in [
            ("https://hooks.example/x?token=1", false),
            ("https://1.1.1.1/", false),
            ("http://127.0.0.1:9/", true),
            ("https://10.0.0.1/", true),
        ] {
            assert!(usable(url, private).is_ok(), "{url}");
        }
        for (url, private) in [
            ("http://hooks.example/", false),
            ("https://127.0.0.1/", false),
            ("https://[::1]/", false),
            ("https://169.254.169.254/latest", false),
            ("https://user:word@hooks.example/", false),
            ("ftp://hooks.example/", true),
            ("/path", true),
        ] {
            assert!(usable(url, private).is_err(), "{url}");
        }
    }

    #[test]
    fn subscription_is_to_events_and_apps() {
        let (mine, other) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let mut hook = WebhookConfig::new("a", "https://x.example", "0123456789abcdef", [EventKind::Revoked]);
        hook.apps = [mine].into();
        let subscription = hook.subscription();
        let revoked = |app| Occurrence::Revoked { app, hash: Some(B256::ZERO), by: other };
        assert!(subscription.wants(&revoked(Some(mine))));
        assert!(!subscription.wants(&revoked(Some(other))));
        assert!(subscription.wants(&revoked(None)), "an OS image concerns every app");
        assert!(!subscription.wants(&Occurrence::Paused { app: mine, until: None }));
    }

    #[test]
    fn g12_what_is_wrong_is_told_without_secret_or_url() {
        let hook = WebhookConfig::new("a", "https://x.example/token", "short", [EventKind::Revoked]);
        let Err(error) = Webhooks::new(&[hook], Ambient::system()) else {
            panic!("a short secret was taken")
        };
        let text = error.to_string();
        assert!(!text.contains("token") && !text.contains("short\""), "{text}");
    }
}
