//! Keeps a link to the hub: dials one after the other, as `rules` has it, probes QUIC while on MQTT, and tells how it stands.
//!
//! There is one link at a time. The core hears of each link's beginning from the link and of its end from here, so the end
//! comes after the link's last frame.

use super::ends::{Cue, Ends};
use super::identity::{self, IdentityError};
use super::rules::{Pace, Rules, Switch};
use super::{mqtt, probe, quic};
use crate::config::{HubConfig, TransportMode};
use crate::http::Clocks;
use crate::inbox::{Crossing, Inbox, Transport, Work};
use crate::telemetry::Metrics;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use sync_protocol::StoreId;
use tokio::sync::watch;
use tracing::Instrument;

/// Everything that keeping a link takes.
#[derive(Debug)]
pub struct Line {
    pub store: StoreId,
    pub hub: HubConfig,
    pub inbox: Inbox,
    pub metrics: Arc<Metrics>,
    /// Where it is told which way is in use.
    pub crossing: watch::Sender<Crossing>,
    pub clocks: Clocks,
    pub pace: Pace,
}

/// Keeps a link to the hub until `stop` turns true.
pub async fn run(line: Line, mut stop: watch::Receiver<bool>) {
    let began = (line.clocks.instant)();
    let mut chooser = Chooser { rules: Rules::new(line.hub.transport, line.pace), line: &line, began };
    let mut last_reasons: [String; 2] = Default::default();
    let mut dial = chooser.rules.dial(random_share());
    for number in 1u64.. {
        tokio::select! {
            () = tokio::time::sleep(dial.pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let transport = dial.transport;
        let span = tracing::info_span!("link", link = number, transport = transport.name());
        let reason = chooser.link(transport, &mut stop).instrument(span).await;
        if *stop.borrow() || !line.inbox.tell(Work::LinkDown { reason: reason.clone() }).await {
            return;
        }
        dial = chooser.rules.dial(random_share());
        let (next, retry_in) = (dial.transport.name(), dial.pause);
        let last = &mut last_reasons[usize::from(transport == Transport::Mqtt)];
        if *last == reason {
            tracing::debug!(over = transport.name(), reason, next, ?retry_in, "no link to the hub");
        } else {
            tracing::warn!(over = transport.name(), reason, next, ?retry_in, "no link to the hub");
            *last = reason;
        }
    }
}

/// Checks what the configuration names, without dialling: for `check-config`.
pub fn check(config: &HubConfig) -> Result<(), IdentityError> {
    match config.transport {
        TransportMode::Quic => identity::client(config).map(drop),
        TransportMode::Auto | TransportMode::Mqtt => identity::client_naming(config).map(drop),
    }
}

fn random_share() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all stores wait alike, which is slower, not wrong.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

type Probing<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

struct Chooser<'a> {
    rules: Rules,
    line: &'a Line,
    began: Instant,
}

impl<'a> Chooser<'a> {
    /// Dials once and carries the link to its end. Says why it ended.
    async fn link(&mut self, transport: Transport, stop: &mut watch::Receiver<bool>) -> String {
        let (cue, cued) = watch::channel(Cue::Carry);
        let (telling, mut heard) = watch::channel(false);
        let (inbox, metrics) = (self.line.inbox.clone(), Arc::clone(&self.line.metrics));
        let ends = Ends { inbox, metrics, heard: telling, cue: cued };
        self.rules.dialled(self.now());
        let mut link = pin!(carry(self.line, transport, &ends));
        let mut probing: Option<(Duration, Probing<'a>)> = None;
        let reason = loop {
            if probing.is_none() {
                probing = self.probe();
            }
            let silent_for = self.rules.silent_until().map(|until| until.saturating_sub(self.now()));
            let free = *cue.borrow() == Cue::Carry;
            tokio::select! {
                reason = &mut link => break reason,
                Ok(_) = heard.wait_for(|heard| *heard), if !self.rules.is_heard() => self.heard(),
                () = after(silent_for), if free => {
                    let _ = cue.send(Cue::Leave(self.not_heard(transport)));
                }
                (stood, result) = probed(&mut probing) => {
                    probing = None;
                    if let Some(reason) = self.probed(stood, result) {
                        let _ = cue.send(Cue::Leave(reason));
                    }
                }
                _ = stop.wait_for(|stop| *stop), if *cue.borrow() != Cue::Stop => {
                    let _ = cue.send(Cue::Stop);
                }
            }
        };
        if *heard.borrow() {
            // The first frame and the end may have come together.
            self.heard();
        }
        self.ended(&reason);
        reason
    }

    /// A probe that begins when the rules want one.
    fn probe(&self) -> Option<(Duration, Probing<'a>)> {
        let probe = self.rules.probe()?;
        let pause = probe.at.saturating_sub(self.now());
        let line = self.line;
        let stand = async move {
            tokio::time::sleep(pause).await;
            probe::stand(&line.hub, &line.metrics, probe.stands).await
        };
        Some((probe.stands, Box::pin(stand)))
    }

    fn probed(&mut self, stood: Duration, result: Result<(), String>) -> Option<String> {
        if let Err(reason) = &result {
            tracing::debug!(reason, "QUIC does not get through yet");
        }
        let needed = self.rules.healthy_after();
        let leave = self.rules.probed(self.now(), result.ok().map(|()| stood));
        leave.then(|| format!("QUIC gets through again: a probe has stood for {needed:?}"))
    }

    fn heard(&mut self) {
        if self.rules.is_heard() {
            return;
        }
        let switch = self.rules.heard(self.now());
        let since = (self.line.clocks.wall)();
        self.line.crossing.send_modify(|crossing| {
            crossing.transport = self.rules.transport();
            crossing.since = Some(since);
            if let Some(Switch { reason, .. }) = &switch {
                crossing.switches += 1;
                crossing.last_switch_reason = Some(reason.clone());
            }
        });
        if let Some(Switch { to, reason }) = switch {
            self.line.metrics.link_switch(to.name());
            tracing::info!(to = to.name(), reason, "the way to the hub has changed");
        }
    }

    fn not_heard(&self, transport: Transport) -> String {
        let patience = self.rules.patience(transport);
        let address = match transport {
            Transport::Quic => self.line.hub.address.clone(),
            Transport::Mqtt => self.line.hub.mqtt_address.to_string(),
        };
        format!("nothing heard from the hub at {address} in {patience:?}")
    }

    fn ended(&mut self, reason: &str) {
        self.rules.ended(self.now(), reason);
        let since = (self.line.clocks.wall)();
        self.line.crossing.send_if_modified(|crossing| {
            let was_in_use = crossing.transport.take().is_some();
            if was_in_use {
                crossing.since = Some(since);
            }
            was_in_use
        });
    }

    fn now(&self) -> Duration {
        (self.line.clocks.instant)().saturating_duration_since(self.began)
    }
}

async fn carry(line: &Line, transport: Transport, ends: &Ends) -> String {
    match transport {
        Transport::Quic => {
            let unanswered_max = match line.hub.transport {
                TransportMode::Auto => quic::LOOKS_UNANSWERED_MAX_BESIDE_MQTT,
                TransportMode::Quic | TransportMode::Mqtt => quic::LOOKS_UNANSWERED_MAX,
            };
            quic::link(&line.hub, ends, unanswered_max).await
        }
        Transport::Mqtt => mqtt::link(&line.hub, &line.store, ends).await,
    }
}

/// Waits for so long; for ever without a limit.
async fn after(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// The end of the probe that runs; never, when none does.
async fn probed(probing: &mut Option<(Duration, Probing<'_>)>) -> (Duration, Result<(), String>) {
    match probing {
        Some((stands, probe)) => (*stands, probe.await),
        None => std::future::pending().await,
    }
}
