//! The figures of one run, as JSON for machines and as a table for people.

use super::compare::{Comparison, shown};
use super::convergence::SyncView;
use super::options::Options;
use super::orders::OrderReport;
use super::screen::{bytes, grouped};
use crate::fleet::Fleet;
use crate::latency::Percentiles;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// What a run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub stores: usize,
    pub lines_sent: u64,
    pub movements_recorded: u64,
    pub duplicates_refused: u64,
    pub cells_compared: u64,
    pub cells_different: u64,
    pub lag_ms: LagReport,
    pub wire_bytes_per_line: f64,
    /// What came by MQTT counts without the headers of TCP and IP.
    pub wire_without_tcp_headers: bool,
    pub links: LinkReport,
    /// Where there were shoppers.
    #[serde(flatten)]
    pub orders: Option<OrderReport>,
    pub hub_rss_bytes: u64,
    pub agent_rss_bytes: AgentMemory,
    pub agent_kills: u32,
    pub lines_cut: usize,
    /// How long the tills sold.
    pub seconds: f64,
    /// From the last sale until the hub had everything.
    pub converged_after_s: f64,
    /// Tries that got no answer because the agent was away.
    pub unanswered_tries: u64,
    pub sent_twice_on_purpose: u64,
    pub faults: Vec<String>,
    /// Lines of the sales file that could not be read, by reason.
    pub bad_lines: BTreeMap<&'static str, u64>,
    pub sales: String,
    pub speed: String,
    pub seed: u64,
}

/// What the lines were like, and how the agents used them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LinkReport {
    pub link: String,
    /// What the agents were told to speak.
    pub transport: &'static str,
    /// How many stores spoke what in the end.
    pub in_use: BTreeMap<String, usize>,
    /// Changes from one to the other, all stores together.
    pub switches: u64,
}

impl LinkReport {
    pub async fn of(options: &Options, fleet: &Fleet) -> Result<Self> {
        let (link, transport) = (options.link.name(), options.transport.name());
        let mut report = Self { link, transport, ..Self::default() };
        for store in &fleet.stores {
            let sync = SyncView::of(store).await?;
            let in_use = sync.transport.unwrap_or_else(|| "none".to_owned());
            *report.in_use.entry(in_use).or_default() += 1;
            report.switches += sync.switches;
        }
        Ok(report)
    }

    fn describe(&self) -> String {
        let in_use: Vec<String> =
            self.in_use.iter().map(|(name, count)| format!("{name} × {count}")).collect();
        format!("{} asked for, {} in the end, {} switches", self.transport, in_use.join(", "), self.switches)
    }
}

/// From a till's answer to the change on the hub's feed; stores that are cut off or down are left out.
#[derive(Debug, Clone, Serialize)]
pub struct LagReport {
    #[serde(flatten)]
    pub percentiles: Percentiles,
    pub set_aside: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct AgentMemory {
    pub median: u64,
    pub max: u64,
}

impl AgentMemory {
    #[must_use]
    pub fn of(mut sizes: Vec<u64>) -> Self {
        sizes.sort_unstable();
        let median = sizes.get(sizes.len() / 2).copied().unwrap_or(0);
        Self { median, max: sizes.last().copied().unwrap_or(0) }
    }
}

impl Report {
    /// Everything was recorded once, every cell agrees, and nothing was promised that had not been granted.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let is_kept = self.orders.as_ref().is_none_or(|orders| orders.promised_over_granted == 0);
        self.cells_different == 0 && self.cells_compared > 0 && self.faults.is_empty() && is_kept
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("writing the figures as JSON")?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing the report `{}`", path.display()))
    }

    #[must_use]
    pub fn table(&self, comparison: &Comparison) -> String {
        let mut text = String::from("\n");
        let orders = self.orders.as_ref().map(OrderReport::rows).unwrap_or_default();
        for (name, value) in self.rows().into_iter().chain(orders) {
            // Writing into a string never fails.
            let _ = writeln!(text, "  {name:<22} {value}");
        }
        let totals = &comparison.totals;
        let _ = writeln!(
            text,
            "\n  on hand over all cells: tills {}, stores {}, hub {}",
            shown(Some(totals.tills)),
            shown(Some(totals.stores)),
            shown(Some(totals.hub))
        );
        text
    }

