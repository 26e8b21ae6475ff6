//! What the agent tells about itself: logs to stderr, and metrics with Prometheus names and base units.
//!
//! Metrics are plain handles made once at the start; there is no global registry. Each has its line in
//! `docs/operating/metrics.md`.

use crate::config::{LogConfig, LogFormat};
use crate::version::version;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use sync_protocol::frame::Stream;
use sync_protocol::record::Kind;
use tracing_subscriber::EnvFilter;

/// Starts logging. Called once, by the program.
pub fn start_logging(log: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => logs.with_ansi(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

type Label<const N: usize> = [(&'static str, &'static str); N];
/// Sources are named by the configuration, which bounds them.
type Named = Vec<(&'static str, String)>;
type Seconds = Gauge<f64, AtomicU64>;

/// Every metric of the agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    documents: Family<Label<1>, Counter>,
    movements: Family<Label<1>, Counter>,
    items: Family<Label<1>, Counter>,
    pub commit_seconds: Histogram,
    pub batch_documents: Histogram,
    pub inputs_waiting: Gauge,
    pub link_up: Gauge,
    pub link_dials: Counter,
    pub link_ends: Counter,
    link_switches: Family<Label<1>, Counter>,
    frames: Family<Label<2>, Counter>,
    frame_bytes: Family<Label<2>, Counter>,
    udp_datagrams: Family<Label<1>, Counter>,
    udp_bytes: Family<Label<1>, Counter>,
    mqtt_bytes: Family<Label<1>, Counter>,
    pub round_trip_seconds: Seconds,
    pub state_pending_records: Gauge,
    pub history_pending_movements: Gauge,
    pub hub_contact_age_seconds: Seconds,
    pub certificate_expires_timestamp_seconds: Gauge,
    pub epoch: Gauge,
    pub quarantined_records: Gauge,
    pub digest_mismatches: Gauge,
    pub failed_commits: Gauge,
    pub adoptions: Gauge,
    pub items_known: Gauge,
    requests: Family<Label<2>, Counter>,
    request_seconds: Family<Label<1>, Histogram, InSeconds>,
    pos_reading: Family<Named, Gauge>,
    pos_schema_changed: Family<Named, Gauge>,
    pos_log_followed: Family<Named, Gauge>,
    pos_last_read_age_seconds: Family<Named, Seconds>,
    pos_last_row_age_seconds: Family<Named, Seconds>,
    pos_rows: Family<Named, Gauge>,
    canary_age_seconds: Family<Named, Seconds>,
    canary_overdue: Family<Named, Gauge>,
    resident_bytes: Gauge,
    cpu_seconds: Counter<f64, AtomicU64>,
}

/// What became of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    New,
    Duplicate,
    Conflict,
    Invalid,
    Storage,
}

/// Which way something went, seen from the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

#[derive(Debug, Clone)]
struct InSeconds;

impl MetricConstructor<Histogram> for InSeconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(SECONDS)
    }
}

