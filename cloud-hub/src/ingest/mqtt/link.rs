//! One connection, from its first byte to its last: TLS, CONNECT, then frames both ways until either side has enough.

use super::line::{Counted, Line};
use super::owed::Owed;
use super::session::{Ending, Heard, Session};
use crate::door::Stranger;
use crate::hub::LinkId;
use crate::ingest::links::{Carrier, TcpBytes};
use crate::ingest::tls::store_shown;
use crate::ingest::{Answers, Farewell, Inbox, Links, Metrics, Outlet, Stopped, asked_to_go, outlet};
use crate::standing::Serial;
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::StoreId;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, error, info, info_span};

/// A TLS handshake takes two round trips; even a poor line is done by then.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a peer may take to say CONNECT after that.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Bytes that rustls may hold back of what a peer does not take.
const TLS_BUFFER_BYTES: usize = 32 << 10;
/// A peer that has this much of the hub's answers before it gets no more of them, and is not read, for now.
const WRITE_BUFFER_BYTES: usize = 64 << 10;
/// How long a peer gets to hear why its link ends.
const PARTING_MAX: Duration = Duration::from_secs(1);

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Shared {
    pub acceptor: TlsAcceptor,
    pub inbox: Inbox,
    pub links: Arc<Links>,
    pub metrics: Metrics,
    pub stop: watch::Receiver<bool>,
}

/// A peer that has shown a certificate and said CONNECT.
struct Introduced {
    store: StoreId,
    serial: Serial,
    line: Line,
    session: Session,
    silence_max: Duration,
}

/// Why a connection never became a link: a label for the metric, and words.
struct NotIntroduced {
    reason: &'static str,
    words: String,
}

impl Shared {
    pub async fn receive(self, tcp: TcpStream, peer: SocketAddr, mut stranger: Stranger) {
        let moved = Arc::new(TcpBytes::default());
        let introduced = tokio::select! {
            introduced = self.introduce(tcp, &moved) => introduced,
            () = stranger.must_leave() => Err(not_introduced("crowded", "it had to make way for others")),
        };
        drop(stranger);
        match introduced {
            Ok(introduced) => self.link(introduced, peer, moved).await,
            Err(NotIntroduced { reason, words }) => {
                self.metrics.handshake_failed(reason);
                self.links.count(&Carrier::Mqtt(moved));
                info!(%peer, reason, words, "an MQTT connection came to nothing");
            }
        }
    }

    /// TLS, and CONNECT within it.
    async fn introduce(&self, tcp: TcpStream, moved: &Arc<TcpBytes>) -> Result<Introduced, NotIntroduced> {
        if let Err(error) = tcp.set_nodelay(true) {
            debug!(%error, "TCP_NODELAY was not taken");
        }
        let limited = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        let shaking = self.acceptor.accept_with(Counted::new(tcp, Arc::clone(moved)), limited);
        let tls = match timeout(HANDSHAKE_MAX, shaking).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return Err(not_introduced("tls", &error.to_string())),
            Err(_) => return Err(not_introduced("timeout", "it did not finish the TLS handshake")),
        };
        let shown = store_shown(tls.get_ref().1.peer_certificates());
        let (store, serial) = shown.map_err(NotIntroduced::from)?;
        let mut line = Line::new(tls);
        let mut session = Session::new(store.clone());
        match timeout(CONNECT_MAX, connected(&mut line, &mut session)).await {
            Ok(Ok(silence_max)) => {
                // Only now MQTT has words for it. Whoever is not admitted makes no other link go.
                if let Err(why) = self.links.standings().greet(&store, Some(&serial)) {
                    let why = Farewell::NotAdmitted(why);
                    session.part(&why.clone().into());
                    drop(timeout(PARTING_MAX, line.close(&mut session)).await);
                    return Err(why.into());
                }
                Ok(Introduced { store, serial, line, session, silence_max })
            }
            Ok(Err(why)) => {
                drop(timeout(PARTING_MAX, line.close(&mut session)).await);
                Err(why.into())
            }
            Err(_) => Err(not_introduced("timeout", "it did not say CONNECT")),
        }
    }

    /// A link, from its listing to its report as down.
    async fn link(self, introduced: Introduced, peer: SocketAddr, moved: Arc<TcpBytes>) {
        let Introduced { store, serial, line, session, silence_max } = introduced;
        let (outlet, answers) = outlet();
        let hang_up = outlet.hang_up.clone();
        let link = self.links.add(&store, Some(serial), Carrier::Mqtt(moved), hang_up.clone());
        // Whoever is listed too late for being told with the others sees here that the hub stops.
        if *self.stop.borrow() {
            hang_up.because(Farewell::Stopping);
        }
        let span = info_span!("link", link = link.0, %store, %peer, transport = "mqtt");
        let talk = Talk {
            link,
            unreported: Some((store, outlet)),
            line,
            session,
            silence_max,
            owed: Owed::default(),
            handing: None,
            shared: &self,
        };
        talk.until_the_end(answers).instrument(span).await;
    }
}

fn not_introduced(reason: &'static str, words: &str) -> NotIntroduced {
    NotIntroduced { reason, words: words.to_owned() }
}

impl From<Farewell> for NotIntroduced {
    fn from(why: Farewell) -> Self {
        not_introduced(why.name(), why.reason())
    }
}

