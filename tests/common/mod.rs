//! What several test programs share.

use std::fmt::Display;
use std::io::Write;

/// Prints a line that `cargo test` shows: the test harness captures `println!`, not what is written directly.
pub fn say(line: impl Display) {
    // A reader that went away must not fail a test.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
