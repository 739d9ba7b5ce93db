// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every figure that `/metrics` shows: its name, its labels and what it means, in one place. `docs/operating-a-relayer.md`
//! names the same, and a test compares them.

use std::time::Duration;

/// What kind of figure one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

/// One metric as an operator reads of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// As `/metrics` names it.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// A number that only grows, with `N` labels.
#[derive(Debug, Clone, Copy)]
pub struct Counter<const N: usize>(About);

/// A number that goes up and down, with `N` labels.
#[derive(Debug, Clone, Copy)]
pub struct Gauge<const N: usize>(About);

/// Times, with `N` labels; in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<const N: usize>(About);

impl<const N: usize> Counter<N> {
    /// Counts `by` more under the values of the labels, in their order.
    pub fn add(&self, by: u64, labels: [&str; N]) {
        metrics::counter!(self.0.name, pairs(&self.0, &labels)).increment(by);
    }

    /// Raises it to `total`, which was counted elsewhere.
    pub fn reach(&self, total: u64, labels: [&str; N]) {
        metrics::counter!(self.0.name, pairs(&self.0, &labels)).absolute(total);
    }
}

impl<const N: usize> Gauge<N> {
    /// Sets the value under the values of the labels, in their order.
    pub fn set(&self, value: f64, labels: [&str; N]) {
        metrics::gauge!(self.0.name, pairs(&self.0, &labels)).set(value);
    }
}

impl<const N: usize> Histogram<N> {
    /// Takes in one time under the values of the labels, in their order.
    pub fn record(&self, took: Duration, labels: [&str; N]) {
        metrics::histogram!(self.0.name, pairs(&self.0, &labels)).record(took.as_secs_f64());
    }
}

fn pairs(about: &About, values: &[&str]) -> Vec<metrics::Label> {
    about
        .labels
        .iter()
        .zip(values)
        .map(|(name, value)| metrics::Label::new(*name, (*value).to_owned()))
        .collect()
}

macro_rules! metrics {
    ($($kind:ident $constant:ident [$($label:literal),*] $name:literal $help:literal)*) => {
        $(
            #[doc = $help]
            pub const $constant: $kind<{ <[&str]>::len(&[$($label),*]) }> = $kind(About {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                help: $help,
            });
        )*

        /// All of them.
        pub const ALL: &[About] = &[$($constant.0),*];
    };
}