/// Waits for CONNECT, and answers it.
async fn connected(line: &mut Line, session: &mut Session) -> Result<Duration, Farewell> {
    loop {
        match line.converse(session, true).await {
            Ok(Heard::Nothing) => {}
            Ok(Heard::Connected { silence_max }) => return Ok(silence_max),
            Ok(_) => return Err(Farewell::Misused("a client must begin with CONNECT")),
            Err(ending) => return Err(ending.why),
        }
    }
}

type Handing = Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>>;

/// A link's conversation.
struct Talk<'a> {
    link: LinkId,
    /// What the driver is told once the link is up.
    unreported: Option<(StoreId, Outlet)>,
    line: Line,
    session: Session,
    silence_max: Duration,
    owed: Owed,
    /// A frame on its way into the driver's inbox. Nothing is read meanwhile.
    handing: Option<Handing>,
    shared: &'a Shared,
}

impl Talk<'_> {
    async fn until_the_end(mut self, mut answers: Answers) {
        // A fault in what one peer sent must not cost the driver the news that its link is gone.
        let talked = AssertUnwindSafe(self.converse(&mut answers)).catch_unwind().await;
        let ending = talked.unwrap_or_else(|_| {
            error!("a link's task panicked; the other links go on");
            Farewell::Misused("the hub failed on what this link sent").into()
        });
        self.handing = None;
        self.part(&ending, &mut answers).await;
        self.shared.links.remove(self.link);
        if self.unreported.is_none() {
            self.shared.metrics.link_ended(&ending.why);
            info!(why = ending.why.name(), reason = ending.why.reason(), "link ended");
            // Fails only when the driver has stopped, and then nobody is left to care.
            let _ = self.shared.inbox.down(self.link).await;
        } else {
            self.shared.metrics.handshake_failed(ending.why.name());
            info!(reason = ending.why.reason(), "the link ended before it was up");
        }
    }

    /// Reads and writes until either side has enough, or the network fails.
    async fn converse(&mut self, answers: &mut Answers) -> Ending {
        let mut farewells = answers.farewells();
        let mut silent_at = Instant::now() + self.silence_max;
        loop {
            let backed_up = self.line.waiting() >= WRITE_BUFFER_BYTES;
            let reading = self.handing.is_none() && !backed_up;
            let saying = self.session.listens() && !backed_up;
            let step = tokio::select! {
                why = asked_to_go(&mut farewells) => return why.into(),
                heard = self.line.converse(&mut self.session, reading) => {
                    silent_at = Instant::now() + self.silence_max;
                    match heard {
                        Ok(heard) => self.take_in(heard).await,
                        Err(ending) => return ending,
                    }
                }
                () = self.owed.due() => self.acknowledge(),
                handed = handed(&mut self.handing) => {
                    // The peer was not listened to; that it said nothing is not its fault.
                    silent_at = Instant::now() + self.silence_max;
                    self.handing = None;
                    handed.map_err(|stopped| Farewell::from(stopped).into())
                }
                answer = answers.next(), if saying => match answer {
                    Some((answer, _room)) => self.session.say(answer),
                    None => return Farewell::Stopping.into(),
                },
                () = tokio::time::sleep_until(silent_at), if self.handing.is_none() => {
                    return if backed_up { Farewell::Slow.into() } else { Farewell::Silent.into() };
                }
            };
            if let Err(ending) = step {
                return ending;
            }
        }
    }

    async fn take_in(&mut self, heard: Heard) -> Result<(), Ending> {
        match heard {
            Heard::Nothing | Heard::Connected { .. } => Ok(()),
            Heard::Noted { id: None } => Ok(()),
            Heard::Noted { id: Some(id) } => self.owed.nothing(id),
            Heard::Listening => self.report_up().await,
            Heard::Frame { bytes, id } => {
                let committed = id.map(|id| self.owed.frame(id)).transpose()?;
                // Answers wait until the client listens to them, so this one is not answered into the void either.
                self.report_up().await?;
                self.shared.metrics.frame(bytes.len());
                let (inbox, link) = (self.shared.inbox.clone(), self.link);
                self.handing = Some(Box::pin(async move { inbox.frame(link, bytes, committed).await }));
                Ok(())
            }
        }
    }

    /// Tells the driver of the link, once.
    async fn report_up(&mut self) -> Result<(), Ending> {
        if let Some((store, outlet)) = self.unreported.take() {
            self.shared.metrics.link_up();
            info!("link up");
            self.shared.inbox.up(self.link, store, outlet).await.map_err(Farewell::from)?;
        }
        Ok(())
    }

    fn acknowledge(&mut self) -> Result<(), Ending> {
        while let Some((id, committed)) = self.owed.next() {
            self.session.acknowledge(id, committed)?;
        }
        Ok(())
    }

    /// Says what is left to say: acknowledgements and answers that are there, and why the link ends.
    async fn part(&mut self, ending: &Ending, answers: &mut Answers) {
        let mut said = self.acknowledge();
        while self.session.listens()
            && matches!(ending.why, Farewell::Refused(_))
            && let Some(Some((answer, _room))) = answers.next().now_or_never()
        {
            said = said.and_then(|()| self.session.say(answer));
        }
        if let Err(ending) = said {
            debug!(reason = ending.why.reason(), "the last words did not fit");
        }
        self.session.part(ending);
        drop(timeout(PARTING_MAX, self.line.close(&mut self.session)).await);
    }
}

/// Waits until a frame has found its place; forever when there is none on its way.
async fn handed(handing: &mut Option<Handing>) -> Result<(), Stopped> {
    match handing {
        Some(handing) => handing.await,
        None => std::future::pending().await,
    }
}
