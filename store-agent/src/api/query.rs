//! What stands after the `?`: read strictly, because a mistyped parameter that is passed over gives a wrong answer.

use crate::http::Problem;
use axum::extract::Query;
use axum::http::Uri;
use serde::de::DeserializeOwned;
use std::error::Error;

/// Entries of one page, unless asked otherwise, and at most.
const PAGE: u32 = 100;
const PAGE_MAX: u32 = 1000;

pub fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => {
            let reason = rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string);
            let parameter = parameter(&reason).to_owned();
            Err(Problem::bad_parameter(&parameter, reason))
        }
    }
}

/// The parameter a message such as "limit: invalid digit" or "unknown field `lmit`" is about.
fn parameter(reason: &str) -> &str {
    match reason.split_once(": ") {
        Some((name, _)) if !name.contains(' ') => name,
        _ => reason.split('`').nth(1).unwrap_or_default(),
    }
}

pub fn page(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => Err(Problem::bad_parameter("limit", format!("must be between 1 and {PAGE_MAX}"))),
    }
}

/// Cuts the one entry that was asked for beyond the page; `next` is the key of the last one left, if there are more.
pub fn cut<T, K>(mut entries: Vec<T>, limit: u32, key: impl Fn(&T) -> K) -> (Vec<T>, Option<K>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(key);
    (entries, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_how_to_go_on_only_when_there_is_more() {
        assert_eq!(cut(vec![1, 2, 3], 2, |n| *n), (vec![1, 2], Some(2)));
        assert_eq!(cut(vec![1, 2], 2, |n| *n), (vec![1, 2], None));
        assert_eq!(cut(Vec::<i32>::new(), 2, |n| *n), (vec![], None));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Asked {
            #[expect(dead_code, reason = "only read for its type")]
            limit: Option<u32>,
        }
        for (uri, name) in [("/x?limit=many", "limit"), ("/x?lmit=1", "lmit")] {
            let problem = read::<Asked>(&uri.parse().unwrap()).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some(name), "{}", problem.detail);
        }
    }
}
