//! Processor time: what a computation takes whatever else the machine does.

use std::fs::{DirEntry, read_dir, read_to_string};
use std::sync::LazyLock;
use std::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Processor time of all threads that this process has, in seconds; a thread that ends takes its time with it. Where the
/// system does not tell (outside Linux), time on the clock.
pub fn processor_seconds() -> f64 {
    let of_thread = |entry: std::io::Result<DirEntry>| {
        let text = read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    match read_dir("/proc/self/task") {
        Ok(threads) => threads.filter_map(of_thread).sum::<f64>() / 1e9,
        Err(_) => seconds(),
    }
}

/// Time on the clock, in seconds.
pub fn seconds() -> f64 {
    START.elapsed().as_secs_f64()
}
