//! What the tests stand on: real binaries in a temporary folder, lines that can be cut, clients of our own.
//!
//! A test builds a [`Scene`], opens a [`Hub`] in it and [`Store`]s beside it, and reads like a script from there. It waits
//! for states, never for times. A scene that fails keeps its folder, with every log, and says where it is.

mod certificates;
mod daemon;
mod disk;
mod http;
mod hub;
mod quic;
mod relay;
mod scene;
mod store;
mod till;
mod wait;

pub use certificates::{Identity, expired, of_another_authority};
pub use disk::{Ground, SmallDisk};
pub use http::Reply;
pub use hub::Hub;
pub use quic::RawLink;
pub use scene::{Scene, Transport};
pub use store::Store;
pub use till::{Till, skus};
pub use wait::{eventually, pause};
