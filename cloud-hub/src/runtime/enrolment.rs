//! Puts enrolment together: books, authority and the list of expected stores behind one door, and the keeper of how stores stand,
//! which runs also where no door is open.

use crate::config::{Config, Enrolment};
use crate::enrol;
use crate::enrol::books::{Books, BooksError};
use crate::enrol::ca::{Pki, PkiError};
use crate::enrol::clerk::{Clerk, ClerkError, IsExpected, Rules};
use crate::enrol::keeper::{Keeper, Wall};
use crate::enrol::listener::{ListenError, Listener};
use crate::enrol::order_keys::OrderKeyError;
use crate::orders::codes::PickupKey;
use crate::runtime::clock::Clock;
use crate::standing::Standings;
use crate::storage::StorageError;
use crate::storage::sqlite::expected::Expected;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Why no store can be enrolled. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    #[error(transparent)]
    Books(#[from] BooksError),
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error(transparent)]
    Clerk(#[from] ClerkError),
    #[error(transparent)]
    OrderKeys(#[from] OrderKeyError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// The parts, ready to run.
pub struct Enrolling {
    keeper: Keeper,
    door: Option<Open>,
}

struct Open {
    listener: Listener,
    clerk: Arc<Clerk>,
}

impl Enrolling {
    /// Reads how stores stand, and listens where the configuration says so.
    ///
    /// # Errors
    /// A part can't start; then none does.
    pub fn open(
        config: &Config,
        standings: &Arc<Standings>,
        sweep: Box<dyn Fn() + Send + Sync>,
        clock: Clock,
        registry: &mut Registry,
    ) -> Result<Enrolling, EnrolmentError> {
        let metrics = enrol::Metrics::register(registry);
        let wall: Wall = Arc::new(move || clock.wall());
        let door = match &config.enrolment {
            Some(settings) => Some(open(config, settings, metrics.clone(), Arc::clone(&wall))?),
            None => None,
        };
        let books = Books::open(&config.enrolment_file())?;
        let keeper = Keeper::start(books, Arc::clone(standings), sweep, metrics, wall)?;
        Ok(Enrolling { keeper, door })
    }

    /// Where stores enrol; `None` where they can't.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.door.as_ref().map(|door| door.listener.address())
    }

    /// Runs until `stop` says so.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let Enrolling { keeper, door } = self;
        match door {
            Some(Open { listener, clerk }) => {
                let keeping = keeper.run(|| clerk.has_written(), stop.clone());
                tokio::join!(keeping, listener.serve(stop));
            }
            None => keeper.run(std::future::pending, stop).await,
        }
    }
}

fn open(
    config: &Config,
    settings: &Enrolment,
    metrics: enrol::Metrics,
    wall: Wall,
) -> Result<Open, EnrolmentError> {
    let folder = config.pki_folder();
    let public = PickupKey::open_or_create(&folder)?.public();
    let rules = Rules {
        pickup_key: public.iter().map(|byte| format!("{byte:02x}")).collect(),
        certificate_days: settings.certificate_days,
        recoveries_max: settings.recoveries_max,
    };
    let expected = Mutex::new(Expected::open(&config.database_file())?);
    let is_expected: IsExpected = Box::new(move |store| {
        // A panic while holding the lock leaves a connection that only reads.
        let expected = expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.has(store).map_err(Into::into)
    });
    let books = Books::open(&config.enrolment_file())?;
    let clerk = Arc::new(Clerk::new(books, Pki::open(&folder)?, is_expected, rules)?);
    let listener =
        Listener::listen(settings.listen, &Pki::open(&folder)?, Arc::clone(&clerk), metrics, wall)?;
    Ok(Open { listener, clerk })
}
