//! Opens the store's page beside everything else. The tills come first: a page that can't be opened is said so in the log, and the
//! agent does its work without it.

use super::clock;
use crate::api::StoreDesk;
use crate::config::{Config, PageConfig};
use crate::http::body::BodyLimits;
use crate::http::listener::{self, Patience};
use crate::http::tls;
use crate::ui::{self, FORM_BYTES_MAX, PageDesk, People, Places, SetupCode};
use anyhow::Context;
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::Instrument;

/// The page, ready to be served.
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    patience: Patience,
    stop: watch::Receiver<bool>,
}

impl Page {
    /// `None`: it is switched off, or can't be opened.
    pub async fn open(
        config: &Config,
        store: &StoreDesk,
        patience: Patience,
        stop: &watch::Receiver<bool>,
    ) -> Option<Page> {
        let page = config.page.as_ref()?;
        match Page::try_open(config, page, store, patience, stop).await {
            Ok(page) => Some(page),
            Err(error) => {
                tracing::error!("the store's page can't be opened, tills are served all the same: {error:#}");
                None
            }
        }
    }

    async fn try_open(
        config: &Config,
        page: &PageConfig,
        store: &StoreDesk,
        patience: Patience,
        stop: &watch::Receiver<bool>,
    ) -> anyhow::Result<Page> {
        let tls = page.tls.as_ref().map(|files| tls::acceptor(&files.certificate_file, &files.key_file));
        let tls = tls.transpose()?;
        let people = People::open(&config.people_database())?;
        let setup = SetupCode::at(&config.setup_code_file());
        if !people.is_anybody_here().await? {
            setup
                .read_or_make()
                .with_context(|| format!("cannot write {}", config.setup_code_file().display()))?;
            tracing::info!(
                "nobody is set up for the page yet; `store-agent page setup-code` shows the code for it"
            );
        }
        let listener = TcpListener::bind(page.listen)
            .await
            .with_context(|| format!("cannot listen on {}", page.listen))?;
        let address = listener.local_addr()?;
        let zone = jiff::tz::TimeZone::get(&page.time_zone).context("the time zone is not known any more")?;
        let desk = PageDesk {
            store: store.store.clone(),
            config: page.clone(),
            reserve: config.reserve,
            zone,
            inbox: store.inbox.clone(),
            reader: Arc::clone(&store.reader),
            counter: Arc::clone(&store.counter),
            people,
            setup,
            limits: BodyLimits::new(FORM_BYTES_MAX, patience.body_pause),
            has_hub: store.has_hub,
            places: Places {
                data_dir: config.data_dir.clone(),
                hub_certificate: config.hub.as_ref().map(|hub| hub.certificate_file.clone()),
                page_certificate: page.tls.as_ref().map(|files| files.certificate_file.clone()),
            },
            bulletin: store.bulletin.clone(),
            crossing: store.crossing.clone(),
            sources: store.sources.clone(),
            metrics: Arc::clone(&store.metrics),
            clocks: clock::clocks(),
            started_at: (clock::clocks().wall)(),
            stop: stop.clone(),
        };
        let router = ui::routes(desk);
        Ok(Page { listener, address, tls, router, patience, stop: stop.clone() })
    }

    /// Serves it until the agent stops. Gives where.
    pub fn serve(self, tasks: &mut JoinSet<()>) -> SocketAddr {
        let (address, is_tls) = (self.address, self.tls.is_some());
        tracing::info!(%address, tls = is_tls, "the store's page is open");
        let served = listener::serve_over(self.listener, self.tls, self.router, self.patience, self.stop);
        tasks.spawn(served.instrument(tracing::Span::current()));
        address
    }
}
