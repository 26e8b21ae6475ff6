//! Query strings, read strictly: every name is known, every escape is whole, every value is text.
//!
//! A misspelt parameter that is silently ignored is a wrong answer nobody notices, so it is refused with the nearest name
//! that would have been understood.

use super::problem::{Kind, Problem, shown};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Names under which people put keys into URLs, where logs and histories keep them.
const KEYS_IN_URLS: [&str; 7] = ["key", "api_key", "apikey", "api-key", "x-api-key", "token", "access_token"];

/// One `name=value` of a query string.
pub(super) type Pair<'a> = (&'static str, Cow<'a, str>);

/// The pairs of a query string whose names must all be among `known`.
pub(super) fn pairs<'a>(
    query: Option<&'a str>,
    known: &'static [&'static str],
) -> impl Iterator<Item = Result<Pair<'a>, Problem>> {
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts.map(move |part| pair(part, known))
}

/// Refuses anything in the query string of a path that takes no parameters.
pub(super) fn none(query: Option<&str>) -> Result<(), Problem> {
    pairs(query, &[]).try_for_each(|pair| pair.map(|_| ()))
}

fn pair<'a>(part: &'a str, known: &'static [&'static str]) -> Result<Pair<'a>, Problem> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    let name = decode(name)
        .ok_or_else(|| Problem::new(Kind::UnknownParameter, "a parameter's name is not UTF-8"))?;
    let Some(known_name) = known.iter().find(|known| **known == name) else {
        return Err(unknown(&name, known));
    };
    match decode(value) {
        Some(value) => Ok((known_name, value)),
        None => Err(Problem::invalid(
            *known_name,
            format!("the value of `{known_name}` is not percent-encoded UTF-8: `%` must be written as `%25`"),
        )),
    }
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    if KEYS_IN_URLS.iter().any(|key| key.eq_ignore_ascii_case(name)) {
        let detail = "keys are not taken from the URL, where logs would keep them: send `Authorization: Bearer …` or \
                      `X-Api-Key: …`, and replace this key";
        return Problem::of(Kind::UnknownParameter, shown(name), detail);
    }
    let hint = match nearest(name, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "this path takes none".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    };
    Problem::of(
        Kind::UnknownParameter,
        shown(name),
        format!("there is no parameter `{}`; {hint}", shown(name)),
    )
}

/// Undoes `+` and `%XX`. `None` when an escape is cut short or the bytes are not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|b| b == b'%' || b == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Sets what may be given once.
pub(super) fn once<T>(slot: &mut Option<T>, name: &'static str, value: T) -> Result<(), Problem> {
    if slot.replace(value).is_some() {
        return Err(Problem::invalid(name, format!("`{name}` is given more than once")));
    }
    Ok(())
}

/// A whole number within bounds.
pub(super) fn whole<T>(name: &'static str, value: &str, bounds: RangeInclusive<T>) -> Result<T, Problem>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    value.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        let (least, most) = (bounds.start(), bounds.end());
        let detail = format!("`{name}` is `{}`; give a whole number from {least} to {most}", shown(value));
        Problem::invalid(name, detail)
    })
}

/// A number as it is written; its bounds are checked where its meaning is known.
pub(super) fn number(name: &'static str, value: &str) -> Result<f64, Problem> {
    let detail = || format!("`{name}` is `{}`; give a number", shown(value));
    value.trim().parse().map_err(|_| Problem::invalid(name, detail()))
}

pub(super) fn yes_or_no(name: &'static str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| {
        Problem::invalid(name, format!("`{name}` is `{}`; give `true` or `false`", shown(value)))
    })
}

/// The known name a misspelt one was most likely meant to be.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.chars().take(32).collect::<String>().to_lowercase();
    let (distance, near) = known.iter().map(|known| (edits(&name, known), *known)).min()?;
    (distance * 2 <= near.len().max(name.len())).then_some(near)
}

/// How many letters to insert, drop or change to get from one word to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["sku", "near", "radius_km", "limit"];

    fn read(query: &str) -> Result<Vec<Pair<'_>>, Problem> {
        pairs(Some(query), KNOWN).collect()
    }

    fn refused(query: &str) -> String {
        String::from_utf8(read(query).unwrap_err().to_json()).unwrap()
    }

    #[test]
    fn escapes_and_plus_signs_are_undone() {
        let pairs = read("sku=a%2Fb+c%C3%A9&&sku=&near").unwrap();
        assert_eq!(pairs, [("sku", "a/b cé".into()), ("sku", "".into()), ("near", "".into())]);
    }

    #[test]
    fn a_cut_escape_or_foreign_bytes_are_refused_by_name() {
        for query in ["sku=100%", "sku=%2", "sku=%zz", "sku=%ff"] {
            assert!(refused(query).contains("\"parameter\":\"sku\""), "{query}");
        }
        assert!(read("%ff=1").is_err());
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest_one() {
        assert!(refused("radius=5").contains("did you mean `radius_km`?"));
        assert!(refused("SKU=5").contains("did you mean `sku`?"));
        assert!(refused("somethingelse=5").contains("known here: sku, near, radius_km, limit"));
        assert!(none(Some("a=1")).is_err());
        assert!(none(None).is_ok());
    }

    #[test]
    fn a_key_in_the_url_is_refused_without_repeating_it() {
        let answer = refused("api_key=very-secret-indeed");
        assert!(answer.contains("X-Api-Key") && !answer.contains("very-secret-indeed"), "{answer}");
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert_eq!(whole("limit", "500", 1..=500), Ok(500));
        for value in ["0", "501", "-1", "1.5", "", "1e2"] {
            assert!(whole::<u32>("limit", value, 1..=500).is_err(), "{value}");
        }
    }
}
