//! `pertlearn`: the command line of the crate. Thin: it parses, calls the library, and prints.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
