//! `cloud-hub rollout`: which release the stores shall have, ring after ring. What is said here is a wish; whether a release is taken is
//! decided by its signatures, in the store.

use super::{books, time};
use crate::{Configured, expect_known, say};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use cloud_hub::enrol::books::{Order, Rollouts, Wanted};
use cloud_hub::enrol::rollout::{Pin, Rollout as Going, Stage, Standing, StoreFacts};
use cloud_hub::runtime::clock::Clock;
use cloud_hub::storage::sqlite::expected::Expected;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use sync_protocol::StoreId;
use sync_protocol::enrolment::Fact;
use sync_protocol::releases::Source;

#[derive(Subcommand)]
pub enum Rollout {
    /// Show the rings, or put others in their place
    Rings(Rings),
    /// Begin to give stores a release, ring after ring
    Start(Start),
    /// Say how every store stands
    Status(Status),
    /// Wish no store anything until it is resumed
    Pause(Just),
    /// Go on; after a halt, in spite of what has failed until then
    Resume(Just),
    /// Open the next ring at once
    Next(Just),
    /// End the rollout; stores stay as they are
    Stop(Just),
    /// Take a store out of rollouts: it stays as it is, or gets one release
    Pin(PinStore),
    /// Let a store take part in rollouts again
    Unpin(OneStore),
    /// Have a store try again what has failed there
    Retry(OneStore),
}

#[derive(Args)]
pub struct Just {
    #[command(flatten)]
    configured: Configured,
}

#[derive(Args)]
pub struct OneStore {
    #[command(flatten)]
    configured: Configured,
    #[arg(value_name = "STORE")]
    id: StoreId,
}

#[derive(Args)]
pub struct Rings {
    #[command(flatten)]
    configured: Configured,
    /// A ring and its stores, or a share of the stores that no other ring names: pilot=S0001,S0002 or early=10%. In their order; all
    /// other stores are in a ring behind them
    #[arg(long = "set", value_name = "NAME=STORES", conflicts_with = "clear")]
    set: Vec<NamedRing>,
    /// No rings: every rollout goes to all stores at once
    #[arg(long)]
    clear: bool,
}

#[derive(Args)]
pub struct Start {
    #[command(flatten)]
    configured: Configured,
    /// The release's version, as it is shown to people
    #[arg(value_name = "VERSION")]
    version: String,
    /// The release's number, as its manifest has it
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=MAX_NUMBER))]
    sequence: u64,
    /// Where stores get it: https://host/folder
    #[arg(long, value_name = "ADDRESS")]
    from: Source,
    /// After so many failures it halts by itself
    #[arg(long, value_name = "STORES", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    halt_after: u32,
    /// For how long a ring has to be well with it before the next is opened: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = soak)]
    soak: Duration,
}

#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    configured: Configured,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct PinStore {
    #[command(flatten)]
    configured: Configured,
    #[arg(value_name = "STORE")]
    id: StoreId,
    /// The number of the release that it shall have; without it the store stays as it is
    #[arg(long, value_name = "NUMBER", requires = "from", value_parser = clap::value_parser!(u64).range(1..=MAX_NUMBER))]
    sequence: Option<u64>,
    /// Where the store gets it: https://host/folder
    #[arg(long, value_name = "ADDRESS", requires = "sequence")]
    from: Option<Source>,
}

const MAX_NUMBER: u64 = i64::MAX as u64;

/// `NAME=STORES`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NamedRing {
    name: String,
    stores: Stores,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stores {
    Named(Vec<StoreId>),
    /// Of the stores that no ring names.
    Percent(u8),
}

impl std::str::FromStr for NamedRing {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedRing, String> {
        let (name, stores) = text.split_once('=').ok_or("write pilot=S0001,S0002 or early=10%")?;
        let is_plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(is_plain) {
            return Err("a ring's name has letters, digits, - and _, at most 32 bytes".to_owned());
        }
        let stores = match stores.strip_suffix('%') {
            Some(share) => {
                let share = share.parse().ok().filter(|share| (1..=100).contains(share));
                Stores::Percent(share.ok_or("write a share from 1% to 100%")?)
            }
            None => {
                let ids = stores.split(',').map(|id| id.trim().parse::<StoreId>());
                Stores::Named(ids.collect::<Result<_, _>>().map_err(|error| error.to_string())?)
            }
        };
        Ok(NamedRing { name: name.to_owned(), stores })
    }
}

impl Rollout {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Rings(rings) => rings.run(),
            Self::Start(start) => start.run(),
            Self::Status(status) => status.run(),
            Self::Pause(just) => {
                just.order(Order::Pause, "is paused; `cloud-hub rollout resume` lets it go on")
            }
            Self::Resume(just) => just.order(Order::Resume, "goes on"),
            Self::Next(just) => just.order(Order::Next, "goes to the next ring"),
            Self::Stop(just) => just.order(Order::Stop, "is stopped; stores stay as they are"),
            Self::Pin(pin) => pin.run(),
            Self::Unpin(one) => one.unpin(),
            Self::Retry(one) => one.retry(),
        }
    }
}