// Kind, constant, labels, name, help.
metrics! {
    Gauge HEAD_AGE [] "mandate_relayer_head_age_seconds"
        "Age of the newest header by this machine's clock."
    Gauge HEAD [] "mandate_relayer_head_block"
        "Height of the newest block that was processed."
    Gauge FINALIZED [] "mandate_relayer_finalized_block"
        "Height of the newest finalised block that was processed."
    Gauge LAG ["of"] "mandate_relayer_lag_blocks"
        "Blocks that the endpoints show and that are not processed yet: of the head, of the finalised block."
    Counter REORGS [] "mandate_relayer_reorgs_total"
        "Reorganisations that were followed."
    Counter EFFECTS ["kind", "outcome"] "mandate_relayer_effects_total"
        "Attempts at effects, by outcome: done, failed, given_up."
    Counter ENDPOINT_REQUESTS ["endpoint", "method", "outcome"] "mandate_relayer_endpoint_requests_total"
        "Requests to an endpoint, by outcome: ok, refused (it answered with an error), limited (asked too often), failed."
    Histogram ENDPOINT_SECONDS ["endpoint"] "mandate_relayer_endpoint_request_seconds"
        "Time per request to an endpoint."
    Gauge ENDPOINT_UP ["endpoint"] "mandate_relayer_endpoint_up"
        "1 while an endpoint answers, 0 while it is spared because it does not."
    Gauge ENDPOINT_HEAD ["endpoint"] "mandate_relayer_endpoint_head_block"
        "Height of the newest block that an endpoint showed."
    Gauge ENDPOINT_LAG ["endpoint"] "mandate_relayer_endpoint_lag_blocks"
        "Blocks by which an endpoint is behind the most advanced one that is trusted."
    Gauge ENDPOINT_SUBSCRIBED ["endpoint"] "mandate_relayer_endpoint_subscribed"
        "1 while an endpoint tells of new heads by itself, 0 while it is polled."
    Counter ENDPOINT_LIES ["endpoint"] "mandate_relayer_endpoint_contradictions_total"
        "How often an endpoint contradicted what is known."
    Gauge LATCHED ["latch"] "mandate_relayer_latched"
        "1 while a latch holds grants back: gap, finality, chain-id, contradiction."
    Gauge BACKFILL_LEFT [] "mandate_relayer_backfill_blocks_left"
        "Blocks that are still to be fetched in ranges; 0 when following the head."
    Gauge BACKFILL_RATE [] "mandate_relayer_backfill_blocks_per_second"
        "Blocks fetched in ranges per second, since catching up began."
    Gauge BACKFILL_RANGE [] "mandate_relayer_backfill_range_blocks"
        "Blocks asked for at a time while catching up."
    Counter FOREIGN_BLOCKS [] "mandate_relayer_side_blocks_total"
        "Blocks beside the followed chain that were looked through for revocations."
    Counter EVENTS [] "mandate_relayer_events_total"
        "Events of the watched contracts that were written to the database."
    Gauge OUTBOX [] "mandate_relayer_outbox_effects"
        "Effects that are neither done nor given up."
    Gauge OUTBOX_DEPTH ["kind", "state"] "mandate_relayer_outbox_depth"
        "Effects by kind and state: pending (those meant for later included), sent, mined, failed (given up), cancelled."
    Counter CANCELLED ["kind"] "mandate_relayer_effects_cancelled_total"
        "Effects that an operator cancelled, since the database was made."
    Histogram EFFECT_SECONDS ["kind"] "mandate_relayer_effect_seconds"
        "From the arrival of the block that causes an effect to the moment when it is done."
    Counter HTTP_REQUESTS ["route", "method", "status"] "mandate_relayer_http_requests_total"
        "Answered requests."
    Histogram HTTP_SECONDS ["route", "method"] "mandate_relayer_http_request_seconds"
        "Time per answered request; reading a mailbox waits for letters and is left out."
    Counter HTTP_REFUSED ["why"] "mandate_relayer_http_refused_total"
        "Requests that a cap ended: rate (429), busy (503), length (413), slow (408), overdue (504)."
    Counter WITNESSES ["outcome"] "mandate_relayer_witnesses_total"
        "Witnesses by outcome: kept (answered from memory), built, failed."
    Histogram WITNESS_SECONDS [] "mandate_relayer_witness_build_seconds"
        "Time to build one witness with the endpoint."
    Gauge BALANCE [] "mandate_relayer_balance_gwei"
        "What the account that pays for transactions has."
    Counter NONCE_GAPS [] "mandate_relayer_nonce_gaps_total"
        "Nonces that had to be used up since nothing had them."
}

/// Tells the recorder of every metric's meaning, for the `HELP` lines.
pub fn describe() {
    for About { name, kind, help, .. } in ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *help),
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_end_as_prometheus_wants() {
        let names: BTreeSet<&str> = ALL.iter().map(|about| about.name).collect();
        assert_eq!(names.len(), ALL.len());
        for about in ALL {
            assert!(about.name.starts_with("mandate_relayer_") && about.help.ends_with('.'), "{about:?}");
            match about.kind {
                Kind::Counter => assert!(about.name.ends_with("_total"), "{about:?}"),
                Kind::Histogram => assert!(about.name.ends_with("_seconds"), "{about:?}"),
                Kind::Gauge => assert!(!about.name.ends_with("_total"), "{about:?}"),
            }
        }
    }

    #[test]
    fn figures_are_shown_with_labels_and_help() {
        let shown = mandate_runtime::telemetry::metrics();
        describe();
        EFFECTS.add(2, ["revocation_push", "done"]);
        LAG.set(3.0, ["head"]);
        ENDPOINT_SECONDS.record(Duration::from_millis(30), ["rpc-a"]);
        let text = shown.render();
        for line in [
            "# HELP mandate_relayer_effects_total Attempts at effects",
            r#"mandate_relayer_effects_total{kind="revocation_push",outcome="done"} 2"#,
            r#"mandate_relayer_lag_blocks{of="head"} 3"#,
            r#"mandate_relayer_endpoint_request_seconds_count{endpoint="rpc-a"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
