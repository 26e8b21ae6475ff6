//! The README's commands exist: aliases, xtask's own tasks, scripts, packages and binaries.

use super::Fault;
use super::tree::Tree;
use clap::CommandFactory;

const PAGES: [&str; 3] = ["README.md", "docs/testing.md", "docs/how-to-add/README.md"];

pub fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for page in PAGES {
        let text = tree.text(page).unwrap_or_default();
        for (line, command) in commands(text) {
            if let Some(what) = unknown(tree, command) {
                faults.push(Fault::new(format!("{page}:{line}"), format!("`{command}`: {what}")));
            }
        }
    }
    faults
}

/// Lines of `sh` blocks, comments dropped.
fn commands(text: &str) -> Vec<(usize, &str)> {
    let mut in_shell = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_shell = line == "```sh";
            continue;
        }
        let command = line.split(" #").next().unwrap_or_default().trim();
        if in_shell && !command.is_empty() && !command.starts_with('#') {
            found.push((index + 1, command));
        }
    }
    found
}

fn unknown(tree: &Tree, command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().filter(|word| !word.contains('=')).collect();
    match words.as_slice() {
        ["cargo", "xtask", task, ..] => unknown_task(task),
        ["cargo", "test", ..] => unknown_package(tree, &words),
        ["cargo", "fuzz" | "build" | "install", ..] | ["git" | "cd" | "curl", ..] => None,
        ["cargo", alias, ..] => unknown_alias(tree, alias),
        [script, ..] if script.starts_with("./") => {
            (!tree.has(&script[2..])).then(|| "no such file".to_owned())
        }
        _ => Some("the check does not know this command; teach it".to_owned()),
    }
}

fn unknown_task(task: &str) -> Option<String> {
    let known = crate::Cli::command().find_subcommand(task).is_some();
    (!known).then(|| format!("xtask has no task `{task}`"))
}

fn unknown_alias(tree: &Tree, alias: &str) -> Option<String> {
    let config = tree.text(".cargo/config.toml").unwrap_or_default();
    let known = config.lines().any(|line| line.split(" = ").next() == Some(alias));
    (!known).then(|| format!("no alias `{alias}` in .cargo/config.toml"))
}

fn unknown_package(tree: &Tree, words: &[&str]) -> Option<String> {
    let at = words.iter().position(|word| *word == "-p")?;
    let name = words.get(at + 1)?;
    let line = format!("name = \"{name}\"");
    let known = tree.files("", "Cargo.toml").any(|(_, text)| text.lines().any(|l| l == line));
    (!known).then(|| format!("no package `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(shell: &str) -> Vec<String> {
        let page = format!("# Title\n```sh\n{shell}\n```\n");
        let files = [
            ("README.md", page.as_str()),
            (".cargo/config.toml", "[alias]\ndemo = \"run\"\n"),
            ("tests/run", ""),
            ("a/Cargo.toml", "name = \"a\"\n"),
        ];
        check(&Tree::of(&files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn known_commands_pass() {
        assert_eq!(
            faults("cargo demo -- --stores 8   # shows it\n./tests/run\ncargo xtask check\ncargo test -p a"),
            [""; 0]
        );
    }

    #[test]
    fn unknown_ones_do_not() {
        assert_eq!(
            faults("cargo dmeo"),
            ["README.md:3: `cargo dmeo`: no alias `dmeo` in .cargo/config.toml"]
        );
        assert_eq!(faults("./tests/walk"), ["README.md:3: `./tests/walk`: no such file"]);
        assert_eq!(faults("cargo xtask brew"), ["README.md:3: `cargo xtask brew`: xtask has no task `brew`"]);
        assert_eq!(faults("cargo test -p b"), ["README.md:3: `cargo test -p b`: no package `b`"]);
    }
}
