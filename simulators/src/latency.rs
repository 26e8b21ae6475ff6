//! Durations gathered while something runs, and what is said of them: p50 and p99, in milliseconds.

use serde::Serialize;
use std::time::Duration;

/// Durations of one kind of event, in whole microseconds.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    micros: Vec<u32>,
}

/// What a report says of a set of durations, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub samples: usize,
}

impl Latencies {
    pub fn add(&mut self, duration: Duration) {
        self.micros.push(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn append(&mut self, mut other: Latencies) {
        self.micros.append(&mut other.micros);
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.micros.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.micros.is_empty()
    }

    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = |percent: usize| -> f64 {
            let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            sorted.get(place).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
        };
        Percentiles { p50: at(50), p99: at(99), max: at(100), samples: sorted.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_taken_from_the_sorted_durations() {
        let mut latencies = Latencies::default();
        for millis in (1..=100).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let said = latencies.percentiles();
        assert_eq!((said.p50, said.p99, said.max, said.samples), (51.0, 100.0, 100.0, 100));
    }

    #[test]
    fn nothing_measured_says_zero_samples() {
        assert_eq!(Latencies::default().percentiles(), Percentiles::default());
    }
}
