//! Style, script and picture, inside the binary. Their addresses carry a hash of their content, so browsers keep them for good and a
//! new release is seen at once.

use super::Desk;
use super::failure::Failure;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;
use twox_hash::XxHash3_64;

/// A year: the address changes with the content.
const KEEP: &str = "public, max-age=31536000, immutable";

/// One file.
#[derive(Debug)]
pub struct Asset {
    kind: &'static str,
    bytes: &'static [u8],
    address: LazyLock<String>,
    /// Once for all: a tablet on a weak wireless network loads a third.
    deflated: LazyLock<Vec<u8>>,
}

macro_rules! asset {
    ($stem:literal, $ending:literal, $kind:literal, $file:literal) => {
        Asset {
            kind: $kind,
            bytes: include_bytes!(concat!("assets/", $file)),
            address: LazyLock::new(|| address($stem, $ending, include_bytes!(concat!("assets/", $file)))),
            deflated: LazyLock::new(|| deflated(include_bytes!(concat!("assets/", $file)))),
        }
    };
}

pub static STYLE: Asset = asset!("page", "css", "text/css; charset=utf-8", "page.css");
pub static GOODS: Asset = asset!("goods", "css", "text/css; charset=utf-8", "goods.css");
pub static SCANNER: Asset = asset!("scanner", "js", "text/javascript; charset=utf-8", "scanner.js");
pub static SCRIPT: Asset = asset!("page", "js", "text/javascript; charset=utf-8", "page.js");
pub static HTMX: Asset = asset!("htmx", "js", "text/javascript; charset=utf-8", "htmx.min.js");
pub static ICON: Asset = asset!("icon", "svg", "image/svg+xml", "icon.svg");

static ALL: [&Asset; 6] = [&STYLE, &GOODS, &SCANNER, &SCRIPT, &HTMX, &ICON];

fn address(stem: &str, ending: &str, bytes: &[u8]) -> String {
    format!("{stem}-{:016x}.{ending}", XxHash3_64::oneshot(bytes))
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9)
}

impl Asset {
    /// Where the page finds it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/assets/{}", *self.address)
    }
}

pub async fn serve(State(_): Desk, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = ALL.iter().find(|asset| *asset.address == name) else {
        return Failure::NotFound.into_response();
    };
    let taken =
        headers.get(header::ACCEPT_ENCODING).and_then(|taken| taken.to_str().ok()).unwrap_or_default();
    let takes_deflate = taken.split(',').any(|one| one.trim() == "deflate");
    let mut response = if takes_deflate {
        ([(header::CONTENT_ENCODING, HeaderValue::from_static("deflate"))], asset.deflated.as_slice())
            .into_response()
    } else {
        asset.bytes.into_response()
    };
    let more = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, KEEP),
        (header::VARY, "accept-encoding"),
    ];
    for (name, value) in more {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a tablet loads before it shows anything, as it is sent.
    const COMPRESSED_BYTES_MAX: usize = 60_000;

    #[test]
    fn all_of_it_stays_small() {
        let mut sum = 0;
        for asset in ALL {
            let deflated = asset.deflated.len();
            println!("{}: {} bytes, {deflated} deflated", *asset.address, asset.bytes.len());
            sum += deflated;
        }
        assert!(sum < COMPRESSED_BYTES_MAX, "{sum}");
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for asset in [&STYLE, &GOODS, &SCANNER, &SCRIPT, &ICON] {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            let foreign: Vec<_> = text
                .match_indices("//")
                .filter(|(at, _)| text[..*at].ends_with("http:") || text[..*at].ends_with("https:"))
                .collect();
            let names = text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(foreign.len(), names, "{}", *asset.address);
            assert!(!text.contains("@import"), "{}", *asset.address);
        }
    }

    #[test]
    fn the_address_changes_with_the_content() {
        assert_ne!(address("a", "js", b"1"), address("a", "js", b"2"));
        assert!(SCRIPT.path().starts_with("/assets/page-") && SCRIPT.path().ends_with(".js"));
    }
}
