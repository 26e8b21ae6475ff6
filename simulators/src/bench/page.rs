//! The store's page with a full store behind it: how long its first screen and a search take, how soon an order is on an open screen,
//! and what ten open screens cost the agent.
//!
//! Times are the server's and the loopback's; what a browser does with a page afterwards is not in them.

use super::figure::{Figure, Target, as_f64};
use super::stocked;
use crate::clock;
use crate::fleet::store::Store;
use crate::fleet::{Fleet, FleetPlan, proc_stat};
use crate::latency::{Latencies, Percentiles};
use crate::scenario::generator::sku;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const ITEMS: usize = 30_000;
const ORDERS: usize = 500;
const LOOKS: usize = 50;
const LIVE_ORDERS: usize = 50;
const SCREENS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Placed {
    order: String,
}

#[derive(Deserialize)]
struct Addresses {
    page: SocketAddr,
}

/// A browser as far as a page without scripts needs one.
#[derive(Clone)]
struct Browser {
    address: SocketAddr,
    cookies: BTreeMap<String, String>,
}

struct Answer {
    status: u16,
    body: String,
}

pub async fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let plan = FleetPlan { has_pages: true, ..FleetPlan::of_stores(1) };
    let fleet = stocked::planned(folder, plan, ITEMS).await?;
    let store = fleet.stores[0].clone();
    let browser = signed_in(&store)?;
    // First, since a screen lists no more than the most urgent.
    let live = live(&fleet, &browser).await?;
    let mut figures = vec![
        Figure::new("page", "placed → on an open screen: p99", live.p99, "ms")
            .target(Target::AtMost(1000.0))
            .how(format!(
                "{ITEMS} items, {LIVE_ORDERS} orders one by one; from the hub's answer, by the screen's event, until the list with it is fetched"
            )),
    ];
    for number in LIVE_ORDERS..ORDERS {
        place(&fleet, number).await?;
    }
    all_listed(&store).await?;
    let how = format!("{ITEMS} items, {ORDERS} open orders; from the request to the whole answer");
    for (name, path, target) in [
        ("first screen", "/", Some(100.0)),
        ("list of orders", "/orders", None),
        ("search as you type", "/items?q=it", Some(30.0)),
    ] {
        let (times, bytes) = looked_at(&browser, path)?;
        let p99 = Figure::new("page", format!("{name}: p99"), times.p99, "ms").how(how.clone());
        figures.push(match target {
            Some(most) => p99.target(Target::AtMost(most)),
            None => p99,
        });
        figures.push(Figure::new("page", format!("{name}: size"), as_f64(bytes) / 1024.0, "KiB"));
    }
    figures.push(screens(&store, &browser).await?);
    fleet.stop().await?;
    Ok(figures)
}

async fn place(fleet: &Fleet, number: usize) -> Result<(String, Instant)> {
    let lines: Vec<String> = [number, number + 1]
        .map(|item| format!("{{\"sku\":\"{}\",\"quantity\":1}}", sku(item % ITEMS)))
        .to_vec();
    let body = format!(
        "{{\"customer\":{{\"name\":\"Asha Kulkarni\",\"phone\":\"+91 98200 12345\"}},\"lines\":[{}],\"pickup\":{{\"store\":\"S0001\"}}}}",
        lines.join(",")
    );
    let mut hub = fleet.hub.client()?;
    let reply = hub.post_keyed("/v1/orders", &format!("page-{number}"), body).await?.success()?;
    let Placed { order } = reply.json()?;
    Ok((order, clock::now()))
}

