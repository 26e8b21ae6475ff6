//! Who may speak to the hub: its own certificate authority and the certificates it gives out.

pub mod ca;
