//! Counts of a running pair of daemons before and after: bytes on the wire, processor time.

use crate::fleet::Fleet;
use crate::fleet::metrics::Metrics;
use crate::fleet::proc_stat;
use anyhow::Result;
use std::time::Duration;

/// What UDP and IPv4 add to each datagram.
const DATAGRAM_HEADER: f64 = 28.0;

/// One reading.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Both directions, with UDP and IP headers, by the hub's count.
    pub wire_bytes: f64,
    pub datagrams: f64,
    /// Frames on stream `state` from the stores, before TLS and QUIC, by the agents' count.
    pub state_bytes: f64,
    pub history_bytes: f64,
    pub hub_cpu: Duration,
    pub agents_cpu: Duration,
}

impl Reading {
    pub async fn of(fleet: &Fleet) -> Result<Self> {
        let hub = Metrics::read(&mut fleet.hub.client()?).await?;
        let datagrams = hub.sum("shopsmart_hub_quic_udp_datagrams_total", &[]);
        let payload = hub.sum("shopsmart_hub_quic_udp_bytes_total", &[]);
        let mut reading = Self {
            wire_bytes: payload + DATAGRAM_HEADER * datagrams,
            datagrams,
            hub_cpu: proc_stat::cpu_time(fleet.hub.pid()?)?,
            ..Self::default()
        };
        for store in &fleet.stores {
            let agent = Metrics::read(&mut store.client()?).await?;
            let sent =
                |stream| agent.sum("shopsmart_agent_frame_bytes_total", &[r#"direction="sent""#, stream]);
            reading.state_bytes += sent(r#"stream="state""#);
            reading.history_bytes += sent(r#"stream="history""#);
            if let Some(pid) = store.pid() {
                reading.agents_cpu += proc_stat::cpu_time(pid)?;
            }
        }
        Ok(reading)
    }

    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            wire_bytes: self.wire_bytes - earlier.wire_bytes,
            datagrams: self.datagrams - earlier.datagrams,
            state_bytes: self.state_bytes - earlier.state_bytes,
            history_bytes: self.history_bytes - earlier.history_bytes,
            hub_cpu: self.hub_cpu.saturating_sub(earlier.hub_cpu),
            agents_cpu: self.agents_cpu.saturating_sub(earlier.agents_cpu),
        }
    }
}
