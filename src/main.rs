//! `pertlearn`: the command line of the crate. Thin: it parses, calls the library, and prints.

mod cli;

use std::process::ExitCode;

use perturbation_learning::memory::HugePages;

#[global_allocator]
static ALLOCATOR: HugePages = HugePages;

fn main() -> ExitCode {
    cli::main()
}