impl Just {
    fn order(self, order: Order, says: &str) -> anyhow::Result<()> {
        let (_, mut books) = books(&self.configured)?;
        let rollout = books.order_rollout(order)??;
        say(&format!("the rollout of {} (number {}) {says}", rollout.version, rollout.sequence))
    }
}

impl OneStore {
    fn unpin(self) -> anyhow::Result<()> {
        let (_, mut books) = books(&self.configured)?;
        books.unpin(&self.id)??;
        say(&format!("store {} takes part in rollouts", self.id))
    }

    fn retry(self) -> anyhow::Result<()> {
        let (_, mut books) = books(&self.configured)?;
        books.retry_release(&self.id)??;
        say(&format!("store {} tries again when it asks", self.id))
    }
}

impl PinStore {
    fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        expect_known(&config, &self.id)?;
        books.pin(&self.id, self.sequence.zip(self.from.as_ref()))?;
        match self.sequence {
            Some(sequence) => say(&format!("store {} gets release {sequence}, and stays with it", self.id)),
            None => say(&format!("store {} stays as it is", self.id)),
        }
    }
}

impl Rings {
    fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        let expected: Vec<StoreId> =
            Expected::open(&config.database_file())?.all()?.into_iter().map(|store| store.id).collect();
        if self.clear || !self.set.is_empty() {
            books.set_rings(&resolved(self.set, &expected)?)??;
        }
        let all = books.rollouts()?;
        let mut of_rings: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for store in all.stores.keys().chain(&expected) {
            let names = of_rings.entry(all.facts(store).ring).or_default();
            if !names.contains(&store.to_string()) {
                names.push(store.to_string());
            }
        }
        if all.rings.is_empty() {
            return say("there are no rings: a rollout goes to all stores at once");
        }
        for ring in 0..=u32::try_from(all.rings.len())? {
            let names = of_rings.remove(&ring).unwrap_or_default();
            say(&format!("{}. {}: {}", ring + 1, all.ring_name(ring), or_none(&names)))?;
        }
        Ok(())
    }
}

/// The stores of each ring. A share is drawn by a hash, so that it is not always the oldest stores, and stays the same.
fn resolved(set: Vec<NamedRing>, expected: &[StoreId]) -> anyhow::Result<Vec<(String, Vec<StoreId>)>> {
    let named: Vec<&StoreId> = set
        .iter()
        .filter_map(|ring| match &ring.stores {
            Stores::Named(ids) => Some(ids),
            Stores::Percent(_) => None,
        })
        .flatten()
        .collect();
    if let Some(unknown) = named.iter().find(|id| !expected.contains(id)) {
        bail!("the hub knows no store {unknown}; `cloud-hub store add` adds it");
    }
    let mut rest: Vec<StoreId> = expected.iter().filter(|id| !named.contains(id)).cloned().collect();
    rest.sort_by_cached_key(|id| twox_hash::XxHash3_64::oneshot(id.as_str().as_bytes()));
    let of_all = rest.len();
    let drawn = set.into_iter().map(|ring| {
        let stores = match ring.stores {
            Stores::Named(ids) => ids,
            Stores::Percent(share) => {
                let count = (of_all * usize::from(share)).div_ceil(100);
                rest.drain(..count.min(rest.len())).collect()
            }
        };
        (ring.name, stores)
    });
    Ok(drawn.collect())
}

impl Start {
    fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        if config.enrolment.is_none() {
            bail!("stores can't ask: the configuration has no table [enrolment]");
        }
        let before = books.rollouts()?;
        let Self { version, sequence, from, halt_after, soak, .. } = self;
        let version = Fact::try_from(version).context("the version")?.as_str().to_owned();
        let soak_ms = i64::try_from(soak.as_millis())?;
        books.start_rollout(
            Wanted { version: version.clone(), sequence, source: from, halt_after, soak_ms },
            Clock::start().wall(),
        )?;
        if let Some(before) = before.rollout.filter(|before| before.stage != Stage::Stopped) {
            say(&format!("the rollout of {} (number {}) ends here", before.version, before.sequence))?;
        }
        let first = match before.rings.first() {
            Some(first) => format!("ring {first} first"),
            None => "to all stores at once, since there are no rings".to_owned(),
        };
        say(&format!("{version} (number {sequence}) is rolled out, {first}"))
    }
}

impl Status {
    fn run(self) -> anyhow::Result<()> {
        let (config, books) = books(&self.configured)?;
        let mut all = books.rollouts()?;
        for store in Expected::open(&config.database_file())?.all()? {
            let facts = all.facts(&store.id);
            all.stores.insert(store.id, facts);
        }
        match self.json {
            true => say(&in_json(&all).to_string()),
            false => in_words(&all).iter().try_for_each(|line| say(line)),
        }
    }
}

