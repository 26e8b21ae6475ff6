//! Links between the project's own pages resolve, down to the heading.

use super::Fault;
use super::tree::Tree;

pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.files("", ".md").flat_map(|(path, text)| check_page(tree, path, text)).collect()
}

fn check_page(tree: &Tree, path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, _, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() { path.to_owned() } else { resolve(path, file) };
        let place = format!("{path}:{line}");
        if !tree.has(&file) {
            faults.push(Fault::new(place, format!("links to `{file}`, which is not there")));
        } else if !heading.is_empty() && !has_heading(tree, &file, heading) {
            faults.push(Fault::new(
                place,
                format!("links to `#{heading}` in `{file}`, which has no such heading"),
            ));
        }
    }
    faults
}

/// Links outside code blocks, as line, text and target. Images count as links.
pub fn links(text: &str) -> Vec<(usize, &str, &str)> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (middle, _) in line.match_indices("](") {
            let Some(end) = line[middle + 2..].find(')') else {
                continue;
            };
            let start = line[..middle].rfind('[').map_or(0, |at| at + 1);
            found.push((index + 1, &line[start..middle], &line[middle + 2..middle + 2 + end]));
        }
    }
    found
}

/// A link's target as a path from the root.
pub fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn has_heading(tree: &Tree, file: &str, heading: &str) -> bool {
    let text = tree.text(file).unwrap_or_default();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|anchor| anchor == heading)
}

/// A heading's anchor the way forges make it: lower case, spaces to dashes, punctuation dropped.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dead_link_is_found() {
        let found = faults(&[("docs/a.md", "see [b](b.md) and [c](../src/c.rs)\n"), ("src/c.rs", "")]);
        assert_eq!(found, ["docs/a.md:1: links to `docs/b.md`, which is not there"]);
    }

    #[test]
    fn a_missing_heading_is_found() {
        let page = "# One, two!\n[fine](#one-two) [gone](#three)\n";
        assert_eq!(
            faults(&[("a.md", page)]),
            ["a.md:2: links to `#three` in `a.md`, which has no such heading"]
        );
    }

    #[test]
    fn folders_and_other_sites_pass() {
        let page = "[adr](adr/) [site](https://example.org/x)\n```\n[not](a-link)\n```\n";
        assert_eq!(faults(&[("docs/a.md", page), ("docs/adr/0001.md", "")]), [""; 0]);
    }
}