    fn counted(&self) -> &'static str {
        if self.wire_without_tcp_headers { "MQTT's without TCP's headers" } else { "all in" }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let lag = &self.lag_ms.percentiles;
        vec![
            ("lines sent", grouped(self.lines_sent)),
            ("movements recorded", grouped(self.movements_recorded)),
            ("duplicates refused", grouped(self.duplicates_refused)),
            ("agents killed", self.agent_kills.to_string()),
            ("lines cut", self.lines_cut.to_string()),
            ("lines between", self.links.link.clone()),
            ("transport", self.links.describe()),
            (
                "lag, till to web",
                format!("p50 {:.1} ms, p99 {:.1} ms ({} sales timed)", lag.p50, lag.p99, lag.samples),
            ),
            ("on the wire", format!("{:.1} bytes a line, {}", self.wire_bytes_per_line, self.counted())),
            ("hub memory", bytes(self.hub_rss_bytes)),
            (
                "agent memory",
                format!(
                    "median {}, most {}",
                    bytes(self.agent_rss_bytes.median),
                    bytes(self.agent_rss_bytes.max)
                ),
            ),
            ("caught up after", format!("{:.1} s", self.converged_after_s)),
            ("cells compared", grouped(self.cells_compared)),
            ("cells different", grouped(self.cells_different)),
        ]
    }
}

/// The cells that do not agree, one a line.
#[must_use]
pub fn differences(comparison: &Comparison) -> String {
    let mut text = String::new();
    for difference in &comparison.shown {
        let figures = &difference.figures;
        let _ = writeln!(
            text,
            "  {} {}: on hand by the tills {}, at the store {}, at the hub {}; for the web at the store {}, at the hub {}",
            difference.store,
            difference.sku,
            shown(figures.tills),
            shown(figures.store),
            shown(figures.hub),
            shown(figures.store_free),
            shown(figures.hub_free),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_the_keys_that_are_promised() {
        let report = Report {
            stores: 8,
            lines_sent: 1,
            movements_recorded: 1,
            duplicates_refused: 0,
            cells_compared: 1,
            cells_different: 0,
            lag_ms: LagReport { percentiles: Percentiles::default(), set_aside: 0 },
            wire_bytes_per_line: 1.0,
            wire_without_tcp_headers: false,
            links: LinkReport::default(),
            orders: None,
            hub_rss_bytes: 1,
            agent_rss_bytes: AgentMemory::of(vec![3, 1, 2]),
            agent_kills: 0,
            lines_cut: 0,
            seconds: 1.0,
            converged_after_s: 0.0,
            unanswered_tries: 0,
            sent_twice_on_purpose: 0,
            faults: Vec::new(),
            bad_lines: BTreeMap::new(),
            sales: String::new(),
            speed: String::new(),
            seed: 1,
        };
        let json = serde_json::to_value(&report).unwrap();
        for key in [
            "/stores",
            "/lines_sent",
            "/movements_recorded",
            "/duplicates_refused",
            "/cells_compared",
            "/cells_different",
            "/lag_ms/p50",
            "/lag_ms/p99",
            "/wire_bytes_per_line",
            "/hub_rss_bytes",
            "/agent_rss_bytes/median",
            "/agent_rss_bytes/max",
            "/agent_kills",
            "/seconds",
            "/links/switches",
        ] {
            assert!(json.pointer(key).is_some_and(serde_json::Value::is_number), "{key}");
        }
        let orders = OrderReport {
            shoppers: 50,
            orders_placed: 1,
            orders_refused: 0,
            orders_collected: 1,
            orders_short: 0,
            orders_cancelled: 0,
            promised_over_granted: 0,
            breaches: 0,
            place_ms: Percentiles::default(),
            sent_to_store_ms: Percentiles::default(),
        };
        let broken = OrderReport { promised_over_granted: 1, ..orders.clone() };
        let ordered = Report { orders: Some(orders), ..report.clone() };
        let json = serde_json::to_value(&ordered).unwrap();
        for key in [
            "/orders_placed",
            "/orders_refused",
            "/orders_collected",
            "/orders_short",
            "/promised_over_granted",
            "/breaches",
            "/place_ms/p50",
            "/place_ms/p99",
            "/sent_to_store_ms/p50",
            "/sent_to_store_ms/p99",
        ] {
            assert!(json.pointer(key).is_some_and(serde_json::Value::is_number), "{key}");
        }
        assert!(ordered.is_good() && !Report { orders: Some(broken), ..report.clone() }.is_good());
        assert_eq!((report.agent_rss_bytes.median, report.agent_rss_bytes.max), (2, 3));
        assert!(report.is_good());
        assert!(!Report { faults: vec!["refused".into()], ..report }.is_good());
    }
}
