//! The threads that read POS systems: started with the agent, stopped with it.

use super::clock;
use crate::config::Config;
use crate::inbox::sources::SourceBoard;
use crate::inbox::{Bulletin, Inbox};
use crate::pos;
use crate::pos::runner::{Desk, Runner};
use crate::store::reader::Reader;
use anyhow::Context;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// A board with a place for each source of the configuration: those that are read, then those that send.
pub fn board(config: &Config) -> SourceBoard {
    let read = config.pos.iter().map(|pos| (pos.source.to_string(), pos.kind.name()));
    let sending = config.webhooks.iter().flat_map(|webhooks| &webhooks.pos);
    let names: Vec<_> = read.chain(sending.map(|pos| (pos.source.to_string(), pos.vendor.name()))).collect();
    SourceBoard::new(&names)
}

/// All running readers.
#[derive(Debug)]
pub struct Readers {
    /// Dropping an end tells its reader to stop.
    stops: Vec<SyncSender<()>>,
    threads: Vec<(String, JoinHandle<()>)>,
}

impl Readers {
    /// A POS that can't be opened is no reason not to start: its reader tries again.
    pub fn start(
        config: &Config,
        inbox: &Inbox,
        reader: &Arc<Reader>,
        board: &SourceBoard,
        bulletin: &watch::Receiver<Bulletin>,
    ) -> anyhow::Result<Readers> {
        let (mut stops, mut threads) = (Vec::new(), Vec::new());
        for (place, config_of) in config.pos.iter().enumerate() {
            let source = pos::open(config_of.clone(), &config.data_dir, clock::clocks());
            let desk = Desk {
                inbox: inbox.clone(),
                reader: Arc::clone(reader),
                board: board.clone(),
                place,
                bulletin: bulletin.clone(),
                has_hub: config.hub.is_some(),
                clocks: clock::clocks(),
            };
            let runner = Runner::new(source, config_of.clone(), desk);
            let (stop, stopping) = sync_channel(1);
            let span = tracing::Span::current();
            let thread = std::thread::Builder::new()
                .name(format!("pos {}", config_of.source))
                .spawn(move || span.in_scope(|| runner.run(&stopping)))
                .with_context(|| format!("cannot start the reader of `{}`", config_of.source))?;
            stops.push(stop);
            threads.push((config_of.source.to_string(), thread));
        }
        Ok(Readers { stops, threads })
    }

    /// Blocks until the last reader has ended.
    pub fn stop(self) {
        drop(self.stops);
        for (source, thread) in self.threads {
            if thread.join().is_err() {
                tracing::error!(source, "the reader of this source had failed; what it recorded is on disk");
            }
        }
    }
}
