//! `pertlearn`: the command line of the crate. Thin: it parses, calls the library, and prints.

mod cli;

use std::process::ExitCode;

use perturbation_learning::memory::ArrayAllocator;

#[global_allocator]
static ALLOCATOR: ArrayAllocator = ArrayAllocator;

fn main() -> ExitCode {
    cli::main()
}
