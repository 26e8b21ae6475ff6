//! How fast a POS's files are read: by the parsers alone, and by a whole agent until everything is recorded and put away.

use super::figure::{Figure, Target, as_f64};
use crate::clock;
use crate::fleet::proc_stat;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store_agent::config::Config;
use store_agent::pos;
use store_agent::runtime::clock::clocks;
use store_agent::runtime::supervisor::Running;
use tokio::time::sleep;

const FEW_LINES: u64 = 50_000;
const MANY_LINES: u64 = 1_000_000;
const RECORDED_LINES: u64 = 100_000;
const ITEMS: u64 = 30_000;
const POSLOG_BYTES: usize = 900 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub async fn measure(folder: &Path) -> Result<Vec<Figure>> {
    let (_, few) = parse(&folder.join("few"), "csv", csv(FEW_LINES))?;
    let (took, many) = parse(&folder.join("many"), "csv", csv(MANY_LINES))?;
    let (poslog_parsed, _) = parse(&folder.join("parsed"), "poslog", poslog(POSLOG_BYTES))?;
    let recorded = record(&folder.join("recorded"), "csv", &csv(RECORDED_LINES)).await?;
    let poslog_recorded = record(&folder.join("tickets"), "poslog", &poslog(POSLOG_BYTES)).await?;
    let per_second = |lines: u64, took: Duration| as_f64(lines) / took.as_secs_f64();
    let grown = many.saturating_sub(few) / 1024;
    Ok(vec![
        Figure::new("files", "CSV read and mapped", per_second(MANY_LINES, took), "lines/s")
            .target(Target::AtLeast(50_000.0))
            .how("a million lines with key, item, quantity, time and kind; one thread, without recording"),
        Figure::new("files", "… and recorded by a whole agent", per_second(RECORDED_LINES, recorded), "lines/s")
            .how("100,000 lines, each a document; from the file's rename into the folder until it is archived, the second it has to be still included"),
        Figure::new("files", "memory for 1,000,000 lines above that for 50,000", as_f64(grown), "KiB"),
        Figure::new("files", "POSLog of 0.9 MB read and mapped", poslog_parsed.as_secs_f64(), "s")
            .target(Target::AtMost(1.0)),
        Figure::new("files", "… and recorded by a whole agent", poslog_recorded.as_secs_f64(), "s")
            .how("from the file's rename until it is archived, the second it has to be still included"),
    ])
}

fn config(folder: &Path, kind: &str) -> Result<Config> {
    let csv = "kinds = [{ starts = \"*\", kind = \"sale\", quantity_is = \"amount\" }]\n[pos.files]\nsettle_ms = 1000\n\
               [pos.files.csv]\ncolumns = { key = \"id\", item = \"item\", quantity = \"qty\", at = \"at\", what = \"what\" }\n";
    let more = if kind == "csv" { csv } else { "[pos.files]\n" };
    let text = format!(
        "store = \"S0001\"\ndata_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[page]\nlisten = \"127.0.0.1:0\"\n\
         [[pos]]\nsource = \"files\"\nkind = \"{kind}\"\npath = \"in\"\n{more}"
    );
    Config::parse(&text, &folder.join("agent.toml")).context("the bench's own configuration")
}

/// Puts a file where a POS would, and gives its folder.
fn deliver(folder: &Path, kind: &str, text: &str) -> Result<PathBuf> {
    let into = folder.join("in");
    std::fs::create_dir_all(&into).context("making a POS's folder")?;
    let suffix = if kind == "csv" { "csv" } else { "xml" };
    std::fs::write(into.join("half.tmp"), text).context("writing a POS's file")?;
    std::fs::rename(into.join("half.tmp"), into.join(format!("day.{suffix}"))).context("renaming it")?;
    Ok(into)
}

/// How long reading takes, and the memory held at its end.
fn parse(folder: &Path, kind: &str, text: String) -> Result<(Duration, u64)> {
    deliver(folder, kind, &text)?;
    // It is no part of what reading needs.
    drop(text);
    let pos = config(folder, kind)?.pos.into_iter().next().context("the bench's own source")?;
    let mut source = pos::open(pos, folder, clocks());
    let mut cursor: Option<Vec<u8>> = None;
    let mut memory = 0;
    let mut start = clock::now();
    loop {
        let reading = source.read(cursor.as_deref()).context("reading a POS's file")?;
        match reading.cursor {
            Some(moved) => cursor = Some(moved),
            // Not still for long enough yet.
            None if cursor.is_none() => {
                std::thread::sleep(LOOK_EVERY);
                start = clock::now();
            }
            None => break,
        }
        memory = memory.max(proc_stat::rss_bytes(std::process::id())?);
    }
    Ok((start.elapsed(), memory))
}

/// From the delivery of a file to a running agent until it is recorded and put away.
async fn record(folder: &Path, kind: &str, text: &str) -> Result<Duration> {
    std::fs::create_dir_all(folder).context("making an agent's folder")?;
    let tokens = folder.join("tokens");
    std::fs::write(&tokens, "till-* 0123456789abcdef0123456789abcdef\n")
        .context("writing an agent's tokens")?;
    std::fs::set_permissions(&tokens, Permissions::from_mode(0o600)).context("closing an agent's tokens")?;
    let running = Running::start(config(folder, kind)?).await?;
    let into = deliver(folder, kind, text)?;
    let start = clock::now();
    let done = into.join(".shopsmart-files/done");
    // A day's folder appears with the first file that is archived.
    while std::fs::read_dir(&done).map_or(0, Iterator::count) == 0 {
        sleep(LOOK_EVERY).await;
    }
    let took = start.elapsed();
    running.stop().await?;
    Ok(took)
}

fn csv(lines: u64) -> String {
    let mut text = "id,item,qty,at,what\n".to_owned();
    for id in 0..lines {
        // Writing into a string never fails.
        let _ = writeln!(
            text,
            "{id},sku-{:05},{}.250,2026-11-28 10:00:00,sale at till {}",
            id % ITEMS,
            id % 5,
            id % 9
        );
    }
    text
}

fn poslog(bytes: usize) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<POSLog xmlns=\"http://www.nrf-arts.org/IXRetail/namespace/\">\n".to_owned();
    let mut sequence = 0;
    while text.len() < bytes {
        sequence += 1;
        let _ = write!(
            text,
            "<Transaction><RetailStoreID>1</RetailStoreID><WorkstationID>{}</WorkstationID><SequenceNumber>{sequence}</SequenceNumber>\
             <BusinessDayDate>2026-11-28</BusinessDayDate><EndDateTime>2026-11-28T10:00:00</EndDateTime><RetailTransaction>",
            sequence % 7
        );
        for line in 0..8 {
            let _ = write!(
                text,
                "<LineItem EntryMethod=\"Scanned\"><SequenceNumber>{line}</SequenceNumber><Sale ItemType=\"Stock\"><POSIdentity>\
                 <POSItemID>sku-{:05}</POSItemID></POSIdentity><ItemID>sku-{:05}</ItemID><Description>Something</Description>\
                 <ExtendedAmount>1.26</ExtendedAmount><Quantity>1</Quantity></Sale></LineItem>",
                sequence * 8 + line,
                sequence * 8 + line
            );
        }
        text.push_str("</RetailTransaction></Transaction>\n");
    }
    text + "</POSLog>\n"
}
