//! The courier: brings what happens to orders to those who want to hear of it. Webhooks get every event, the payment service steps, the
//! notification service what shoppers should be told.
//!
//! What has happened stands in the hub's outbox, written by the commit in which it happened. The courier reads it through a connection
//! of its own and keeps its own books, so the core never waits for a slow endpoint. Each endpoint is served by a task of its
//! own, with a bound on how much is under way, so one that hangs holds up nobody else.
//!
//! **Invariant:** everything is delivered at least once, or stands among the dead letters. An attempt that a crash cuts short is made
//! again under the same id.
//! **Invariant:** the steps of one order reach the payment service one after the other, each after the one before was taken.

mod address;
mod books;
mod cloud_event;
mod letters;
mod metrics;
pub mod payment;
pub mod policy;
mod post;
mod signature;

#[cfg(test)]
mod tests;

pub use books::BooksError;
pub use cloud_event::CloudEvent;
pub use letters::{DeadLetter, From, Standing};
pub use metrics::CourierMetrics;
pub use signature::SecretError;

use crate::config::{Config, HttpUrl, Participant, Webhook};
use crate::hub::events::kinds;
use crate::storage::sqlite::events::{Outbox, Sequenced};
use books::{Books, Breaker, Done, Due, failed};
use policy::{Retry, Verdict};
use post::{Message, Poster};
use signature::{Secrets, signatures};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sync_protocol::UnixMillis;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most deliveries under way to one endpoint.
const UNDER_WAY_MAX: usize = 8;
/// How often the outbox is looked at, and the clock.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long to wait after the books could not be kept.
const TROUBLE_WAIT: Duration = Duration::from_secs(5);
/// How often sizes are counted and old rows removed.
const KEEP_HOUSE_EVERY: Duration = Duration::from_secs(15);
/// How long a webhook's endpoint may take to answer, as Standard Webhooks advises.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(15);

/// Tells what time it is.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// What an endpoint is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Webhook,
    Payment,
    Notification,
}

impl Purpose {
    const ALL: [Purpose; 3] = [Purpose::Webhook, Purpose::Payment, Purpose::Notification];

    fn name(self) -> &'static str {
        match self {
            Purpose::Webhook => "webhook",
            Purpose::Payment => "payment",
            Purpose::Notification => "notification",
        }
    }
}

/// Somebody who is told things.
#[derive(Debug)]
struct Endpoint {
    /// `webhook/` and its name, or the purpose.
    name: String,
    purpose: Purpose,
    url: HttpUrl,
    allow_private: bool,
    /// Kinds of events; none means all.
    events: Vec<String>,
    secrets: Option<Secrets>,
    patience: Duration,
    retry: Retry,
    breaker: Option<Breaker>,
}

