//! Shows progress on standard error. A terminal gets a spinner or a bar, other outputs get plain lines or nothing.

use crate::telemetry::plain;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write as _;
use std::time::Duration;

/// A spinner with the current step, and one line for each completed step.
pub(super) struct Narrator {
    bar: ProgressBar,
}

impl Narrator {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("  {spinner} {elapsed:>3}  {msg}").expect("a valid template");
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    /// Shows the current step on a terminal. Prints nothing on other outputs.
    pub(super) fn doing(&self, what: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(plain(what));
        }
    }

    /// Prints a line that stays on the screen.
    pub(super) fn done(&self, what: &str) {
        if self.bar.is_hidden() {
            // Goes on if standard error is a closed pipe.
            let _ = writeln!(std::io::stderr(), "  {}", plain(what));
        } else {
            self.bar.println(format!("  {}", plain(what)));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A progress bar for one piece of work. Shown only on a terminal.
pub(super) struct Bar(ProgressBar);

impl Bar {
    const LENGTH: u64 = 1_000;

    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("  {bar:30} {percent:>3} %  {msg}").expect("a valid template");
        Self(ProgressBar::new(Self::LENGTH).with_style(style))
    }

    /// Sets the share of the work that is done, from 0 to 1.
    pub(super) fn at(&self, fraction: f64, what: &str) {
        self.0.set_position((fraction.clamp(0.0, 1.0) * Self::LENGTH as f64) as u64);
        self.0.set_message(plain(what));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
