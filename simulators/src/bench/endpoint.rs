//! The hub's own MQTT endpoint beside Mosquitto and the hub: what an idle connection costs, and how many frames of many stores
//! are committed a second.

use super::figure::{Figure, Target, as_f64};
use super::mosquitto::{self, Broker};
use super::mqtt5::Client;
use super::wire::SoldStore;
use crate::clock;
use crate::fleet::hub::Hub;
use crate::fleet::metrics::Metrics;
use crate::fleet::{enrolled_hub, proc_stat, store_id};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::frame::{self, Body, BootMark, Frame, Hello, StateBatch};
use sync_protocol::{Boot, Epoch, Position, Seq, StoreId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

const BOOT: Boot = Boot(7);
/// Stores that send as fast as they are answered: first these with one cell in a frame, then as many with nine.
const BUSY: usize = 32;
const FRAMES: usize = 4000;
const ITEMS: usize = 1000;
const BASKET_LINES: usize = 9;
/// Stores that only listen, and those before them that everything warms up with.
const IDLE: usize = 400;
const WARM: usize = 32;
const STORES: usize = 2 * BUSY + WARM + IDLE;

/// What was measured of one way in.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    idle_kib: f64,
    single: Loaded,
    baskets: Loaded,
}

/// The endpoint's own figures.
#[must_use]
pub fn own_figures(own: &Measured) -> Vec<Figure> {
    let figure = |what: &str, value, unit| Figure::new("endpoint", what, value, unit);
    vec![
        figure("MQTT endpoint: memory of an idle connection", own.idle_kib, "KiB")
            .target(Target::AtMost(60.0))
            .how("the hub's resident memory before and after 400 stores connected over TLS and subscribed, by 400"),
        figure("MQTT endpoint: frames of one changed cell, committed", own.single.per_second, "/s")
            .target(Target::AtLeast(10_000.0))
            .how("by the hub's own marks; 32 stores, 4,000 frames each, 16 in flight; the load runs on the same processors"),
        figure("… processors used meanwhile", own.single.processors, ""),
        figure("MQTT endpoint: frames of nine changed cells, committed", own.baskets.per_second, "/s"),
        figure("… processors used meanwhile", own.baskets.processors, ""),
    ]
}

/// The figures of Mosquitto and the hub, and how the endpoint compares.
#[must_use]
pub fn beside_figures(own: &Measured, beside: &Measured) -> Vec<Figure> {
    let figure = |what: &str, value, unit| Figure::new("broker", what, value, unit);
    vec![
        figure("Mosquitto and hub: memory of an idle connection", beside.idle_kib, "KiB").how(
            "the broker's and the hub's together; the broker is set up as docs/operating/brokers.md says",
        ),
        figure("Mosquitto and hub: frames of one changed cell, committed", beside.single.per_second, "/s"),
        figure("… processors used meanwhile, both together", beside.single.processors, ""),
        figure("Mosquitto and hub: frames of nine changed cells, committed", beside.baskets.per_second, "/s"),
        figure("… processors used meanwhile, both together", beside.baskets.processors, ""),
        figure(
            "own endpoint / Mosquitto and hub: frames of one changed cell",
            own.single.per_second / beside.single.per_second,
            "×",
        ),
        figure(
            "own endpoint / Mosquitto and hub: memory of an idle connection",
            own.idle_kib / beside.idle_kib,
            "×",
        ),
    ]
}

/// Measures the hub's own endpoint.
pub async fn own_endpoint(folder: &Path) -> Result<Measured> {
    let mut hub = enrolled_hub(folder, STORES, "", &mut |_| ()).await?;
    hub.start().await?;
    let site = Site { hub: &hub, address: hub.ends()?.mqtt, processes: vec![hub.pid()?] };
    let measured = site.measure().await?;
    hub.stop().await?;
    Ok(measured)
}

