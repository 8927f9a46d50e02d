//! Progress for people: a spinner or a bar on a terminal, plain lines or nothing elsewhere; always on standard
//! error.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write as _;
use std::time::Duration;

/// Says what is being done and what was.
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

    /// This is being done now.
    pub(super) fn doing(&self, what: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(what.to_owned());
        }
    }

    /// This happened; it stays on the screen.
    pub(super) fn done(&self, what: &str) {
        if self.bar.is_hidden() {
            // Nobody may be reading; that is no reason to end.
            let _ = writeln!(std::io::stderr(), "  {what}");
        } else {
            self.bar.println(format!("  {what}"));
        }
    }

    /// Ends the spinner.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How far one piece of work has come.
pub(super) struct Bar(ProgressBar);

impl Bar {
    const LENGTH: u64 = 1_000;

    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("  {bar:30} {percent:>3} %  {msg}").expect("a valid template");
        Self(ProgressBar::new(Self::LENGTH).with_style(style))
    }

    /// So much is done, as a share of the whole.
    pub(super) fn at(&self, fraction: f64, what: &str) {
        self.0.set_position((fraction.clamp(0.0, 1.0) * Self::LENGTH as f64) as u64);
        self.0.set_message(what.to_owned());
    }

    /// Takes it off the screen.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
