//! The program from outside: every command runs as a user runs it, on small data in a directory of its own.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/builds.rs"]
mod builds;
#[path = "cli/contract.rs"]
mod contract;
#[path = "cli/experiments.rs"]
mod experiments;
#[path = "cli/files.rs"]
mod files;
#[path = "cli/paper.rs"]
mod paper;
#[path = "cli/place.rs"]
mod place;
#[path = "cli/processors.rs"]
mod processors;
