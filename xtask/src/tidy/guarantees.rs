//! Every test that a page names is there: a link whose text is code and whose target is a Rust file names a function in it.

use super::Fault;
use super::docs::{links, resolve};
use super::tree::Tree;

/// The promises by number; each needs its section and at least one test.
const PROMISES: [&str; 10] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10"];
const PAGE: &str = "docs/guarantees.md";

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults: Vec<Fault> =
        tree.files("", ".md").flat_map(|(path, text)| check_names(tree, path, text)).collect();
    faults.extend(tree.text(PAGE).into_iter().flat_map(check_promises));
    faults
}

fn check_names(tree: &Tree, path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, name, target) in links(text) {
        let Some(function) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else {
            continue;
        };
        if !target.ends_with(".rs") || function.contains(['/', '.', ':']) {
            continue;
        }
        let file = resolve(path, target);
        let code = tree.text(&file).unwrap_or_default();
        if !code.contains(&format!("fn {function}(")) {
            faults.push(Fault::new(
                format!("{path}:{line}"),
                format!("names `{function}`, which is not in `{file}`"),
            ));
        }
    }
    faults
}

fn check_promises(page: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for promise in PROMISES {
        let section = page.split("\n## ").find(|section| section.starts_with(&format!("{promise} ")));
        let tests = section
            .map_or(0, |text| links(text).iter().filter(|(_, _, target)| target.ends_with(".rs")).count());
        if tests == 0 {
            faults.push(Fault::new(PAGE, format!("{promise} has no section that names a test")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_missed() {
        let page = "[`still_here`](t.rs) [`gone`](t.rs) [`src/x.rs`](t.rs)\n";
        let found = check(&Tree::of(&[("a.md", page), ("t.rs", "fn still_here() {}")]));
        assert_eq!(found, [Fault::new("a.md:1", "names `gone`, which is not in `t.rs`")]);
    }

    #[test]
    fn every_promise_needs_a_test() {
        let mut page: String = PROMISES.iter().map(|p| format!("\n## {p} Title\n\n[`t`](t.rs)\n")).collect();
        assert_eq!(check_promises(&page), []);
        page = page.replace("## P5 Title\n\n[`t`](t.rs)", "## P5 Title\n\nno proof");
        assert_eq!(check_promises(&page), [Fault::new(PAGE, "P5 has no section that names a test")]);
    }
}
