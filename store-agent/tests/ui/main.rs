//! The store's page over real sockets: one binary of modules. What a browser does is done by hand here, so that tests can also do
//! what no browser would.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod books;
#[path = "../http/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the API, which use all of it")]
mod client;
mod counts;
mod doors;
mod goods;
mod orders;
mod people;
mod screen;
#[path = "../http/shop.rs"]
#[allow(dead_code, reason = "shared with the tests of the API, which use all of it")]
mod shop;
mod strangers;
