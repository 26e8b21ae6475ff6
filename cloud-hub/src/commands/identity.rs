//! `cloud-hub store list`, `show`, `revoke`, `choose` and `certificate`: which stores there are, who holds their identities, and who
//! no longer may.

use super::{books, time};
use crate::{Configured, expect_known, say};
use anyhow::{Context, bail};
use clap::Args;
use cloud_hub::enrol::books::IdentityRow;
use cloud_hub::enrol::ca::{Pki, STORE_DAYS};
use cloud_hub::orders::codes::PickupKey;
use cloud_hub::runtime::clock::Clock;
use cloud_hub::standing::Serial;
use cloud_hub::storage::sqlite::expected::Expected;
use std::collections::HashMap;
use std::path::PathBuf;
use sync_protocol::StoreId;

#[derive(Args)]
pub struct Listing {
    #[command(flatten)]
    configured: Configured,
    /// Only those that are expected and have never been heard
    #[arg(long)]
    never_seen: bool,
}

#[derive(Args)]
pub struct Show {
    #[command(flatten)]
    configured: Configured,
    #[arg(value_name = "STORE")]
    id: StoreId,
}

#[derive(Args)]
pub struct Revoke {
    #[command(flatten)]
    configured: Configured,
    #[arg(value_name = "STORE")]
    id: StoreId,
}

#[derive(Args)]
pub struct Choose {
    #[command(flatten)]
    configured: Configured,
    #[arg(value_name = "STORE")]
    id: StoreId,
    /// The serial number of the certificate whose holder is the store; all others end
    #[arg(long, value_name = "SERIAL", required_unless_present = "remaining")]
    certificate: Option<String>,
    /// The other machine has been switched off: whoever is left goes on
    #[arg(long, conflicts_with = "certificate")]
    remaining: bool,
}

#[derive(Args)]
pub struct Certificate {
    #[command(flatten)]
    configured: Configured,
    /// The store's server can't reach the hub's enrolment. The key is made here and has to be carried to it
    #[arg(long, required = true)]
    offline: bool,
    /// A store the hub knows
    #[arg(long)]
    id: StoreId,
    /// The folder to write to; it is made when missing, and nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Listing {
    pub fn run(self) -> anyhow::Result<()> {
        let (config, books) = books(&self.configured)?;
        let identities: HashMap<StoreId, IdentityRow> =
            books.identities()?.into_iter().map(|row| (row.store.clone(), row)).collect();
        let releases = books.rollouts()?;
        for store in Expected::open(&config.database_file())?.all()? {
            if self.never_seen && store.last_contact.is_some() {
                continue;
            }
            let heard = store.last_contact.map_or("never seen".to_owned(), |at| format!("seen {}", time(at)));
            let stands = identities.get(&store.id).map_or("not enrolled".to_owned(), standing);
            let agent = releases
                .facts(&store.id)
                .seen
                .map_or(String::new(), |seen| format!(", agent {}", seen.agent));
            say(&format!("{} {heard}, {stands}{agent}: {}", store.id, store.name))?;
        }
        Ok(())
    }
}

impl Show {
    pub fn run(self) -> anyhow::Result<()> {
        let (config, books) = books(&self.configured)?;
        expect_known(&config, &self.id)?;
        let Some(row) = books.identities()?.into_iter().find(|row| row.store == self.id) else {
            return say(&format!("store {} has not enrolled", self.id));
        };
        say(&format!(
            "store {}: {}, {} recoveries since it was enrolled",
            self.id,
            standing(&row),
            row.recoveries
        ))?;
        let all = books.rollouts()?;
        say(&format!("programs: {}", super::programs(all.facts(&self.id).seen.as_ref())))?;
        for (serial, state, way, peer, issued, ends) in &row.certificates {
            say(&format!(
                "certificate {serial} {state}, by {way} from {peer} on {}, good until {}",
                time(*issued),
                time(*ends)
            ))?;
        }
        Ok(())
    }
}

fn standing(row: &IdentityRow) -> String {
    if let Some(at) = row.revoked_at {
        return format!("revoked {}", time(at));
    }
    if let Some(at) = row.quarantined_at {
        return format!("quarantined {} ({})", time(at), row.why);
    }
    let present = row.certificates.iter().find(|(_, state, ..)| state == "present");
    present.map_or("not enrolled".to_owned(), |(.., ends)| format!("enrolled until {}", time(*ends)))
}

impl Revoke {
    pub fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        expect_known(&config, &self.id)?;
        books.revoke_store(&self.id, Clock::start().wall())?;
        say(&format!("the identity of store {} is revoked; it needs a new token to come back", self.id))
    }
}

impl Choose {
    pub fn run(self) -> anyhow::Result<()> {
        let (config, mut books) = books(&self.configured)?;
        expect_known(&config, &self.id)?;
        match self.certificate {
            Some(serial) => {
                let serial = Serial::written(&serial);
                books.choose(&self.id, &serial)??;
                say(&format!("whoever holds certificate {serial} is store {}", self.id))
            }
            None => {
                books.release(&self.id)?;
                say(&format!("store {} is let in again", self.id))
            }
        }
    }
}

impl Certificate {
    pub fn run(self) -> anyhow::Result<()> {
        debug_assert!(self.offline, "the command line asks for it");
        let (config, books) = books(&self.configured)?;
        let pki = Pki::open(&config.pki_folder())?;
        expect_known(&config, &self.id)?;
        if books.identities()?.iter().any(|row| row.store == self.id) {
            bail!(
                "store {} has enrolled or is shut out, and takes no certificate by hand; make it a token with \
                 `cloud-hub token create --store {}`",
                self.id,
                self.id
            );
        }
        pki.issue(&self.id, STORE_DAYS, Clock::start().wall())?.write_to(&self.out)?;
        let key = PickupKey::open_or_create(&config.pki_folder())?.public();
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let file = self.out.join("pickup.pub");
        std::fs::write(&file, format!("{key}\n"))
            .with_context(|| format!("can't write {}", file.display()))?;
        say(&format!(
            "ca.pem, store.pem, store.key and pickup.pub for store {} written to {}",
            self.id,
            self.out.display()
        ))
    }
}
