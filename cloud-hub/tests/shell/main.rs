//! The hub's shell from outside: certificates, commands, listening, stopping, and what a peer can do to it.
//!
//! Real sockets, real TLS, real processes; temporary folders and free ports; waits are for states, never for times.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod broker;
mod broker_acl;
mod commands;
mod enrolment;
mod ingest;
mod mosquitto;
mod mqtt;
mod mqtt_peer;
mod nats;
mod peer;
mod pickup_settings;
mod process;
