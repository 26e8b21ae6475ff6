//! The store's page: what the store's people see and do in a browser, on the store's own server, with the line down too.
//!
//! Every screen is a page that works as plain forms and links; `page.js` and htmx only keep it fresh without a reload. Looking goes
//! through the reader, every act through the core, exactly as for the API beside this. It has a listener of its own, so that tills'
//! tokens and browsers' cookies never meet.
//!
//! A screen is a file here, a table in `texts`, and its lines in [`routes`] and in `layout::PLACES`.

mod act;
mod assets;
mod chart;
mod count;
mod csv;
mod entering;
mod failure;
mod form;
mod guard;
mod hand_over;
mod help;
mod item;
mod items;
mod layout;
mod ledger_words;
mod live;
mod movements;
mod order;
mod orders;
pub mod people;
mod reports;
mod setup;
mod staff_page;
mod step_up;
mod texts;
mod today;
mod told;
mod trail;
mod typed;
mod visitor;
mod web_sales;
mod words;

pub use people::{People, PeopleError};
pub use setup::SetupCode;

use crate::config::PageConfig;
use crate::counter::Counter;
use crate::http::Clocks;
use crate::http::body::BodyLimits;
use crate::inbox::sources::SourceBoard;
use crate::inbox::{Bulletin, Crossing, Inbox};
use crate::store::reader::Reader;
use crate::telemetry::Metrics;
use axum::Router;
use axum::routing::{get, post};
use jiff::tz::TimeZone;
use std::path::PathBuf;
use std::sync::Arc;
use sync_protocol::stock::ReservePolicy;
use sync_protocol::{StoreId, UnixMillis};
use tokio::sync::watch;

/// Longest body of a form. A pickup code of the largest order fits, with room to spare.
pub const FORM_BYTES_MAX: usize = 64 << 10;

/// What the page needs.
#[derive(Debug, Clone)]
pub struct PageDesk {
    pub store: StoreId,
    pub config: PageConfig,
    /// How much is kept for walk-in customers.
    pub reserve: ReservePolicy,
    pub zone: TimeZone,
    pub inbox: Inbox,
    pub reader: Arc<Reader>,
    pub counter: Arc<Counter>,
    pub people: People,
    pub setup: SetupCode,
    pub limits: BodyLimits,
    pub has_hub: bool,
    pub places: Places,
    pub bulletin: watch::Receiver<Bulletin>,
    pub crossing: watch::Receiver<Crossing>,
    pub sources: SourceBoard,
    pub metrics: Arc<Metrics>,
    pub clocks: Clocks,
    /// When this agent started: a screen that sees another one knows that it was restarted.
    pub started_at: UnixMillis,
    pub stop: watch::Receiver<bool>,
}

/// Where the agent keeps what the doctor looks at.
#[derive(Debug, Clone)]
pub struct Places {
    pub data_dir: PathBuf,
    /// What the agent proves itself with to the hub, and to browsers.
    pub hub_certificate: Option<PathBuf>,
    pub page_certificate: Option<PathBuf>,
}

/// As handlers get it.
type Desk = axum::extract::State<Arc<PageDesk>>;

pub fn routes(desk: PageDesk) -> Router {
    let desk = Arc::new(desk);
    let routes = Router::new()
        .route("/", get(today::show))
        .route("/orders", get(orders::list))
        .route("/orders/{order}", get(order::show))
        .route("/orders/{order}/{act}", post(order::act))
        .route("/hand-over", get(hand_over::counter).post(hand_over::find))
        .route("/hand-over/{order}", post(hand_over::give))
        .route("/people", get(staff_page::show))
        .route("/people/{act}", post(staff_page::act))
        .merge(goods())
        .route("/set-up", get(entering::setup_form).post(entering::set_up))
        .route("/pair", get(entering::pair_form).post(entering::pair))
        .route("/sign-in", get(entering::sign_in_form).post(entering::sign_in))
        .route("/locked", get(entering::locked).post(entering::unlock))
        .route("/lock", post(entering::lock))
        .route("/sign-out", post(entering::sign_out))
        .route("/language", post(entering::choose_language))
        .route("/status", get(layout::status_alone))
        .route("/live", get(live::stream))
        .route("/assets/{name}", get(assets::serve))
        .with_state(Arc::clone(&desk));
    guard::guarded(routes, desk)
}

/// Items, counts, the ledger and how the store is doing.
fn goods() -> Router<Arc<PageDesk>> {
    Router::new()
        .route("/items", get(items::show))
        .route("/items/scan", post(items::scan))
        .route("/item", get(item::show))
        .route("/item/change", post(item::change))
        .route("/count", get(count::show))
        .route("/count/begin", post(count::begin))
        .route("/count/sheet", get(count::show_sheet))
        .route("/count/enter", post(count::enter))
        .route("/count/remove", post(count::remove))
        .route("/count/finish", post(count::finish))
        .route("/count/approve", post(count::approve))
        .route("/count/again", post(count::again))
        .route("/count/give-up", post(count::give_up))
        .route("/web-sales/pause", post(web_sales::pause))
        .route("/web-sales/resume", post(web_sales::resume))
        .route("/movements", get(movements::show))
        .route("/movements/export", post(movements::export))
        .route("/audit", get(trail::show))
        .route("/audit/export", post(trail::export))
        .route("/reports", get(reports::show))
        .route("/help", get(help::show))
        .route("/help/retry", post(help::retry))
}