/// Measures the way through Mosquitto.
pub async fn through_mosquitto(folder: &Path) -> Result<Measured> {
    let (address, table) = mosquitto::place()?;
    let mut hub = enrolled_hub(folder, STORES, &table, &mut |_| ()).await?;
    let keys = folder.join("broker");
    fs::create_dir_all(&keys).context("creating the broker's folder")?;
    let broker = Broker::start(&keys, address, &hub).await?;
    hub.start().await?;
    hears_of_broker(&hub).await?;
    let site = Site { hub: &hub, address, processes: vec![hub.pid()?, broker.pid()] };
    let measured = site.measure().await?;
    hub.stop().await?;
    broker.stop().await?;
    Ok(measured)
}

/// Waits until the hub is connected to its broker.
async fn hears_of_broker(hub: &Hub) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = clock::now();
    while !fs::read_to_string(hub.log()).unwrap_or_default().contains("connected to the broker") {
        ensure!(
            start.elapsed() < PATIENCE,
            "the hub does not connect to its broker; see {}",
            hub.log().display()
        );
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// One way in, running.
struct Site<'a> {
    hub: &'a Hub,
    /// Where stores connect.
    address: SocketAddr,
    /// Whose memory and processor time count.
    processes: Vec<u32>,
}

impl Site<'_> {
    /// Memory first, while nothing has been done yet; then the load.
    async fn measure(&self) -> Result<Measured> {
        let idle_kib = self.idle_kib().await?;
        let single = self.load(0..BUSY, 1).await?;
        let baskets = self.load(BUSY..2 * BUSY, BASKET_LINES).await?;
        Ok(Measured { idle_kib, single, baskets })
    }

    async fn idle_kib(&self) -> Result<f64> {
        const FIRST: usize = 2 * BUSY;
        /// Long enough for what the handshakes took to be given back.
        const SETTLED_AFTER: Duration = Duration::from_secs(2);
        let _warm = self.connect_all(FIRST..FIRST + WARM).await?;
        sleep(SETTLED_AFTER).await;
        let before = self.memory()?;
        let _idle = self.connect_all(FIRST + WARM..STORES).await?;
        sleep(SETTLED_AFTER).await;
        let grown = self.memory()?.saturating_sub(before);
        Ok(as_f64(grown) / 1024.0 / as_f64(u64::try_from(IDLE)?))
    }

    fn memory(&self) -> Result<u64> {
        self.processes.iter().map(|pid| proc_stat::rss_bytes(*pid)).sum()
    }

    fn processor_time(&self) -> Result<Duration> {
        self.processes.iter().map(|pid| proc_stat::cpu_time(*pid)).sum()
    }

    async fn merged(&self) -> Result<f64> {
        let metrics = Metrics::read(&mut self.hub.client()?).await?;
        Ok(metrics.sum("shopsmart_hub_cells_merged_total", &[]))
    }

    async fn connect_all(&self, places: Range<usize>) -> Result<Vec<Client>> {
        const AT_ONCE: usize = 16;
        let (limit, mut dials) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        for place in places {
            let (address, certificates, limit) =
                (self.address, self.hub.certificates(place), Arc::clone(&limit));
            dials.spawn(async move {
                let _turn = limit.acquire_owned().await?;
                Client::connect(address, &certificates, &store_id(place)).await
            });
        }
        let mut clients = Vec::new();
        while let Some(dialled) = dials.join_next().await {
            clients.push(dialled??);
        }
        Ok(clients)
    }

    /// Each store sends a number of frames that change so many cells; timed until the hub has committed the last.
    async fn load(&self, places: Range<usize>, cells: usize) -> Result<Loaded> {
        let frames = as_f64(u64::try_from(places.len() * FRAMES)?);
        let batches = Arc::new(batches(cells));
        let mut greetings = JoinSet::new();
        for place in places {
            let seat = Seat::of(self, place)?;
            greetings.spawn(seat.greet(Arc::clone(&batches)));
        }
        let mut ready = Vec::new();
        while let Some(greeted) = greetings.join_next().await {
            ready.push(greeted??);
        }
        let merged_before = self.merged().await?;
        let (start, time_before) = (clock::now(), self.processor_time()?);
        let mut sending = JoinSet::new();
        for (mut client, frames) in ready {
            sending.spawn(async move { client.publish_all(&frames).await });
        }
        while let Some(sent) = sending.join_next().await {
            sent??;
        }
        let seconds = start.elapsed().as_secs_f64();
        let time = self.processor_time()?.saturating_sub(time_before).as_secs_f64();
        let (merged, cells) = (self.merged().await? - merged_before, frames * as_f64(u64::try_from(cells)?));
        ensure!(merged >= cells, "the hub says it merged {merged} cells, where {cells} were sent");
        Ok(Loaded { per_second: frames / seconds, processors: time / seconds })
    }
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    per_second: f64,
    processors: f64,
}

