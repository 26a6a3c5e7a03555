//! That a command is at work, and on what: a line on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two drawings.
const TICK: Duration = Duration::from_millis(200);

/// A line on standard error with what is being done and since when, if that is a terminal; it disappears with the value.
pub struct Busy(ProgressBar);

impl Busy {
    pub fn with(what: impl Into<String>) -> Busy {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
        line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        line.set_message(what.into());
        if !line.is_hidden() {
            line.enable_steady_tick(TICK);
        }
        Busy(line)
    }

    /// What is done next.
    pub fn now(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
