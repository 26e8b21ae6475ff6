//! What the tests stand on: real binaries in a temporary folder, lines that can be cut, clients of our own.
//!
//! A test builds a [`Scene`], opens a [`Hub`] in it and [`Store`]s beside it, and reads like a script from there. It waits
//! for states, never for times. A scene that fails keeps its folder, with every log, and says where it is.

mod broker;
mod browser;
mod certificates;
mod chaos;
mod daemon;
mod day;
mod disk;
mod gate;
mod http;
mod hub;
mod installer;
mod machine;
mod quic;
mod receiver;
mod relay;
mod rounds;
mod scene;
mod store;
mod till;
mod wait;

pub use browser::Browser;
pub use certificates::{Identity, expired, of_another_authority};
pub use daemon::{Daemon, binary};
pub use day::{opened, opened_store, settle, under_load, under_long_load};
pub use disk::{Ground, SmallDisk};
pub use gate::Gate;
pub use http::{Client, Reply};
pub use hub::Hub;
pub use machine::{BROUGHT, Machine};
pub use quic::RawLink;
pub use receiver::{Reaction, Received, Receiver};
pub use rounds::rounds;
pub use scene::{Scene, Transport};
pub use store::Store;
pub use wait::{eventually, pause, seconds_ahead, stopwatch};
