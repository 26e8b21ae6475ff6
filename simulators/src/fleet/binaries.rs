//! Where the daemons' programs are: beside the one that is running, as cargo puts them.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The program of this name beside the running one (a test runs one folder deeper).
pub fn beside_this_one(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("finding the running program")?;
    let folder = this.parent().context("the running program has no folder")?;
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        let program = folder.join(name);
        if program.is_file() {
            return Ok(program);
        }
    }
    bail!("there is no `{name}` in `{}`: build the whole workspace first (`cargo build`)", folder.display())
}
