//! Whether a bench runs in full or only shows that it runs.

/// Everything a tenth as large or less: without cargo's `--bench`, with `--test`, or with `PERTLEARN_QUICK=1`.
pub fn quick() -> bool {
    let given = |option: &str| std::env::args().any(|argument| argument == option);
    !given("--bench") || given("--test") || std::env::var("PERTLEARN_QUICK").is_ok_and(|value| value == "1")
}

/// A size in full, and in quick mode.
pub fn sized(full: usize, small: usize) -> usize {
    if quick() { small } else { full }
}
