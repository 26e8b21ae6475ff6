//! What one agent gives its tills: durable commits alone and together, its size and its memory.

use super::figure::{Figure, Target, as_f64};
use super::http_load::{self, Loaded};
use super::stocked;
use crate::clock;
use crate::fleet::store::{Store, StoreSettings};
use crate::fleet::{binaries, proc_stat};
use crate::pos::document;
use crate::rng::{Rng, Skew};
use crate::scenario::generator::sku;
use anyhow::{Context, Result};
use rusqlite::{Connection, params};
use std::fs;
use std::path::Path;
use std::time::Duration;
use sync_protocol::{Quantity, Sku};

const TIME: Duration = Duration::from_secs(4);
const TILLS: usize = 64;
const ITEMS: usize = 5000;
const BASKET_LINES: usize = 9;

/// Group commit with 64 tills at once, against one commit for each movement on the same disk.
pub async fn group_commit(folder: &Path) -> Result<Vec<Figure>> {
    let store = Store::prepare(StoreSettings::alone(folder, 0, ""))?;
    store.start().await?;
    stocked::fill(&store, ITEMS).await?;
    let bare = bare_commits(&folder.join("bare.db"))?;
    let alone = load(&store, "alone", 1, 1).await?.per_second();
    let together = load(&store, "together", TILLS, 1).await?;
    let baskets = load(&store, "baskets", TILLS, BASKET_LINES).await?;
    store.stop().await?;
    let lines = baskets.per_second() * as_f64(u64::try_from(BASKET_LINES)?);
    let (said, per_second) = (together.latencies.percentiles(), together.per_second());
    Ok(vec![
        Figure::new("commit", "one commit per movement, bare SQLite", bare, "movements/s")
            .how("a ledger row and a stock row in one transaction, synchronous=FULL, no HTTP"),
        Figure::new("commit", "one commit per movement, one till at the agent", alone, "movements/s"),
        Figure::new("commit", "64 tills, one movement a request", per_second, "movements/s")
            .how(format!("durable before each answer; p50 {:.1} ms, p99 {:.1} ms", said.p50, said.p99)),
        Figure::new("commit", "64 tills, baskets of 9", lines, "movements/s"),
        Figure::new(
            "commit",
            "group commit: baskets at 64 tills against one commit per movement",
            lines / alone,
            "×",
        )
        .target(Target::AtLeast(10.0))
        .how("durable movements a second, both through the agent's HTTP, same disk, same run"),
        Figure::new("commit", "group commit: … against bare SQLite", lines / bare, "×"),
        Figure::new(
            "commit",
            "group commit: single movements at 64 tills against one till",
            per_second / alone,
            "×",
        ),
    ])
}

async fn load(store: &Store, name: &'static str, tills: usize, lines: usize) -> Result<Loaded> {
    let address = (*store.address().borrow()).context("the agent is up")?;
    let token = store.token();
    let skus: Vec<Sku> = (0..ITEMS).map(sku).collect();
    let loaded = tokio::task::spawn_blocking(move || {
        http_load::run(address, tills, TIME, &|till, number| {
            let first = usize::try_from(number).unwrap_or(0).wrapping_mul(31).wrapping_add(till * 97);
            let lines = (0..lines).map(|line| (&skus[(first + line * 7) % ITEMS], Quantity::from_units(1)));
            let (source, reference) = (format!("till-{till}"), format!("{name}/{number}"));
            let sale = document::movement(&source, &reference, "sale", stocked::OPENED, lines);
            http_load::request("POST", "/v1/movements", token, "application/json", &sale)
        })
    });
    loaded.await?
}

/// What this disk gives when every movement is a commit of its own.
fn bare_commits(database: &Path) -> Result<f64> {
    let db = Connection::open(database).context("opening a database")?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.execute_batch(include_str!("../plain/store.sql"))?;
    let (mut rng, skew) = (Rng::seeded(1), Skew::over(ITEMS));
    let (start, mut commits) = (clock::now(), 0_u32);
    while start.elapsed() < TIME / 2 {
        let item = sku(skew.draw(&mut rng));
        let tx = db.unchecked_transaction()?;
        tx.prepare_cached("INSERT INTO movement (id, reference, sku, quantity) VALUES (?1, ?2, ?3, -1000)")?
            .execute(params![commits, format!("2026-10-31/3/{commits}"), item.as_str()])?;
        tx.prepare_cached(
            "INSERT INTO stock (sku, on_hand) VALUES (?1, 0) ON CONFLICT (sku) DO UPDATE SET on_hand = on_hand - 1000",
        )?
        .execute([item.as_str()])?;
        tx.commit().context("committing")?;
        commits += 1;
    }
    Ok(f64::from(commits) / start.elapsed().as_secs_f64())
}

/// The size of the program, and the memory it holds with 30,000 items.
pub async fn footprint(folder: &Path) -> Result<Vec<Figure>> {
    const MANY_ITEMS: usize = 30_000;
    let program = binaries::beside_this_one("store-agent")?;
    let size = fs::metadata(&program).context("looking at the agent's program")?.len();
    let fleet = stocked::fleet(folder, 1, MANY_ITEMS, false).await?;
    let store = &fleet.stores[0];
    let filled = rss(store)?;
    load(store, "warm", 8, BASKET_LINES).await?;
    let busy = rss(store)?;
    store.stop().await?;
    store.start().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let fresh = rss(store)?;
    fleet.stop().await?;
    let mebi = |bytes: u64| as_f64(bytes) / (1024.0 * 1024.0);
    Ok(vec![
        Figure::new("footprint", "agent program", mebi(size), "MiB").target(Target::AtMost(16.0)),
        Figure::new("footprint", "agent memory, 30,000 items, started again", mebi(fresh), "MiB")
            .target(Target::AtMost(32.0)),
        Figure::new("footprint", "agent memory, 30,000 items, just delivered", mebi(filled), "MiB"),
        Figure::new("footprint", "agent memory, 30,000 items, after 4 s of full load", mebi(busy), "MiB"),
    ])
}

fn rss(store: &Store) -> Result<u64> {
    proc_stat::rss_bytes(store.pid().context("the agent is up")?)
}
