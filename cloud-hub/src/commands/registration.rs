//! `cloud-hub registration`: machines that wait for head office, because their token wants that or names no store.

use super::{books, or_dash, time};
use crate::{Configured, expect_known, say};
use clap::{Args, Subcommand};
use cloud_hub::enrol::books::Decision;
use cloud_hub::runtime::clock::Clock;
use sync_protocol::StoreId;

#[derive(Subcommand)]
pub enum Registration {
    /// List the machines that wait
    List(Listing),
    /// Let a machine be a store; it gets its certificate when it asks again
    Allow(Allow),
    /// Turn a machine down
    Reject(Reject),
}

#[derive(Args)]
pub struct Listing {
    #[command(flatten)]
    configured: Configured,
    /// Also those that were answered
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
pub struct Allow {
    #[command(flatten)]
    configured: Configured,
    /// Its number in the list
    #[arg(value_name = "NUMBER")]
    number: i64,
    /// Which store it is, if it does not say so itself
    #[arg(long)]
    store: Option<StoreId>,
}

#[derive(Args)]
pub struct Reject {
    #[command(flatten)]
    configured: Configured,
    /// Its number in the list
    #[arg(value_name = "NUMBER")]
    number: i64,
}

impl Registration {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(listing) => listing.run(),
            Self::Allow(allow) => allow.run(),
            Self::Reject(reject) => reject.run(),
        }
    }
}

impl Listing {
    fn run(self) -> anyhow::Result<()> {
        let (_, books) = books(&self.configured)?;
        for row in books.registrations()?.iter().filter(|row| self.all || row.decision == "pending") {
            let store = row.store.as_ref().map_or("-", StoreId::as_str);
            say(&format!(
                "{} {} {store} token {} from {} at {}: {}, {}, {}, machine {}",
                row.number,
                row.decision,
                row.token,
                row.peer,
                time(row.asked_at),
                or_dash(row.machine.hostname.as_str()),
                or_dash(row.machine.system.as_str()),
                or_dash(row.machine.software.as_str()),
                or_dash(row.machine.machine.as_str()),
            ))?;
        }
        Ok(())
    }
}

impl Allow {
    fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        if let Some(store) = &self.store {
            expect_known(&config, store)?;
        }
        let decision = Decision::Allow { store: self.store };
        books.decide_registration(self.number, &decision, Clock::start().wall())??;
        say(&format!("machine {} is let in", self.number))
    }
}

impl Reject {
    fn run(self) -> anyhow::Result<()> {
        let (_, mut books) = books(&self.configured)?;
        books.decide_registration(self.number, &Decision::Reject, Clock::start().wall())??;
        say(&format!("machine {} is turned down", self.number))
    }
}
