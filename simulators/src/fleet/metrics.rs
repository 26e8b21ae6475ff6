//! Reads what a daemon says at `/metrics` (Prometheus text), as far as the demo and the benchmarks need it.

use crate::http::Client;
use anyhow::Result;

/// One reading of all metrics.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    pub async fn read(client: &mut Client) -> Result<Self> {
        Ok(Self { text: client.get("/metrics").await?.success()?.text() })
    }

    /// The sum of all series of a name whose labels hold all of `labels` (`direction="in"`); 0 when there are none.
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name)
            .filter(|(of, _)| labels.iter().all(|label| of.contains(label)))
            .map(|(_, v)| v)
            .sum()
    }

    /// The series of a name: their labels and values.
    pub fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once('}')?,
                None => ("", rest),
            };
            let value = value.strip_prefix(' ')?.split(' ').next()?;
            Some((labels, value.parse().ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_over_the_labels_asked_for() {
        let metrics = Metrics {
            text: "# HELP bytes Bytes.\n# TYPE bytes counter\n\
                bytes_total{direction=\"in\",link=\"quic\"} 10\nbytes_total{direction=\"out\",link=\"quic\"} 2.5\n\
                bytes_total_other 99\nstores 3\n"
                .into(),
        };
        assert!((metrics.sum("bytes_total", &[]) - 12.5).abs() < 1e-9);
        assert!((metrics.sum("bytes_total", &["direction=\"in\""]) - 10.0).abs() < 1e-9);
        assert!((metrics.sum("stores", &[]) - 3.0).abs() < 1e-9);
        assert!(metrics.sum("nothing", &[]).abs() < 1e-9);
    }
}