fn in_words(all: &Rollouts) -> Vec<String> {
    let mut lines = Vec::new();
    match &all.rollout {
        None => lines.push("there is no rollout".to_owned()),
        Some(going) => {
            let Going { version, sequence, source, stage, why, .. } = going;
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            lines.push(format!("{version} (number {sequence}) from {source}: {}{why}", stage.name()));
            lines.push(format!(
                "begun {}, halts after {} failures, a ring is well for {} s before the next",
                time(going.began_at),
                going.halt_after,
                going.soak_ms / 1000
            ));
        }
    }
    for ring in 0..=u32::try_from(all.rings.len()).unwrap_or(u32::MAX) {
        let stores: Vec<&StoreFacts> = all.stores.values().filter(|facts| facts.ring == ring).collect();
        if let Some(going) = &all.rollout {
            let open = if ring <= going.ring { "open" } else { "closed" };
            let counts = Standing::ALL.map(|standing| {
                let count = stores.iter().filter(|facts| going.standing(facts) == standing).count();
                (count > 0).then(|| format!("{count} {}", standing.name()))
            });
            let counts: Vec<String> = counts.into_iter().flatten().collect();
            lines.push(format!("{}. {}, {open}: {}", ring + 1, all.ring_name(ring), or_none(&counts)));
        }
        lines.extend(stores.iter().map(|facts| format!("   {}", of_store(all, facts))));
    }
    lines
}

fn of_store(all: &Rollouts, facts: &StoreFacts) -> String {
    let standing = all.rollout.as_ref().map_or("", |going| going.standing(facts).name());
    let mut line = format!("{} {standing}", facts.store).trim_end().to_owned();
    match &facts.pin {
        Some(Pin::Stays) => line.push_str(", pinned to what it has"),
        Some(Pin::Gets { sequence, .. }) => line.push_str(&format!(", pinned to number {sequence}")),
        None => {}
    }
    line.push_str(&format!(", {}", super::programs(facts.seen.as_ref())));
    line
}

fn in_json(all: &Rollouts) -> serde_json::Value {
    let rollout = all.rollout.as_ref().map(|going| {
        json!({
            "version": going.version, "sequence": going.sequence, "from": going.source.as_str(),
            "stage": going.stage.name(), "why": going.why, "ring": all.ring_name(going.ring),
            "halt_after": going.halt_after, "soak_s": going.soak_ms / 1000, "began_at": time(going.began_at),
        })
    });
    let stores: Vec<_> = all
        .stores
        .values()
        .map(|facts| {
            let seen = facts.seen.as_ref().map(|seen| {
                json!({
                    "asked_at": time(seen.asked_at), "agent": seen.agent, "sequence": seen.sequence,
                    "since": time(seen.since), "well": seen.is_well, "keeper": seen.keeper, "outcome": seen.outcome,
                })
            });
            let pin = facts.pin.as_ref().map(|pin| match pin {
                Pin::Stays => json!({ "sequence": null }),
                Pin::Gets { sequence, source, .. } => json!({ "sequence": sequence, "from": source.as_str() }),
            });
            json!({
                "store": facts.store.as_str(), "ring": all.ring_name(facts.ring), "pin": pin, "seen": seen,
                "standing": all.rollout.as_ref().map(|going| going.standing(facts).name()),
            })
        })
        .collect();
    json!({ "rollout": rollout, "rings": all.rings, "stores": stores })
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Also none at all.
fn soak(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { super::token::life(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<StoreId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_share_is_of_what_no_ring_names_and_takes_nobody_twice() {
        let expected: Vec<StoreId> =
            (1..=21).map(|number| format!("S{number:04}").parse().unwrap()).collect();
        let set = ["pilot=S0003", "early=10%", "most=100%"].map(|text| text.parse().unwrap());
        let rings = resolved(set.to_vec(), &expected).unwrap();
        assert_eq!(rings.iter().map(|(_, stores)| stores.len()).collect::<Vec<_>>(), [1, 2, 18]);
        let all: std::collections::BTreeSet<_> = rings.iter().flat_map(|(_, stores)| stores).collect();
        assert_eq!(all.len(), 21);
        assert_eq!(resolved(set.to_vec(), &expected).unwrap(), rings);
        let unknown = resolved(vec!["pilot=S9999".parse().unwrap()], &expected).unwrap_err();
        assert!(unknown.to_string().contains("S9999"), "{unknown}");
    }

    #[test]
    fn a_ring_that_is_mistyped_is_refused() {
        let ring: NamedRing = "pilot=S0001, S0002".parse().unwrap();
        assert_eq!(ring.stores, Stores::Named(ids(&["S0001", "S0002"])));
        for bad in [
            "",
            "pilot",
            "=S0001",
            "pilot=",
            "a b=S0001",
            "pilot=0%",
            "pilot=101%",
            "pilot=x%",
            "pilot=S0001,,",
        ] {
            bad.parse::<NamedRing>().unwrap_err();
        }
    }
}
