//! Keeps the transports' list of how stores stand up to date with the books: after each of the hub's own entries at once, and within
//! a second after head office has written beside it. What the transports have seen goes into the books first.

use super::books::{Books, BooksError};
use super::metrics::Metrics;
use crate::standing::Standings;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use sync_protocol::UnixMillis;
use tokio::sync::watch;
use tracing::error;

/// How often it is looked whether head office has written. Costs a look at one page of memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads the wall clock.
pub type Wall = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The task's belongings.
pub struct Keeper {
    books: Books,
    standings: Arc<Standings>,
    /// Ends the links of those who no longer stand well.
    sweep: Box<dyn Fn() + Send + Sync>,
    metrics: Metrics,
    wall: Wall,
    version: i64,
}

impl Keeper {
    /// Reads the list for the first time. `books` must be a connection that nobody else writes through.
    ///
    /// # Errors
    /// The books can't be read.
    pub fn start(
        books: Books,
        standings: Arc<Standings>,
        sweep: Box<dyn Fn() + Send + Sync>,
        metrics: Metrics,
        wall: Wall,
    ) -> Result<Keeper, BooksError> {
        let mut keeper = Keeper { version: books.version()?, books, standings, sweep, metrics, wall };
        keeper.take()?;
        Ok(keeper)
    }

    /// Keeps the list until `stop` says so. `written` comes whenever the hub has made an entry itself.
    pub async fn run<W: Future<Output = ()>>(
        mut self,
        written: impl Fn() -> W,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let standings = Arc::clone(&self.standings);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = written() => {}
                () = standings.something_seen() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                let looked = self.look();
                (self, looked)
            });
            let Ok((keeper, looked)) = looked.await else { return };
            self = keeper;
            if let Err(error) = looked {
                // The list stays as it was; it is looked again in a moment.
                error!(error = &error as &dyn Error, "can't keep the list of how stores stand");
            }
        }
    }

    fn look(&mut self) -> Result<(), BooksError> {
        let sightings = self.standings.take_sightings();
        if !sightings.is_empty() {
            self.books.note(&sightings, (self.wall)())?;
        }
        let version = self.books.version()?;
        if version != self.version || !sightings.is_empty() {
            self.version = version;
            self.take()?;
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(), BooksError> {
        self.standings.replace(self.books.standings()?);
        self.metrics.stand(&self.standings, self.books.waiting()?);
        (self.sweep)();
        self.metrics.roll(&self.books.rollouts()?);
        Ok(())
    }
}
