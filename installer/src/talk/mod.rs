//! The network: to the hub, through a proxy if need be, and to the agent on this machine.
//!
//! Promises: everything has a time limit and a bound; the hub is known by its authority's certificate and by nothing else, the
//! system's own roots count for nothing there, only for downloads; who opens the encryption on the way is named.

pub mod dial;
pub mod download;
pub mod https;
pub mod local;
pub mod quic;
pub mod tls;

use crate::fault::{Code, Fault};
use std::future::Future;

/// Runs what waits for the network.
pub fn wait_for<T>(what: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::caused(Code::E901, "cannot start the runtime", error))?;
    let result = runtime.block_on(what);
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    result
}
