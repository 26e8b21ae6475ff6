//! Files and functions stay small enough to read, and each file says what it is for.

use super::Fault;
use super::source::code;
use super::tree::Tree;

/// Code lines of a file; tests are not counted.
const FILE_LINES_MAX: usize = 700;
/// Lines of one function, signature and braces included. Most have under 30.
const FUNCTION_LINES_MAX: usize = 80;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils.rs", "util.rs", "common.rs", "helpers.rs", "helper.rs", "misc.rs"];

pub fn check(tree: &Tree) -> Vec<Fault> {
    tree.files("", ".rs").flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let first = text.lines().find(|line| !line.starts_with("#!"));
    if !first.is_some_and(|line| line.starts_with("//! ")) {
        faults.push(Fault::new(path, "does not open with `//!` saying what it is for"));
    }
    if EMPTY_NAMES.contains(&path.rsplit('/').next().unwrap_or(path)) {
        faults.push(Fault::new(path, "its name says nothing about what is inside"));
    }
    let code = code(text);
    let lines = code.lines().count();
    if lines > FILE_LINES_MAX && !path.contains("tests") {
        faults.push(Fault::new(
            path,
            format!(
                "{lines} lines of code, more than {FILE_LINES_MAX}: find the part with a name of its own"
            ),
        ));
    }
    faults.extend(long_functions(path, &code));
    faults
}

/// Relies on rustfmt: a function ends at the first `}` that is indented like its `fn`.
fn long_functions(path: &str, code: &str) -> Vec<Fault> {
    let lines: Vec<&str> = code.lines().collect();
    let mut faults = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let length = lines[start..].iter().position(|line| line.trim_end() == end).map_or(1, |at| at + 1);
        if length > FUNCTION_LINES_MAX {
            let what = format!("`{name}` has {length} lines, more than {FUNCTION_LINES_MAX}");
            faults.push(Fault::new(format!("{path}:{}", start + 1), what));
        }
    }
    faults
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe"];
    let is_head =
        before.split_whitespace().all(|word| words.contains(&word)) && line.trim_end().ends_with(['{', '(']);
    is_head.then(|| after.split(|c| !super::source::is_word(c)).next()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(
            faults("a.rs", "fn main() {}\n"),
            ["a.rs: does not open with `//!` saying what it is for"]
        );
        assert_eq!(faults("a.rs", "//! Why.\n"), [""; 0]);
    }

    #[test]
    fn a_file_has_a_telling_name() {
        assert_eq!(
            faults("x/utils.rs", "//! Why.\n"),
            ["x/utils.rs: its name says nothing about what is inside"]
        );
    }

    #[test]
    fn long_functions_are_named() {
        let body = "        work();\n".repeat(FUNCTION_LINES_MAX);
        let text = format!(
            "//! Why.\nimpl A {{\n    pub fn long(&self) {{\n{body}    }}\n\n    fn short() {{\n    }}\n}}\n"
        );
        assert_eq!(faults("a.rs", &text), ["a.rs:3: `long` has 82 lines, more than 80"]);
    }

    #[test]
    fn long_files_are_named_but_tests_are_free() {
        let long = format!("//! Why.\n{}", "use a;\n".repeat(FILE_LINES_MAX));
        assert_eq!(
            faults("a.rs", &long),
            ["a.rs: 701 lines of code, more than 700: find the part with a name of its own"]
        );
        let tests =
            format!("//! Why.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "use a;\n".repeat(FILE_LINES_MAX));
        assert_eq!(faults("a.rs", &tests), [""; 0]);
    }
}
