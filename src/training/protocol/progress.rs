//! Progress, as lines of JSON on the child's standard output.

use serde::{Deserialize, Serialize};

/// One line. Members that it does not name are ignored: a registered command may print more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildProgress {
    /// `read`, `check`, `fit`, `score`, `evaluate`; a registered command's own word.
    pub step: String,
    /// Share of the whole work, 0 to 1.
    pub fraction: f64,
    /// A sentence for people.
    pub message: String,
    /// When the child got there, in microseconds since 1970; a registered command need not give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_unix_micros: Option<u64>,
}

impl ChildProgress {
    /// Parses a line that may come from foreign code: cuts long texts and replaces control characters. None where the
    /// line is no progress, or its fraction is outside 0 to 1.
    pub fn read(line: &[u8]) -> Option<Self> {
        const STEP_CAP: usize = 32;
        const MESSAGE_CAP: usize = 200;
        let line: Self = serde_json::from_slice(line).ok()?;
        let clean = |text: &str, cap: usize| -> String {
            text.chars().take(cap).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
        };
        (0.0..=1.0).contains(&line.fraction).then(|| Self {
            step: clean(&line.step, STEP_CAP),
            fraction: line.fraction,
            message: clean(&line.message, MESSAGE_CAP),
            at_unix_micros: line.at_unix_micros,
        })
    }

    /// Maps the fraction of one step to the part of the whole work that the step covers.
    #[must_use]
    pub fn within(mut self, start: f64, end: f64) -> Self {
        self.fraction = start + (end - start) * self.fraction;
        self
    }
}
