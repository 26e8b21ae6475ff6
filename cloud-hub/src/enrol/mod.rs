//! Who may speak to the hub: its own certificate authority, the certificates it gives out, the web shop's first key, the
//! keys of pickup orders.

pub mod ca;
pub mod key;
pub mod order_keys;
mod secret;
