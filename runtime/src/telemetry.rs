// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs to stderr and Prometheus metrics, each installed once per process.

use std::{io::IsTerminal, sync::OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter's text is not a list of `target=level`.
    #[error("log filter {filter:?} is not valid: {source}")]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Starts logging to stderr and the metrics recorder. A second call in one process changes nothing.
///
/// # Errors
/// When `filter` (`info`, `mandate_kms=debug,info` …) is malformed.
pub fn init(format: Format, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    // Colours are for people: in a journal or file they are noise.
    let colours = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // An error here says that a subscriber is installed already, which is what we want.
    let _ = match format {
        Format::Text => lines.try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    metrics();
    Ok(())
}

/// Upper ends of the buckets of every histogram whose name ends in `_seconds`: from a cached answer to a transaction that waits
/// for a block or two.
const SECONDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// The process's metrics. The first call installs the recorder for the `metrics` macros.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let recorder = match PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS) {
            Ok(builder) => builder.build_recorder(),
            // Refused only when there are no buckets; then times are shown as summaries.
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics will be empty");
        }
        handle
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_rendered() {
        metrics();
        metrics::counter!("mandate_test_total").increment(2);
        assert!(metrics().render().contains("mandate_test_total 2"));
    }

    #[test]
    fn a_malformed_filter_is_named() {
        let e = init(Format::Text, "mandate=loud=very").unwrap_err();
        assert!(e.to_string().contains("mandate=loud=very"));
    }
}
