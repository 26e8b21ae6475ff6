//! `storectl`: puts a store-agent on a store server, enrols it with the hub, looks after it, and takes it away again.
//!
//! Floors, each importing only what stands before it: paths, faults, clock and console; files; plan, network, program and books of
//! upgrades; the store's identity, service and releases; the agent's configuration and the folders of programs; the conversation with the hub; checks; commands; the command line.

mod answers;
mod books;
mod checks;
mod cli;
mod clock;
mod commands;
mod console;
mod enrolling;
mod fault;
mod files;
mod habits;
mod identity;
mod layout;
mod plan;
mod presets;
mod program;
mod release;
mod service;
mod settings;
mod slots;
mod talk;
mod wanted;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
