// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Logs to stderr and Prometheus metrics, each installed once per process.

use std::{io::IsTerminal, sync::OnceLock};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
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

/// The process's metrics. The first call installs the recorder for the `metrics` macros.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
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
