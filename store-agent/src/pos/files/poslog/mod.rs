//! ARTS POSLog XML, versions 2.1 to 6.0: the transactions of tills as documents.
//!
//! `xml` reads a file as a stream of transactions, `ticket` says what one of them moves.

mod ticket;
mod xml;

use super::piece::{Broken, Piece};
use crate::config::pos::{Mapping, PoslogConfig};
use std::fs::File;
use std::io::{BufReader, Read, Take};
use sync_protocol::SourceId;
use ticket::Rules;
use xml::Tickets;

/// A POSLog file that is being read.
#[derive(Debug)]
pub struct PoslogReader {
    tickets: Tickets<BufReader<Take<File>>>,
    rules: Rules,
    name: String,
}

impl PoslogReader {
    /// `size`: how much of the file is read.
    pub fn open(
        file: File,
        size: u64,
        name: &str,
        source: &SourceId,
        config: &PoslogConfig,
        mapping: &Mapping,
    ) -> Result<PoslogReader, Broken> {
        let tickets = Tickets::new(BufReader::with_capacity(64 * 1024, file.take(size)))?;
        let rules = Rules { source: source.clone(), config: config.clone(), mapping: mapping.clone() };
        Ok(PoslogReader { tickets, rules, name: name.to_owned() })
    }

    /// What the next transaction is; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Piece>, Broken> {
        Ok(self.tickets.next()?.map(|ticket| self.rules.piece(&ticket, &self.name)))
    }

    pub fn line(&self) -> u64 {
        self.tickets.line()
    }
}
