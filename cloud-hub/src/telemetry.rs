//! What the hub tells those who run it: log lines on standard error and metrics for Prometheus.
//!
//! Each part registers metrics of its own; nothing here knows which there are. Every name starts with
//! `shopsmart_hub_` and carries its base unit, and label values come from fixed sets, never from a store or a peer.

use crate::config::{Log, LogFormat};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Sends log lines to standard error from now on, once per process.
///
/// # Errors
/// When the level can't be read, or logging has been set up before.
pub fn start_logging(log: &Log) -> Result<(), LoggingError> {
    let levels: Targets = log.level.parse().map_err(|_| LoggingError::Level(log.level.clone()))?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(levels)).try_init().map_err(|_| LoggingError::Twice)
}

/// Why nothing would be logged.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("`{0}` is no log level")]
    Level(String),
    #[error("logging has already been set up in this process")]
    Twice,
}

/// An empty registry with the hub's prefix and its version.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("shopsmart_hub");
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Version of the running hub", version);
    registry
}

/// Everything registered and the process's own figures, as Prometheus reads them.
#[must_use]
pub fn scrape(registry: &Registry) -> String {
    let mut process = Registry::default();
    if let Some(bytes) = resident_bytes() {
        let help = "Memory held in RAM";
        process.register("process_resident_memory_bytes", help, ConstGauge::new(bytes));
    }
    if let Some(seconds) = cpu_seconds() {
        let help = "Processor time used, user and system";
        process.register("process_cpu_seconds", help, ConstCounter::new(seconds));
    }
    let mut text = String::new();
    encode_registry(&mut text, &process).expect("writing to a string does not fail");
    encode(&mut text, registry).expect("writing to a string does not fail");
    text
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

fn cpu_seconds() -> Option<f64> {
    /// The kernel's USER_HZ, 100 wherever Linux runs.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name in brackets may hold blanks; what follows it does not.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let user: f64 = fields.get(11)?.parse().ok()?;
    let system: f64 = fields.get(12)?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// A label that says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    pub reason: &'static str,
}

/// A counter per reason.
pub type CountedByReason = Family<Reason, Counter>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_carries_prefix_reason_and_end() {
        let mut registry = registry();
        let refused = CountedByReason::default();
        registry.register("connections_refused", "Connections refused", refused.clone());
        refused.get_or_create(&Reason { reason: "identity" }).inc();
        let text = scrape(&registry);
        assert!(text.contains("shopsmart_hub_connections_refused_total{reason=\"identity\"} 1"), "{text}");
        assert!(text.contains(concat!("shopsmart_hub_build_info{version=\"", env!("CARGO_PKG_VERSION"))));
        assert!(
            text.contains("process_resident_memory_bytes ") && text.contains("process_cpu_seconds_total ")
        );
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    }
}
