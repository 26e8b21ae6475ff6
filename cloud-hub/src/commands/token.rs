//! `cloud-hub token`: makes, lists and withdraws enrolment tokens. A token is printed once, or written to a file of its owner's, and
//! is in no log.

use super::{books, time};
use crate::{Configured, expect_known, say};
use clap::{Args, Subcommand};
use cloud_hub::enrol::ca::Pki;
use cloud_hub::enrol::token::{self, Wanted};
use cloud_hub::runtime::clock::Clock;
use std::path::PathBuf;
use std::time::Duration;
use sync_protocol::StoreId;
use sync_protocol::enrolment::Address;

#[derive(Subcommand)]
pub enum Token {
    /// Make a token for one machine and print it: whoever has it becomes the store
    Create(Create),
    /// List the tokens, without their secrets
    List(Listing),
    /// Withdraw a token that has not been used
    Revoke(Revoke),
}

#[derive(Args)]
pub struct Create {
    #[command(flatten)]
    configured: Configured,
    /// The store the token is for
    #[arg(long, required_unless_present = "any_store")]
    store: Option<StoreId>,
    /// For whichever store the machine asks to be; head office has to allow it
    #[arg(long, conflicts_with = "store")]
    any_store: bool,
    /// Head office has to allow the machine before it gets a certificate
    #[arg(long)]
    approve: bool,
    /// For how long it is good: 30m, 24h, 7d; at most 31d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = life)]
    expires: Duration,
    /// Where stores reach the hub for this; may be given several times. Without it: `addresses` of the configuration
    #[arg(long = "address", value_name = "HOST:PORT")]
    addresses: Vec<Address>,
    /// Write the token to a new file that only its owner can read, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub struct Listing {
    #[command(flatten)]
    configured: Configured,
}

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    configured: Configured,
    /// Its name in the list
    #[arg(value_name = "ID")]
    id: String,
}

impl Token {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(listing) => listing.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        if let Some(store) = &self.store {
            expect_known(&config, store)?;
        }
        let configured = config.enrolment.as_ref().map(|enrolment| enrolment.addresses.clone());
        let addresses = Some(self.addresses).filter(|given| !given.is_empty()).or(configured);
        let wanted = Wanted {
            addresses: addresses.unwrap_or_default(),
            store: self.store,
            approve: self.approve || self.any_store,
            life: self.expires,
        };
        let pki = Pki::open(&config.pki_folder())?;
        let (made, id) = token::make(&mut books, &pki, wanted, Clock::start().wall())?;
        let whose = made.store.as_ref().map_or("any store".to_owned(), |store| format!("store {store}"));
        eprintln!("token {id} for {whose}, good once, until {}", time(made.expires));
        if config.enrolment.is_none() {
            eprintln!("the hub takes no enrolments yet: its configuration has no table [enrolment]");
        }
        match self.out {
            Some(file) => Ok(token::write_to(&made, &file)?),
            None => say(&made.reveal()),
        }
    }
}

impl Listing {
    fn run(self) -> anyhow::Result<()> {
        let (_, books) = books(&self.configured)?;
        for token in books.tokens(Clock::start().wall())? {
            let store = token.store.as_ref().map_or("any store", StoreId::as_str);
            let approve = if token.approve { " asks head office" } else { "" };
            say(&format!(
                "{} {store} {} made {} good until {}{approve}",
                token.id,
                token.state.name(),
                time(token.made_at),
                time(token.expires_at)
            ))?;
        }
        Ok(())
    }
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        let (_, mut books) = books(&self.configured)?;
        books.revoke_token(&self.id, Clock::start().wall())??;
        say(&format!("token {} is withdrawn", self.id))
    }
}

pub(super) fn life(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and m, h or d: 30m, 24h, 7d".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let life = number.checked_mul(seconds).filter(|life| *life > 0).map(Duration::from_secs);
    life.ok_or_else(wrong)
}