const SECONDS: [f64; 15] =
    [1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const DOCUMENTS: [f64; 12] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

impl Metrics {
    #[must_use]
    pub fn new(store: &str) -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::default(),
            documents: Family::default(),
            movements: Family::default(),
            items: Family::default(),
            commit_seconds: Histogram::new(SECONDS),
            batch_documents: Histogram::new(DOCUMENTS),
            inputs_waiting: Gauge::default(),
            link_up: Gauge::default(),
            link_dials: Counter::default(),
            link_ends: Counter::default(),
            link_switches: Family::default(),
            frames: Family::default(),
            frame_bytes: Family::default(),
            udp_datagrams: Family::default(),
            udp_bytes: Family::default(),
            mqtt_bytes: Family::default(),
            round_trip_seconds: Seconds::default(),
            state_pending_records: Gauge::default(),
            history_pending_movements: Gauge::default(),
            hub_contact_age_seconds: Seconds::default(),
            certificate_expires_timestamp_seconds: Gauge::default(),
            epoch: Gauge::default(),
            quarantined_records: Gauge::default(),
            digest_mismatches: Gauge::default(),
            failed_commits: Gauge::default(),
            adoptions: Gauge::default(),
            items_known: Gauge::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(InSeconds),
            pos_reading: Family::default(),
            pos_schema_changed: Family::default(),
            pos_log_followed: Family::default(),
            pos_last_read_age_seconds: Family::default(),
            pos_last_row_age_seconds: Family::default(),
            pos_rows: Family::default(),
            canary_age_seconds: Family::default(),
            canary_overdue: Family::default(),
            resident_bytes: Gauge::default(),
            cpu_seconds: Counter::default(),
        };
        metrics.register(store);
        metrics
    }

    fn register(&mut self, store: &str) {
        let mut registry = Registry::default();
        registry.register("process_resident_memory_bytes", "Memory held in RAM", self.resident_bytes.clone());
        registry.register(
            "process_cpu_seconds",
            "Processor time used, user and system",
            self.cpu_seconds.clone(),
        );
        let agent = registry.sub_registry_with_prefix("shopsmart_agent");
        let build = Info::new([("version", version().to_owned()), ("store", store.to_owned())]);
        agent.register("build", "Version and store of this agent", build);
        self.register_core(agent);
        self.register_link(agent);
        self.register_pos(agent);
        agent.register("http_requests", "Requests answered, by route and status", self.requests.clone());
        agent.register(
            "http_request_seconds",
            "Time from a request's header to its answer",
            self.request_seconds.clone(),
        );
        self.registry = registry;
    }

    fn register_core(&self, agent: &mut Registry) {
        agent.register("documents", "Documents reported by sources, by outcome", self.documents.clone());
        agent.register("movements", "Ledger lines recorded, by kind", self.movements.clone());
        agent.register("items_put", "Item entries taken, by outcome", self.items.clone());
        agent.register("items_known", "Items in the store's catalogue", self.items_known.clone());
        agent.register(
            "commit_seconds",
            "Time of one go of the core, durable commit included",
            self.commit_seconds.clone(),
        );
        agent.register("batch_documents", "Documents that shared one commit", self.batch_documents.clone());
        agent.register("inputs_waiting", "Inputs waiting for the core", self.inputs_waiting.clone());
        agent.register(
            "failed_commits",
            "Commits the disk did not take since the start; should stay 0",
            self.failed_commits.clone(),
        );
    }

    fn register_link(&self, agent: &mut Registry) {
        agent.register(
            "certificate_expires_timestamp_seconds",
            "When the certificate for the hub expires, in seconds since 1970; 0 where there is none",
            self.certificate_expires_timestamp_seconds.clone(),
        );
        agent.register("link_up", "1 while the hub answers on the link", self.link_up.clone());
        agent.register("link_dials", "Attempts to reach the hub", self.link_dials.clone());
        agent.register("link_ends", "Links that were open and ended", self.link_ends.clone());
        agent.register(
            "link_switches",
            "Changes between QUIC and MQTT, by what was changed to",
            self.link_switches.clone(),
        );
        agent.register("frames", "Frames on the link, by direction and stream", self.frames.clone());
        agent.register(
            "frame_bytes",
            "Bytes of those frames, before TLS and QUIC or MQTT",
            self.frame_bytes.clone(),
        );
        agent.register(
            "udp_datagrams",
            "UDP datagrams of the link, by direction",
            self.udp_datagrams.clone(),
        );
        agent.register(
            "udp_bytes",
            "UDP payload bytes of the link, by direction; add 28 a datagram for IPv4 and UDP headers",
            self.udp_bytes.clone(),
        );
        agent.register(
            "mqtt_bytes",
            "Bytes of MQTT PUBLISH packets, by direction, before TLS and TCP",
            self.mqtt_bytes.clone(),
        );
        agent.register(
            "round_trip_seconds",
            "Round trip to the hub as QUIC sees it",
            self.round_trip_seconds.clone(),
        );
        agent.register(
            "state_pending_records",
            "Changed records the hub has not acknowledged",
            self.state_pending_records.clone(),
        );
        agent.register(
            "history_pending_movements",
            "Ledger lines the hub has not acknowledged",
            self.history_pending_movements.clone(),
        );
        agent.register(
            "hub_contact_age_seconds",
            "Time since the hub's last frame; -1 before the first",
            self.hub_contact_age_seconds.clone(),
        );
        agent.register(
            "adoptions",
            "Times this agent took over from the hub's copy since the start",
            self.adoptions.clone(),
        );
        agent.register("epoch", "Epoch the hub granted this agent; 0 before the first", self.epoch.clone());
        agent.register(
            "quarantined_records",
            "Records from the hub that could not be understood",
            self.quarantined_records.clone(),
        );
        agent.register(
            "digest_mismatches",
            "Times the digests of both sides differed at equal heads; should stay 0",
            self.digest_mismatches.clone(),
        );
    }

    fn register_pos(&self, agent: &mut Registry) {
        agent.register("pos_reading", "1 while the POS is being read", self.pos_reading.clone());
        agent.register(
            "pos_schema_changed",
            "1 while the POS is not read because its tables have changed",
            self.pos_schema_changed.clone(),
        );
        agent.register(
            "pos_log_followed",
            "1 while the log of the POS's database is followed, where the settings ask for it",
            self.pos_log_followed.clone(),
        );
        agent.register(
            "pos_last_read_age_seconds",
            "Time since the POS was last read without an error; -1 before",
            self.pos_last_read_age_seconds.clone(),
        );
        agent.register(
            "pos_last_row_age_seconds",
            "Age of the newest recorded row by the POS's clock; -1 before the first since the start",
            self.pos_last_row_age_seconds.clone(),
        );
        agent.register(
            "pos_rows",
            "Rows of the POS since the start, by what became of them",
            self.pos_rows.clone(),
        );
        agent.register(
            "canary_age_seconds",
            "Time since a followed movement of the source has come all the way to the hub",
            self.canary_age_seconds.clone(),
        );
        agent.register(
            "canary_overdue",
            "1 while that is longer than the configuration allows",
            self.canary_overdue.clone(),
        );
    }

    pub fn source(&self, source: &str, reading: bool, drifted: bool, read_age: f64, row_age: f64) {
        let label = vec![("source", source.to_owned())];
        self.pos_reading.get_or_create(&label).set(i64::from(reading));
        self.pos_schema_changed.get_or_create(&label).set(i64::from(drifted));
        self.pos_last_read_age_seconds.get_or_create(&label).set(read_age);
        self.pos_last_row_age_seconds.get_or_create(&label).set(row_age);
    }

    pub fn source_log(&self, source: &str, is_followed: bool) {
        let label = vec![("source", source.to_owned())];
        self.pos_log_followed.get_or_create(&label).set(i64::from(is_followed));
    }

    pub fn source_count(&self, source: &str, what: &'static str, count: u64) {
        let label = vec![("source", source.to_owned()), ("what", what.to_owned())];
        self.pos_rows.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// All of them: by source, the age, and whether it is overdue.
    pub fn canaries(&self, canaries: impl IntoIterator<Item = (String, f64, bool)>) {
        self.canary_age_seconds.clear();
        self.canary_overdue.clear();
        for (source, age, is_overdue) in canaries {
            let label = vec![("source", source)];
            self.canary_age_seconds.get_or_create(&label).set(age);
            self.canary_overdue.get_or_create(&label).set(i64::from(is_overdue));
        }
    }

    pub fn document(&self, outcome: Outcome) {
        self.documents.get_or_create(&[("outcome", outcome.name())]).inc();
    }

    pub fn documents(&self, outcome: Outcome, count: u64) {
        if count > 0 {
            self.documents.get_or_create(&[("outcome", outcome.name())]).inc_by(count);
        }
    }

    pub fn movements(&self, kind: Kind, lines: u64) {
        self.movements.get_or_create(&[("kind", kind.name())]).inc_by(lines);
    }

    pub fn item(&self, outcome: &'static str) {
        self.items.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub fn frame(&self, direction: Direction, stream: Stream, bytes: usize) {
        let labels = [("direction", direction.name()), ("stream", stream.name())];
        self.frames.get_or_create(&labels).inc();
        self.frame_bytes.get_or_create(&labels).inc_by(bytes as u64);
    }

    pub fn udp(&self, direction: Direction, datagrams: u64, bytes: u64) {
        let label = [("direction", direction.name())];
        self.udp_datagrams.get_or_create(&label).inc_by(datagrams);
        self.udp_bytes.get_or_create(&label).inc_by(bytes);
    }

    pub fn mqtt(&self, direction: Direction, bytes: usize) {
        self.mqtt_bytes.get_or_create(&[("direction", direction.name())]).inc_by(bytes as u64);
    }

    pub fn link_switch(&self, to: &'static str) {
        self.link_switches.get_or_create(&[("to", to)]).inc();
    }

    pub fn request(&self, route: &'static str, status: u16, seconds: f64) {
        self.requests.get_or_create(&[("route", route), ("status", status_name(status))]).inc();
        self.request_seconds.get_or_create(&[("route", route)]).observe(seconds);
    }

    /// Everything in the text format collectors read.
    pub fn exposition(&self) -> Result<String, std::fmt::Error> {
        self.observe_process();
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Linux only; elsewhere both stay at zero.
    fn observe_process(&self) {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        if let Some(seconds) = cpu_seconds() {
            let more = seconds - self.cpu_seconds.get();
            self.cpu_seconds.inc_by(more.max(0.0));
        }
    }
}

impl Outcome {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::New => "new",
            Outcome::Duplicate => "duplicate",
            Outcome::Conflict => "conflict",
            Outcome::Invalid => "invalid",
            Outcome::Storage => "storage",
        }
    }
}

