//! Disks: SQLite databases in memory that can be copied whole, so that a crash leaves one behind, a backup keeps one, and a restore
//! or a clone starts from one.

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

/// An exact copy of what has been committed to `disk`.
#[must_use]
pub fn copy(disk: &Connection) -> Connection {
    let mut copy = Connection::open_in_memory().expect("SQLite can always make a database in memory");
    {
        let backup = Backup::new(disk, &mut copy).expect("both databases are open and idle");
        let step = backup.step(-1).expect("a database in memory can be read and written");
        assert_eq!(step, StepResult::Done, "all pages are copied in one step");
    }
    copy
}

/// A new disk of a store's server.
#[must_use]
pub fn blank() -> Connection {
    store_agent::store::open_in_memory().expect("the schema fits an empty database")
}