/// All items and stock, then what the sales change.
fn batches(cells: usize) -> Vec<StateBatch> {
    let mut store = SoldStore::open(ITEMS);
    let mut batches = vec![store.everything()];
    batches.extend((0..FRAMES).map(|_| store.sell_until_changed(cells)));
    batches
}

/// One store's place there.
struct Seat {
    address: SocketAddr,
    certificates: PathBuf,
    store: StoreId,
}

impl Seat {
    fn of(site: &Site<'_>, place: usize) -> Result<Self> {
        let store = store_id(place).parse().context("a letter and digits")?;
        Ok(Self { address: site.address, certificates: site.hub.certificates(place), store })
    }

    /// Connects, takes over the epoch it is granted, and sends the opening stock. Comes back with the frames to be sent.
    async fn greet(self, batches: Arc<Vec<StateBatch>>) -> Result<(Client, Vec<(Seq, Vec<u8>)>)> {
        let mut client = Client::connect(self.address, &self.certificates, self.store.as_str()).await?;
        let epoch = self.epoch(&mut client).await?;
        let encode = |batch: &StateBatch| {
            let mut batch = batch.clone();
            batch.stock.iter_mut().for_each(|stock| stock.half.epoch = epoch);
            (batch.upto, self.frame(epoch, Body::State(batch)))
        };
        let (opening, sales) = batches.split_first().context("there is an opening stock")?;
        client.publish_all(&[encode(opening)]).await?;
        Ok((client, sales.iter().map(encode).collect()))
    }

    async fn epoch(&self, client: &mut Client) -> Result<Epoch> {
        let mut bytes = client.ask(&self.frame(Epoch(0), Body::Hello(hello()))).await?;
        let granted = loop {
            match frame::decode(&bytes)?.body {
                Body::Handover(handover) if handover.last => break handover.granted,
                Body::Handover(_) => bytes = client.frame().await?,
                other => bail!("the hub answered a hello with {}", other.kind()),
            }
        };
        let answer = client.ask(&self.frame(granted, Body::Hello(hello()))).await?;
        let answer = frame::decode(&answer)?.body;
        ensure!(matches!(answer, Body::Welcome(_)), "the hub answered a second hello with {}", answer.kind());
        Ok(granted)
    }

    fn frame(&self, epoch: Epoch, body: Body) -> Vec<u8> {
        frame::encode(&Frame { store: self.store.clone(), epoch, boot: BOOT, body })
    }
}

fn hello() -> Hello {
    Hello {
        version_min: frame::VERSION_MIN,
        version_max: frame::VERSION_MAX,
        boots: vec![BootMark { boot: BOOT, first_seq: Seq(1), first_position: Position(1) }],
        state_head: Seq(1),
        history_head: Position(0),
        state_acked: Seq(0),
        history_acked: Position(0),
        down_mark: Seq(0),
        hub_life: 0,
        clock: clock::unix_millis(),
        software: "bench".into(),
    }
}