/// Why the courier can't begin.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    #[error(transparent)]
    Secrets(#[from] SecretError),
    #[error("`{found}` in the settings of {endpoint} is no kind of event; there are {}", kinds().join(", "))]
    Kind { endpoint: String, found: String },
    #[error("can't keep the courier's books")]
    Books(#[from] BooksError),
    #[error("a part of the courier panicked, or it is stopping")]
    Stopping,
}

/// The way to the courier. Copies speak of the same.
#[derive(Clone)]
pub struct Courier {
    inner: Arc<Inner>,
}

struct Inner {
    endpoints: Vec<Endpoint>,
    books: Mutex<Books>,
    /// For whoever follows events by themselves.
    feed: Mutex<Outbox>,
    poster: Poster,
    clock: Clock,
    metrics: CourierMetrics,
}

impl Endpoint {
    fn of_webhook(webhook: &Webhook) -> Result<Endpoint, CourierError> {
        let name = webhook_name(&webhook.name);
        Ok(Endpoint {
            events: checked_kinds(&name, &webhook.events)?,
            name,
            purpose: Purpose::Webhook,
            url: webhook.url.clone(),
            allow_private: webhook.allow_private_addresses,
            secrets: Some(Secrets::of_webhook(&webhook.secrets_file)?),
            patience: WEBHOOK_PATIENCE,
            retry: Retry::Table,
            breaker: None,
        })
    }

    fn of_participant(purpose: Purpose, to: &Participant) -> Result<Endpoint, CourierError> {
        let name = purpose.name().to_owned();
        let secrets = to.token_file.as_deref().map(Secrets::of_participant).transpose()?;
        let dead_after = u64::from(to.dead_after_h) * 3600 * 1000;
        let open_ms = u64::from(to.open_s) * 1000;
        Ok(Endpoint {
            events: checked_kinds(&name, &to.events)?,
            name,
            purpose,
            url: to.url.clone(),
            allow_private: to.allow_private_addresses,
            secrets,
            patience: Duration::from_secs(to.timeout_s.into()),
            retry: Retry::Backoff { dead_after },
            breaker: Some(Breaker { after: to.open_after_failures, open_ms }),
        })
    }

    fn message(&self, due: &Due, now: UnixMillis) -> Message {
        let secrets = self.secrets.as_ref().map(Secrets::current);
        let secrets = secrets.as_deref().map_or(&[][..], Vec::as_slice);
        let mut headers = Vec::new();
        if self.purpose == Purpose::Webhook {
            let timestamp = now.0.div_euclid(1000);
            headers.push(("content-type", "application/cloudevents+json".to_owned()));
            headers.push(("webhook-id", due.task.clone()));
            headers.push(("webhook-timestamp", timestamp.to_string()));
            headers
                .push(("webhook-signature", signatures(secrets, &due.task, timestamp, due.body.as_bytes())));
        } else {
            headers.push(("content-type", "application/json".to_owned()));
            headers.push(("idempotency-key", due.task.clone()));
            let tokens = secrets.iter().map(|token| String::from_utf8_lossy(token));
            headers.extend(tokens.map(|token| ("authorization", format!("Bearer {token}"))));
        }
        Message { headers, body: due.body.clone() }
    }
}

fn webhook_name(name: &str) -> String {
    format!("webhook/{name}")
}

fn checked_kinds(endpoint: &str, events: &[String]) -> Result<Vec<String>, CourierError> {
    let known = kinds();
    match events.iter().find(|kind| !known.contains(kind)) {
        Some(found) => Err(CourierError::Kind { endpoint: endpoint.to_owned(), found: found.clone() }),
        None => Ok(events.to_vec()),
    }
}

impl Courier {
    /// Opens the books in the data folder, where the hub's database is already.
    ///
    /// # Errors
    /// The settings name files or events that can't be used, or the books can't be opened.
    pub fn open(config: &Config, clock: Clock, metrics: CourierMetrics) -> Result<Courier, CourierError> {
        let mut endpoints: Vec<Endpoint> =
            config.webhooks.iter().map(Endpoint::of_webhook).collect::<Result<_, _>>()?;
        let participants =
            [(Purpose::Payment, &config.payment), (Purpose::Notification, &config.notification)];
        for (purpose, to) in participants {
            endpoints.extend(to.as_ref().map(|to| Endpoint::of_participant(purpose, to)).transpose()?);
        }
        let poster = Poster::new(endpoints.iter().any(|endpoint| endpoint.url.is_tls));
        Courier::with(endpoints, poster, (&config.courier_file(), &config.database_file()), clock, metrics)
    }

    fn with(
        endpoints: Vec<Endpoint>,
        poster: Poster,
        (own, hub_database): (&Path, &Path),
        clock: Clock,
        metrics: CourierMetrics,
    ) -> Result<Courier, CourierError> {
        let mut books = Books::open(own, hub_database)?;
        let names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        books.register(&names)?;
        let feed = Mutex::new(Outbox::open(hub_database).map_err(failed("opening the outbox"))?);
        let books = Mutex::new(books);
        Ok(Courier { inner: Arc::new(Inner { endpoints, books, feed, poster, clock, metrics }) })
    }

    /// Serves every endpoint until told to stop. What is under way then is sent again after the next start.
    pub async fn run(self, stopped: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for at in 0..self.inner.endpoints.len() {
            tasks.spawn(self.clone().serve(at, stopped.clone()));
        }
        tasks.spawn(self.keep_house(stopped));
        while tasks.join_next().await.is_some() {}
    }

    async fn serve(self, at: usize, mut stopped: watch::Receiver<bool>) {
        loop {
            let round = async {
                let pause = match self.round(at).await {
                    Ok(true) => Duration::ZERO,
                    Ok(false) => LOOK_EVERY,
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "the courier's books failed"
                        );
                        TROUBLE_WAIT
                    }
                };
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = round => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    /// Takes what is new for an endpoint and sends what is due. True where there may be more.
    async fn round(&self, at: usize) -> Result<bool, CourierError> {
        let now = (self.inner.clock)();
        let due = self
            .with_books(move |inner, books| {
                let endpoint = &inner.endpoints[at];
                let taken = books.take(endpoint, now)?;
                let due = books.due(&endpoint.name, endpoint.breaker, now, UNDER_WAY_MAX)?;
                Ok((taken, due))
            })
            .await?;
        let (taken, due) = due;
        let is_busy = taken > 0 || !due.is_empty();
        let mut under_way = JoinSet::new();
        for due in due {
            under_way.spawn(self.clone().attempt(at, due));
        }
        while let Some(ended) = under_way.join_next().await {
            ended.map_err(|_| CourierError::Stopping)??;
        }
        Ok(is_busy)
    }

    async fn attempt(self, at: usize, due: Due) -> Result<(), CourierError> {
        let endpoint = &self.inner.endpoints[at];
        let message = endpoint.message(&due, (self.inner.clock)());
        let sending =
            self.inner.poster.post(&endpoint.url, endpoint.allow_private, message, endpoint.patience);
        let answer = sending.await;
        let now = (self.inner.clock)();
        let verdict = endpoint.retry.verdict(&answer, due.attempts + 1, due.created_at, now, dice());
        let outcome = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::Again { .. } => "failed",
            Verdict::Dead => "dead",
            Verdict::Gone => "gone",
        };
        self.inner.metrics.attempted(endpoint.purpose.name(), outcome);
        let (name, task, words) = (&endpoint.name, &due.task, &answer.words);
        match verdict {
            Verdict::Delivered => tracing::debug!(endpoint = name, task, "delivered"),
            Verdict::Again { .. } => {
                tracing::info!(endpoint = name, task, words, "not delivered; tried again")
            }
            Verdict::Dead => tracing::warn!(endpoint = name, task, words, "not delivered; a dead letter"),
            Verdict::Gone => {
                tracing::warn!(endpoint = name, "the endpoint wants nothing any more; it is disabled")
            }
        }
        self.with_books(move |inner, books| books.record(&inner.endpoints[at], &due, (verdict, &answer), now))
            .await
    }

    async fn keep_house(self, mut stopped: watch::Receiver<bool>) {
        loop {
            let now = (self.inner.clock)();
            let kept = self.with_books(move |inner, books| {
                books.prune(now)?;
                inner.count(books, now)
            });
            if let Err(error) = kept.await {
                tracing::error!(error = &error as &dyn std::error::Error, "the courier's books failed");
            }
            tokio::select! {
                () = tokio::time::sleep(KEEP_HOUSE_EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    }

    /// The books are never held over an `.await`: disks wait on a thread of their own.
    async fn with_books<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Inner, &mut Books) -> Done<T> + Send + 'static,
    ) -> Result<T, CourierError> {
        let inner = Arc::clone(&self.inner);
        let work = move || {
            let mut books = inner.books.lock().unwrap_or_else(PoisonError::into_inner);
            act(&inner, &mut books)
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| CourierError::Stopping)?;
        done.map_err(CourierError::Books)
    }
}

impl Inner {
    /// Brings the gauges up to date.
    fn count(&self, books: &mut Books, now: UnixMillis) -> Done<()> {
        let mut disabled = 0;
        for purpose in Purpose::ALL {
            let (mut waiting, mut dead, mut open) = (0, 0, 0);
            for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.purpose == purpose) {
                let standing = books.standing(&endpoint.name)?;
                waiting += standing.waiting;
                dead += standing.dead;
                open += u64::from(books.is_open(&endpoint.name, now)?);
                disabled += i64::from(standing.disabled);
            }
            self.metrics.stand(purpose.name(), waiting, dead, open);
        }
        self.metrics.disabled(disabled);
        Ok(())
    }
}

/// Chance for jitter. Without random numbers everybody waits longest, which is no harm.
fn dice() -> u32 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_or(u32::MAX, |()| u32::from_le_bytes(bytes))
}

