//! Who may speak to the hub: its own certificate authority, the certificates it gives out, the web shop's first key.

pub mod ca;
pub mod key;
mod secret;
