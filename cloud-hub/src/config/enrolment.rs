//! How stores are enrolled: without this table, the hub takes no enrolments over the network.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use sync_protocol::enrolment::{ADDRESSES_MAX, Address};

/// The door for enrolment and renewal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Enrolment {
    /// Default `0.0.0.0:7445` (TCP). Port 0 takes any free port.
    pub listen: SocketAddr,
    /// As stores reach it, `host:port`; tokens carry them. Default: none, and whoever makes a token says them.
    #[serde(deserialize_with = "addresses")]
    pub addresses: Vec<Address>,
    /// How long a certificate is good. Default 60.
    #[serde(deserialize_with = "days")]
    pub certificate_days: u32,
    /// How often a store may come back by its bound key, after its certificate has expired, until it is enrolled again. Default 3.
    #[serde(deserialize_with = "recoveries")]
    pub recoveries_max: u32,
}

impl Default for Enrolment {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 7445)),
            addresses: Vec::new(),
            certificate_days: 60,
            recoveries_max: 3,
        }
    }
}

fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Address>, D::Error> {
    let addresses = Vec::<Address>::deserialize(from)?;
    if addresses.len() > ADDRESSES_MAX {
        return Err(D::Error::custom(format!("a token has room for {ADDRESSES_MAX} addresses")));
    }
    Ok(addresses)
}

fn days<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(u32::deserialize(from)?, 7, 366)
}

fn recoveries<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(u32::deserialize(from)?, 0, 100)
}

fn within<E: serde::de::Error>(number: u32, min: u32, max: u32) -> Result<u32, E> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(E::custom(format!("`{number}` is not between {min} and {max}")))
}