impl Direction {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Direction::Sent => "sent",
            Direction::Received => "received",
        }
    }
}

fn status_name(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        421 => "421",
        422 => "422",
        500 => "500",
        503 => "503",
        _ => "other",
    }
}

fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_come_out_with_their_names_and_units() {
        let metrics = Metrics::new("S0001");
        metrics.document(Outcome::New);
        metrics.movements(Kind::Sale, 3);
        metrics.frame(Direction::Sent, Stream::State, 120);
        metrics.udp(Direction::Received, 2, 300);
        metrics.mqtt(Direction::Sent, 140);
        metrics.link_switch("mqtt");
        metrics.request("/v1/movements", 201, 0.002);
        let text = metrics.exposition().unwrap();
        for line in [
            "shopsmart_agent_documents_total{outcome=\"new\"} 1",
            "shopsmart_agent_movements_total{kind=\"sale\"} 3",
            "shopsmart_agent_frame_bytes_total{direction=\"sent\",stream=\"state\"} 120",
            "shopsmart_agent_udp_bytes_total{direction=\"received\"} 300",
            "shopsmart_agent_mqtt_bytes_total{direction=\"sent\"} 140",
            "shopsmart_agent_link_switches_total{to=\"mqtt\"} 1",
            "shopsmart_agent_http_requests_total{route=\"/v1/movements\",status=\"201\"} 1",
            "shopsmart_agent_link_up 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes "));
    }
}
