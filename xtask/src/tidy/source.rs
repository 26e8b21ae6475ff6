//! Just enough of Rust's grammar to find paths in it: comments and literals blanked, unit tests cut off.

/// The code of a file without comments, string and character literals, and without its `mod tests`.
/// Line breaks stay, so line numbers hold.
pub fn code(text: &str) -> String {
    let bare = blank_literals(text);
    match bare.find("#[cfg(test)]\nmod tests {") {
        Some(end) => bare[..end].to_owned(),
        None => bare,
    }
}

/// Identifiers that directly follow `prefix` (`crate::`), with their line. Groups are opened: `crate::{a::b, c}` gives `a`, `c`.
pub fn after<'a>(code: &'a str, prefix: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_word) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        let heads =
            if let Some(group) = rest.strip_prefix('{') { group_heads(group) } else { vec![head(rest)] };
        found.extend(heads.into_iter().filter(|name| !name.is_empty()).map(|name| (line, name)));
    }
    found
}

/// True for characters of an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn head(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|c| !is_word(c)).unwrap_or(path.len());
    &path[..end]
}

fn group_heads(group: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let mut heads = vec![head(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn blank_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = literal_bytes(rest, out.chars().next_back()).unwrap_or(0);
        if taken == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..taken].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[taken..];
        }
    }
    out
}

/// How many bytes at the start are a comment or literal.
fn literal_bytes(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if rest.starts_with('r') && !before.is_some_and(is_word) {
        return raw_string_bytes(rest);
    }
    if rest.starts_with('"') {
        return Some(quoted_bytes(rest, '"'));
    }
    let is_char = rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') && rest.starts_with('\'');
    is_char.then(|| quoted_bytes(rest, '\''))
}

fn raw_string_bytes(rest: &str) -> Option<usize> {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    rest[1 + hashes..].starts_with('"').then(|| {
        let close = format!("\"{}", "#".repeat(hashes));
        let start = 2 + hashes;
        rest[start..].find(&close).map_or(rest.len(), |end| start + end + close.len())
    })
}

fn quoted_bytes(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_hold_no_code() {
        let text = "a // crate::b\n/* crate::c */ \"crate::d \\\" crate::e\" r#\"crate::f\"# '\"' crate::g 'x' &'a str";
        assert_eq!(after(&code(text), "crate::"), [(2, "g")]);
    }

    #[test]
    fn groups_are_opened_at_their_first_level() {
        let text = "use crate::{one::{a, b}, two, three::c};\nuse crate::four;";
        assert_eq!(after(&code(text), "crate::"), [(1, "one"), (1, "two"), (1, "three"), (2, "four")]);
    }

    #[test]
    fn unit_tests_are_cut_off() {
        let text = "use crate::a;\n#[cfg(test)]\nmod tests {\n    use crate::b;\n}\n";
        assert_eq!(after(&code(text), "crate::"), [(1, "a")]);
    }
}
