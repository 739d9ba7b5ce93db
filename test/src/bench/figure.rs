// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Figures and the samples that they come from.

use std::{fmt, time::Duration};

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
    peer: Option<(&'static str, f64)>,
}

/// What a value should be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<={most}"),
            Self::AtLeast(least) => write!(f, ">={least}"),
        }
    }
}

impl Figure {
    /// A value without a target.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, target: None, peer: None }
    }

    /// In milliseconds.
    pub fn ms(name: impl Into<String>, value: Duration) -> Self {
        Self::new(name, value.as_secs_f64() * 1e3, "ms")
    }

    /// Its target: no more than this.
    #[must_use]
    pub fn at_most(self, target: f64) -> Self {
        Self { target: Some(Target::AtMost(target)), ..self }
    }

    /// Its target: no less than this.
    #[must_use]
    pub fn at_least(self, target: f64) -> Self {
        Self { target: Some(Target::AtLeast(target)), ..self }
    }

    /// What `peer` took in the same run, in the same unit.
    #[must_use]
    pub fn beside(self, peer: &'static str, value: f64) -> Self {
        Self { peer: Some((peer, value)), ..self }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.map_or_else(|| "-".to_owned(), |target| target.to_string());
        // What has no target falls short of none.
        let verdict = if self.target.is_none_or(|target| target.holds(self.value)) { "ok" } else { "short" };
        write!(f, "{} {} {} {target} {verdict}", self.name, digits(self.value), self.unit)?;
        match self.peer {
            Some((peer, value)) => write!(f, " {peer}={}", digits(value)),
            None => Ok(()),
        }
    }
}

/// Three significant digits are more than a shared machine can promise.
fn digits(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Measured times, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Sorts them.
    pub fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// The least value that so many per cent of the samples do not exceed; zero without samples.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// The median.
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// The 99th percentile: with fewer than a hundred samples, the largest.
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// The largest.
    pub fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(millis: impl IntoIterator<Item = u64>) -> Times {
        Times::new(millis.into_iter().map(Duration::from_millis).collect())
    }

    #[test]
    fn line_has_name_value_unit_target_and_verdict() {
        let figure = Figure::ms("release.p99", Duration::from_micros(24_500)).at_most(25.0);
        assert_eq!(figure.to_string(), "release.p99 24.5 ms <=25 ok");
        assert_eq!(figure.at_most(24.0).to_string(), "release.p99 24.5 ms <=24 short");
        let rate = Figure::new("backfill.rate", 60_000.0, "events/s").at_least(50_000.0);
        assert_eq!(rate.to_string(), "backfill.rate 60000 events/s >=50000 ok");
        assert!(rate.at_least(70_000.0).to_string().ends_with("short"));
        assert_eq!(Figure::new("witness.size", 12_345.0, "B").to_string(), "witness.size 12345 B - ok");
        let beside = Figure::new("x", 1.5, "ms").beside("peer", 0.75);
        assert_eq!(beside.to_string(), "x 1.50 ms - ok peer=0.75");
    }

    #[test]
    fn percentiles_are_samples() {
        let hundred = times((1..=100).rev());
        assert_eq!(hundred.p50().as_millis(), 50);
        assert_eq!(hundred.p99().as_millis(), 99);
        assert_eq!(hundred.max().as_millis(), 100);
        assert_eq!(times([7]).p50().as_millis(), 7);
        assert_eq!(times([]).p99(), Duration::ZERO);
    }
}
