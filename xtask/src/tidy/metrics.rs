//! Every metric in the code has its line in the operators' page, and the page names no metric that is gone.

use super::Fault;
use super::tree::Tree;

const PAGE: &str = "docs/operating/metrics.md";
const PACKAGES: [(&str, &str); 2] =
    [("store-agent/src/", "shopsmart_agent_"), ("cloud-hub/src/", "shopsmart_hub_")];
/// What the exposition format adds to a name.
const SUFFIXES: [&str; 8] =
    ["", "_total", "_bytes", "_seconds", "_bytes_total", "_seconds_total", "_info", "_ratio"];
const CALLS: [&str; 3] = ["register(", "register_with_unit(", "encode_descriptor("];

pub fn check(tree: &Tree) -> Vec<Fault> {
    let Some(page) = tree.text(PAGE) else {
        return Vec::new();
    };
    let documented = documented(page);
    let mut registered = Vec::new();
    for (folder, prefix) in PACKAGES {
        for (path, text) in tree.files(folder, ".rs") {
            registered
                .extend(names(text).into_iter().map(|(line, name)| (format!("{path}:{line}"), prefix, name)));
        }
    }
    let is = |prefix: &str, name: &str, shown: &str| {
        SUFFIXES
            .iter()
            .any(|suffix| shown == format!("{prefix}{name}{suffix}") || shown == format!("{name}{suffix}"))
    };
    let mut faults = Vec::new();
    for (place, prefix, name) in &registered {
        if !documented.iter().any(|(_, shown)| is(prefix, name, shown)) {
            faults.push(Fault::new(place, format!("`{prefix}{name}` has no line in {PAGE}")));
        }
    }
    for (line, shown) in documented {
        // Some names are registered in a loop; they still stand in the code as they are.
        if !registered.iter().any(|(_, prefix, name)| is(prefix, name, shown)) && !is_written(tree, shown) {
            faults.push(Fault::new(format!("{PAGE}:{line}"), format!("`{shown}` is not in the code")));
        }
    }
    faults
}

/// True where the name without prefix stands in quotes somewhere.
fn is_written(tree: &Tree, shown: &str) -> bool {
    PACKAGES.iter().filter_map(|(folder, prefix)| Some((folder, shown.strip_prefix(prefix)?))).any(
        |(folder, name)| {
            let bare = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
            let quoted: Vec<String> = bare.map(|name| format!("\"{name}\"")).collect();
            tree.files(folder, ".rs").any(|(_, text)| quoted.iter().any(|name| text.contains(name)))
        },
    )
}

/// Names in the first column of the page's tables.
fn documented(page: &str) -> Vec<(usize, &str)> {
    let lines = page.lines().enumerate();
    lines
        .filter_map(|(index, line)| Some((index + 1, line.strip_prefix("| `")?.split(['`', '{']).next()?)))
        .collect()
}

/// Names given to a registry, outside of tests.
fn names(text: &str) -> Vec<(usize, &str)> {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let mut found = Vec::new();
    for call in CALLS {
        for (at, _) in text[..end].match_indices(call) {
            let argument = text[at + call.len()..end].trim_start();
            if let Some(name) = argument.strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                found.push((text[..at].matches('\n').count() + 1, name));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "fn f() {\n    registry.register(\n        \"frames\",\n        \"Frames\", c);\n}\n";

    fn faults(page: &str) -> Vec<String> {
        let files = [("cloud-hub/src/telemetry.rs", CODE), (PAGE, page)];
        check(&Tree::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_metric_with_a_line_passes() {
        assert_eq!(faults("| `shopsmart_hub_frames_total{stream}` | what arrives |\n"), [""; 0]);
    }

    #[test]
    fn a_metric_without_a_line_is_found() {
        let found = faults("nothing\n");
        assert_eq!(
            found,
            ["cloud-hub/src/telemetry.rs:2: `shopsmart_hub_frames` has no line in docs/operating/metrics.md"]
        );
    }

    #[test]
    fn a_line_without_a_metric_is_found() {
        let found = faults("| `shopsmart_hub_frames_total` | x |\n| `shopsmart_hub_gone` | y |\n");
        assert_eq!(found, ["docs/operating/metrics.md:2: `shopsmart_hub_gone` is not in the code"]);
    }
}