async fn all_listed(store: &Store) -> Result<()> {
    let (mut client, started) = (store.client()?, clock::now());
    loop {
        let listed = client.get("/v1/orders?limit=1000").await?.success()?.text();
        if listed.matches("\"display_name\"").count() >= ORDERS {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "the orders never reached the store");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sets the page up as its first manager does.
fn signed_in(store: &Store) -> Result<Browser> {
    let data = store.folder().join("data");
    let addresses = std::fs::read_to_string(data.join("addresses.json")).context("where the page is")?;
    let Addresses { page: address } = serde_json::from_str(&addresses).context("where the page is")?;
    let code = std::fs::read_to_string(data.join("setup-code")).context("the set-up code")?;
    let mut browser = Browser { address, cookies: BTreeMap::new() };
    let form = browser.get("/set-up")?.body;
    let token = form
        .split_once("name=\"form\" value=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .context("the set-up form has no token")?
        .0;
    let body = format!("form={token}&code={}&name=Meera&pin=8305&pin_again=8305&device=Office", code.trim());
    let answer = browser.exchange("POST", "/set-up", &body)?;
    ensure!(answer.status == 303, "set-up was answered {}: {}", answer.status, answer.body);
    Ok(browser)
}

fn looked_at(browser: &Browser, path: &str) -> Result<(Percentiles, u64)> {
    let (mut times, mut bytes) = (Latencies::default(), 0);
    for _ in 0..LOOKS {
        let start = clock::now();
        let answer = browser.clone().get(path)?;
        times.add(start.elapsed());
        ensure!(answer.status == 200, "{path} was answered {}", answer.status);
        bytes = u64::try_from(answer.body.len())?;
    }
    Ok((times.percentiles(), bytes))
}

/// One order after the other, while a screen shows the list.
async fn live(fleet: &Fleet, browser: &Browser) -> Result<Percentiles> {
    let shown = open_screen(browser.clone(), "/orders")?;
    let mut times = Latencies::default();
    for number in 0..LIVE_ORDERS {
        let (order, answered) = place(fleet, number).await?;
        loop {
            let (at, list) = shown.recv_timeout(PATIENCE).context("the screen heard nothing")?;
            if list.contains(&order) {
                times.add(at.saturating_duration_since(answered));
                break;
            }
        }
    }
    Ok(times.percentiles())
}

/// What a screen shows waits here until somebody looks.
const SHOWN_MAX: usize = 1_024;

/// Follows the events of a screen, and fetches what it shows whenever they say so.
fn open_screen(mut browser: Browser, path: &'static str) -> Result<Receiver<(Instant, String)>> {
    browser.get(path)?;
    let events = browser.stream()?;
    let (say, shown) = sync_channel(SHOWN_MAX);
    std::thread::spawn(move || {
        for line in events.lines() {
            let Ok(line) = line else { return };
            let is_news = line.contains("event: orders") || line.contains("event: hello");
            if !is_news {
                continue;
            }
            let Ok(list) = browser.get(path) else { return };
            if say.send((clock::now(), list.body)).is_err() {
                return;
            }
        }
    });
    Ok(shown)
}

/// The agent's memory while screens are open and look at everything.
async fn screens(store: &Store, browser: &Browser) -> Result<Figure> {
    let mut open = Vec::new();
    for _ in 0..SCREENS {
        browser.clone().get("/")?;
        open.push(open_screen(browser.clone(), "/orders")?);
    }
    for screen in &open {
        screen.recv_timeout(PATIENCE).context("a screen did not open")?;
    }
    sleep(Duration::from_secs(2)).await;
    let pid = store.pid().context("the agent is down")?;
    let mib = as_f64(proc_stat::rss_bytes(pid)?) / 1024.0 / 1024.0;
    Ok(Figure::new("page", format!("agent's memory with {SCREENS} open screens"), mib, "MiB")
        .target(Target::AtMost(48.0))
        .how(format!("{ITEMS} items, {ORDERS} open orders")))
}

impl Browser {
    fn get(&mut self, path: &str) -> Result<Answer> {
        self.exchange("GET", path, "")
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<Answer> {
        let mut socket = self.ask(method, path, body, "close")?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).context("reading the page's answer")?;
        let text = String::from_utf8(bytes).context("the page is no text")?;
        let (head, body) = text.split_once("\r\n\r\n").context("the page's answer has no head")?;
        for line in head.lines() {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("set-cookie")
                && let Some((name, value)) = value.split(';').next().unwrap_or_default().split_once('=')
            {
                self.cookies.insert(name.trim().to_owned(), value.to_owned());
            }
        }
        let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
        Ok(Answer { status, body: body.to_owned() })
    }

    fn stream(&self) -> Result<BufReader<TcpStream>> {
        let mut events = BufReader::new(self.ask("GET", "/live", "", "keep-alive")?);
        let mut status = String::new();
        events.read_line(&mut status)?;
        if !status.contains(" 200 ") {
            bail!("the screen's events were answered {status}");
        }
        Ok(events)
    }

    fn ask(&self, method: &str, path: &str, body: &str, connection: &str) -> Result<TcpStream> {
        let mut socket = TcpStream::connect(self.address).context("connecting to the page")?;
        socket.set_nodelay(true)?;
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nsec-fetch-site: same-origin\r\n\
             connection: {connection}\r\ncookie: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len(),
            address = self.address,
        );
        socket.write_all(request.as_bytes()).context("asking the page")?;
        Ok(socket)
    }
}
