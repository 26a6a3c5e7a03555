//! Progress of a sweep: a bar on a terminal, a line now and then in a pipe.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines in a pipe.
const INTERVAL: Duration = Duration::from_secs(30);

/// How far a sweep is.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    start: Instant,
    total: usize,
    finished_before: usize,
    state: Mutex<State>,
}

struct State {
    finished: usize,
    last_line: Instant,
}

impl Progress {
    /// A sweep of `total` runs, of which `left` are to be made.
    pub fn new(total: usize, left: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {per_sec}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position((total - left) as u64);
        bar.reset_eta();
        let start = Instant::now();
        let state = Mutex::new(State { finished: total - left, last_line: start });
        Progress { bar, terminal: std::io::stderr().is_terminal(), start, total, finished_before: total - left, state }
    }

    /// One more run is finished.
    pub fn advance(&self) {
        self.bar.inc(1);
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.finished += 1;
        if !self.terminal && state.last_line.elapsed() >= INTERVAL {
            state.last_line = Instant::now();
            let line = line(state.finished, self.total, self.finished_before, self.start.elapsed().as_secs_f64());
            // Nobody may be listening.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(finished: usize, total: usize, before: usize, seconds: f64) -> String {
    let rate = (finished - before) as f64 / seconds.max(1e-9);
    let left = (total - finished) as f64 / rate.max(1e-9);
    format!("{finished}/{total} runs, {rate:.2} per second, {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_remaining_time_count_new_runs_only() {
        assert_eq!(line(30, 50, 10, 10.0), "30/50 runs, 2.00 per second, 10 s left");
    }
}
