//! Checks of the tree's shape that no compiler makes: who may import whom, and that docs say what is there.
//!
//! Each check is a function from the tree to faults, so each is tested on a small bad tree: a check that cannot fail
//! checks nothing.

mod docs;
mod guarantees;
mod layers;
mod metrics;
mod packages;
mod readme;
mod shape;
mod source;
mod tree;

use anyhow::bail;
use std::fmt;
use tree::Tree;

/// One thing that is not as it should be, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    place: String,
    what: String,
}

impl Fault {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Fault {
        Fault { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

type Check = fn(&Tree) -> Vec<Fault>;

const CHECKS: [Check; 7] = [
    layers::check,
    packages::check,
    shape::check,
    docs::check,
    guarantees::check,
    metrics::check,
    readme::check,
];

/// Runs every check over the workspace and reports all faults at once.
pub fn run() -> anyhow::Result<()> {
    let tree = Tree::read(&crate::place::root()?)?;
    let faults: Vec<Fault> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} thing(s) out of order", faults.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        super::run().unwrap();
    }
}
