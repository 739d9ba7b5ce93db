// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages in the forms that receivers understand.

use alloy::{hex, primitives::keccak256};
use mandate_runtime::config::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::message::{Message, Occurrence};

/// The longest id that PagerDuty takes for one.
const DEDUP_KEY: usize = 255;

/// Whose form a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Our own: every field.
    #[default]
    Json,
    /// Slack's incoming webhooks, and what imitates them.
    Slack,
    /// Discord's.
    Discord,
    /// PagerDuty's Events API, version 2.
    PagerDuty,
}

/// The body of the request.
pub(super) fn body(format: Format, id: &str, message: &Message, routing_key: Option<&Secret>) -> Value {
    let text = message.what.text();
    match format {
        Format::Json => {
            let mut body = serde_json::to_value(message).unwrap_or_default();
            if let Some(fields) = body.as_object_mut() {
                fields.insert("id".to_owned(), id.into());
                fields.insert("text".to_owned(), text.into());
            }
            body
        }
        Format::Slack => {
            json!({ "text": format!("[{}] {}", message.what.kind().as_str(), slack_text(&text)) })
        }
        Format::Discord => json!({
            "content": format!("[{}] {text}", message.what.kind().as_str()),
            // Nobody is pinged because an app's owner wrote so into a source.
            "allowed_mentions": { "parse": [] },
        }),
        Format::PagerDuty => json!({
            "routing_key": routing_key.map(Secret::expose).unwrap_or_default(),
            "event_action": match message.what {
                Occurrence::LatchCleared { .. } => "resolve",
                _ => "trigger",
            },
            "dedup_key": dedup_key(id, message),
            "payload": {
                "summary": text,
                "source": format!("mandate-relayer, chain {}", message.chain_id),
                "severity": message.what.kind().severity(),
                "class": message.what.kind().as_str(),
                "custom_details": message,
            },
        }),
    }
}

/// Slack reads `<!channel>` and the like.
fn slack_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What ends an alert has the key of what began it.
fn dedup_key(id: &str, message: &Message) -> String {
    if let Occurrence::Latched { latch, since, .. } | Occurrence::LatchCleared { latch, since } =
        &message.what
    {
        return format!("mandate-latch:{}:{latch}:{since}", message.chain_id);
    }
    match id.len() {
        0..=DEDUP_KEY => id.to_owned(),
        _ => hex::encode(keccak256(id)),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};

    use super::*;

    fn message() -> Message {
        let what = Occurrence::Scheduled {
            app: Some(Address::repeat_byte(1)),
            hash: B256::repeat_byte(2),
            active_from: 1_700_000_000,
            source_uri: "https://x/<!channel>&@everyone\nnext".to_owned(),
        };
        Message { chain_id: 31_337, place: None, what }
    }

    #[test]
    fn json_carries_every_field_and_reads_back() {
        let body = body(Format::Json, "key", &message(), None);
        assert_eq!((&body["id"], &body["event"]), (&json!("key"), &json!("scheduled")));
        assert_eq!(body["activeFrom"], 1_700_000_000);
        assert_eq!(serde_json::from_value::<Message>(body).unwrap(), message());
    }

    #[test]
    fn an_owners_text_cannot_ping_a_channel() {
        let slack = body(Format::Slack, "key", &message(), None)["text"].as_str().unwrap().to_owned();
        assert!(
            slack.starts_with("[scheduled] code 0x0202") && slack.contains("&lt;!channel&gt;&amp;"),
            "{slack}"
        );
        assert!(!slack.contains(['<', '\n']), "{slack}");
        let discord = body(Format::Discord, "key", &message(), None);
        assert_eq!(discord["allowed_mentions"]["parse"], json!([]));
    }

    #[test]
    fn pagerduty_gets_its_key_and_an_id_that_fits() {
        let key = Secret::new("routing".to_owned());
        let long = "k".repeat(300);
        let body = body(Format::PagerDuty, &long, &message(), Some(&key));
        assert_eq!((&body["routing_key"], &body["event_action"]), (&json!("routing"), &json!("trigger")));
        assert_eq!(body["dedup_key"].as_str().unwrap().len(), 64);
        assert_eq!(body["payload"]["severity"], "info");
    }

    #[test]
    fn pagerduty_s_alert_of_a_latch_ends_when_it_is_cleared() {
        let (latch, since, detail) = ("gap".to_owned(), 7, "why".to_owned());
        let of = |what| body(Format::PagerDuty, "id", &Message { what, ..message() }, None);
        let set = of(Occurrence::Latched { latch: latch.clone(), since, detail });
        let cleared = of(Occurrence::LatchCleared { latch, since });
        assert_eq!((&set["event_action"], &cleared["event_action"]), (&json!("trigger"), &json!("resolve")));
        assert_eq!(set["dedup_key"], cleared["dedup_key"]);
    }
}
