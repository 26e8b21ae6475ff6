//! Where the hub sends what happens: webhooks, and the services that take part in an order.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;

/// An endpoint of a web shop that hears what happens to orders.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// For the API and the log.
    #[serde(deserialize_with = "name")]
    pub name: String,
    pub url: HttpUrl,
    /// Lines `whsec_…`. Each message is signed with all of them, so a secret is replaced by adding the new one first.
    pub secrets_file: PathBuf,
    /// Kinds of events, such as `order.ready`. Default: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// Default false: addresses of the hub's own machine and network are refused, and so is plain HTTP.
    #[serde(default)]
    pub allow_private_addresses: bool,
}

/// A service that is told what to do.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    pub url: HttpUrl,
    /// One line: a bearer token. Default: none is sent.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Only for notifications: kinds of events. Default: what a shopper wants to know.
    #[serde(default = "told_to_shoppers")]
    pub events: Vec<String>,
    /// Default 10.
    #[serde(default = "timeout_s", deserialize_with = "timeout")]
    pub timeout_s: u32,
    /// So many failures in a row stop the sending for a while. Default 5.
    #[serde(default = "open_after", deserialize_with = "positive")]
    pub open_after_failures: u32,
    /// For how long. Default 30.
    #[serde(default = "open_s", deserialize_with = "positive")]
    pub open_s: u32,
    /// What could not be delivered for so long is a dead letter. Default 24.
    #[serde(default = "dead_after_h", deserialize_with = "positive")]
    pub dead_after_h: u32,
    #[serde(default)]
    pub allow_private_addresses: bool,
}

/// Where to send to, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    pub is_tls: bool,
    /// An IPv6 address stands without its brackets.
    pub host: String,
    pub port: u16,
    /// With the query.
    pub path: String,
}

impl HttpUrl {
    /// Host and port, as the `Host` header has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.is_tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    fn read(text: &str) -> Option<HttpUrl> {
        let uri: hyper::Uri = text.parse().ok()?;
        let is_tls = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        rustls::pki_types::ServerName::try_from(host).ok()?;
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Some(HttpUrl { is_tls, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl<'de> Deserialize<'de> for HttpUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<HttpUrl, D::Error> {
        let text = String::deserialize(from)?;
        // The address may hold a secret in its path or query, so it is not repeated.
        HttpUrl::read(&text).ok_or_else(|| {
            D::Error::custom("this is no URL such as `https://shop.example/hooks` without a user")
        })
    }
}

fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !(1..=64).contains(&name.len()) || !name.chars().all(fits) {
        return Err(D::Error::custom(format!("`{name}` is not 1 to 64 letters, digits, `-` and `_`")));
    }
    Ok(name)
}

fn told_to_shoppers() -> Vec<String> {
    ["ready", "refused", "short", "cancelled", "expired", "closed"].map(|kind| format!("order.{kind}")).into()
}

fn timeout_s() -> u32 {
    10
}

fn open_after() -> u32 {
    5
}

fn open_s() -> u32 {
    30
}

fn dead_after_h() -> u32 {
    24
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 120)
}

fn positive<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, 10_000)
}

fn within<'de, D: Deserializer<'de>>(from: D, max: u32) -> Result<u32, D::Error> {
    let number = u32::deserialize(from)?;
    if !(1..=max).contains(&number) {
        return Err(D::Error::custom(format!("`{number}` is not between 1 and {max}")));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = HttpUrl::read("https://shop.example/hooks?a=b").unwrap();
        assert_eq!(
            (url.is_tls, url.host.as_str(), url.port, url.path.as_str()),
            (true, "shop.example", 443, "/hooks?a=b")
        );
        assert_eq!(url.authority(), "shop.example");
        let url = HttpUrl::read("http://[::1]:8081").unwrap();
        assert_eq!(
            (url.host.as_str(), url.path.as_str(), url.authority().as_str()),
            ("::1", "/", "[::1]:8081")
        );
        for wrong in
            ["", "shop.example", "ftp://shop.example/", "https://u:p@shop.example/", "/hooks", "https://"]
        {
            assert_eq!(HttpUrl::read(wrong), None, "{wrong}");
        }
    }
}
