//! Where things are: the workspace's root and the folder of built binaries. The one place that reads the environment.

use anyhow::Context;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub fn root() -> anyhow::Result<PathBuf> {
    // Cargo sets the variable at run time, so a moved checkout works; a binary started by hand uses where it was built.
    let own = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = own.parent().with_context(|| format!("`{}` has no parent folder", own.display()))?;
    Ok(root.to_owned())
}

/// The cargo that started us, so that the toolchain stays the same.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The folder of the binaries of a profile: two folders up from our own, whatever the target folder is called.
pub fn built(profile: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where xtask itself runs from")?;
    let target = own.parent().and_then(Path::parent).context("xtask does not run from a target folder")?;
    Ok(target.join(profile))
}
