//! Writes logs to standard error, as text for people or as one JSON object a line.
//!
//! Guarantees: an event is one line, whatever text it contains. Control characters and escape sequences are escaped.

mod lines;

use lines::{JsonFields, JsonLines, PrettyFields};
use serde::{Deserialize, Serialize};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::Registry;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Pretty,
    Json,
}

/// Returns the `tracing` layer that writes events in this format to this writer.
pub(super) fn layer<W>(format: LogFormat, coloured: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Pretty => layer.with_ansi(coloured).with_target(false).fmt_fields(PrettyFields).boxed(),
        LogFormat::Json => layer.with_ansi(false).fmt_fields(JsonFields).event_format(JsonLines).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing::{error, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str =
        "eve\n{\"level\":\"ERROR\"}\r\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gnp.exe\u{2066}\u{85}\u{2028}";

    /// Logs `HOSTILE` as a span's field, as an event's fields of every kind and as its message. Returns the log's text.
    fn written(format: LogFormat) -> String {
        let written = LogBuffer::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(layer(format, false, move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let long = HOSTILE.repeat(200);
            let span = info_span!("run", otel.name = "hidden", run.id = "tr_1", requester = HOSTILE).entered();
            info_span!("stage", run.stage = "train")
                .in_scope(|| error!(reason = %HOSTILE, said = ?HOSTILE, long, count = 3, "failed: {HOSTILE}"));
            drop(span);
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn check_harmless(line: &str) {
        let bad = |c: &char| c.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*c);
        assert_eq!(line.trim_end_matches('\n').chars().find(bad), None, "{line}");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.len() < 8_000 && !line.contains("hidden"), "{}", line.len());
    }

    #[test]
    fn hostile_text_stays_one_harmless_line_for_people() {
        let line = written(LogFormat::Pretty);
        check_harmless(&line);
        assert!(line.contains(r"run{run.id=") && line.contains(r"failed: eve\n{"), "{line}");
        assert!(line.contains(r"\u{202e}gnp.exe") && line.contains("bytes)"), "{line}");
    }

    #[test]
    fn hostile_text_is_one_flat_json_object_and_reads_back() {
        let line = written(LogFormat::Json);
        check_harmless(&line);
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["requester"], &line["reason"]), (&HOSTILE.into(), &HOSTILE.into()));
        assert_eq!((&line["run.id"], &line["run.stage"], &line["count"]), (&"tr_1".into(), &"train".into(), &3.into()));
        assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &format!("failed: {HOSTILE}").into()));
        assert!(line["long"].as_str().unwrap().ends_with(&format!("… ({} bytes)", HOSTILE.len() * 200)));
        assert!(line.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array()));
    }
}