// What is asked.

impl Courier {
    /// Dead letters by number, those after `after`.
    ///
    /// # Errors
    /// The books can't be read.
    pub async fn dead_letters(&self, after: i64, limit: usize) -> Result<Vec<DeadLetter>, CourierError> {
        self.with_books(move |_, books| books.dead_letters(after, limit)).await
    }

    /// # Errors
    /// The books can't be read.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>, CourierError> {
        self.with_books(move |_, books| books.dead_letter(id)).await
    }

    /// Sends a dead letter again, under its old id, with all its attempts before it. `None`: there is none of that number.
    ///
    /// # Errors
    /// The books can't be written.
    pub async fn retry(&self, id: i64) -> Result<Option<DeadLetter>, CourierError> {
        let now = (self.inner.clock)();
        self.with_books(move |_, books| books.retry(id, now)).await
    }

    /// How the webhooks of the settings stand.
    ///
    /// # Errors
    /// The books can't be read.
    pub async fn webhooks(&self) -> Result<Vec<Standing>, CourierError> {
        let standing = |inner: &Inner, books: &mut Books| {
            let webhooks = inner.endpoints.iter().filter(|endpoint| endpoint.purpose == Purpose::Webhook);
            let standings = webhooks.map(|endpoint| {
                let standing = books.standing(&endpoint.name)?;
                let name = endpoint.name.trim_start_matches("webhook/").to_owned();
                Ok(Standing { name, host: endpoint.url.authority(), ..standing })
            });
            standings.collect()
        };
        self.with_books(standing).await
    }

    /// Sends a webhook everything from there on again, and enables it. `None`: there is no such webhook; false: no such event.
    ///
    /// # Errors
    /// The books can't be written.
    pub async fn replay(&self, name: &str, from: From) -> Result<Option<bool>, CourierError> {
        let name = webhook_name(name);
        self.with_books(move |inner, books| {
            match inner.endpoints.iter().find(|endpoint| endpoint.name == name) {
                Some(endpoint) => books.replay(&endpoint.name, &from).map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    /// Events after a place in their sequence, and where that sequence begins and ends.
    ///
    /// # Errors
    /// The hub's database can't be read.
    pub async fn events(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Sequenced>, (u64, u64)), CourierError> {
        let inner = Arc::clone(&self.inner);
        let read = move || {
            let feed = inner.feed.lock().unwrap_or_else(PoisonError::into_inner);
            let act = failed("reading events");
            Ok((feed.after(after, limit).map_err(&act)?, feed.bounds().map_err(&act)?))
        };
        tokio::task::spawn_blocking(read).await.map_err(|_| CourierError::Stopping)?
    }
}
