//! `storectl`: puts a store-agent on a store server, enrols it with the hub, looks after it, and takes it away again.
//!
//! Floors, each importing only what stands before it: paths, faults, clock and console; files; plan, network, program and service; the
//! store's identity and the agent's configuration; the conversation with the hub; checks; commands; the command line.

mod answers;
mod checks;
mod cli;
mod clock;
mod commands;
mod console;
mod enrolling;
mod fault;
mod files;
mod identity;
mod layout;
mod plan;
mod program;
mod service;
mod settings;
mod talk;
mod wanted;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
