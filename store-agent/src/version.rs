//! The version, as every part of the agent says it.
//!
//! It stands in the program behind a mark, so that `strings store-agent | grep store-agent-version` tells it without running the
//! program, also of one that no longer runs.

const MARK: &str = "store-agent-version:";
const MARKED: &str = concat!("store-agent-version:", env!("CARGO_PKG_VERSION"));

/// As in `0.1.0`.
#[must_use]
pub fn version() -> &'static str {
    // Read from behind the mark: with a second copy of it in the program the two could differ.
    let marked = std::hint::black_box(MARKED);
    marked.strip_prefix(MARK).unwrap_or(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_packages_version() {
        assert_eq!(version(), env!("CARGO_PKG_VERSION"));
    }
}
