//! Reads what a child process writes: progress on its standard output, and errors on its standard error.
//!
//! Guarantees: a child may write any amount and never blocks on a full pipe. The worker keeps only a bounded part of
//! it.

use crate::training::protocol::ChildProgress;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

/// The number of bytes kept from the end of the standard error.
const ERROR_TAIL: usize = 4 * 1024;
/// The most bytes of a line of progress. A longer line is skipped.
const LINE_CAP: usize = 4 * 1024;

/// Reads lines of progress from a stream and skips all other lines.
pub(super) struct ProgressLines<R> {
    stream: BufReader<R>,
    line: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncRead + Unpin> ProgressLines<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream: BufReader::new(stream), line: Vec::new(), too_long: false }
    }

    /// Returns the next progress. `None` once the stream has ended. Cancel-safe: a dropped future loses no bytes.
    pub(super) async fn next(&mut self) -> Option<ChildProgress> {
        loop {
            let chunk = match self.stream.fill_buf().await {
                Ok([]) | Err(_) => return None,
                Ok(chunk) => chunk,
            };
            let (part, ended) = match chunk.iter().position(|byte| *byte == b'\n') {
                Some(at) => (&chunk[..at], true),
                None => (chunk, false),
            };
            if self.line.len() + part.len() > LINE_CAP {
                self.too_long = true;
            } else {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(ended);
            self.stream.consume(consumed);
            if ended {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.too_long)
                    && let Some(progress) = ChildProgress::read(&line)
                {
                    return Some(progress);
                }
            }
        }
    }
}

/// Reads a stream to its end and keeps the last [`ERROR_TAIL`] bytes.
pub(super) async fn tail(mut stream: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 2 * ERROR_TAIL {
            kept.drain(..kept.len() - ERROR_TAIL);
        }
    }
    let start = kept.len().saturating_sub(ERROR_TAIL);
    String::from_utf8_lossy(&kept[start..]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_progress_is_read_however_much_is_written() {
        let output = format!(
            "hello\n{}\n{{\"step\":\"fit\",\"fraction\":0.5,\"message\":\"half\\u0000\"}}\n{{\"step\":\"fit\",\"fraction\":7,\
             \"message\":\"\"}}\n{{\"step\":\"fit\",\"fraction\":1,\"message\":\"cut",
            "x".repeat(100_000)
        );
        let mut lines = ProgressLines::new(output.as_bytes());
        let progress = lines.next().await.unwrap();
        assert_eq!(
            (progress.step.as_str(), progress.fraction, progress.message.as_str()),
            ("fit", 0.5, "half\u{fffd}")
        );
        assert_eq!(lines.next().await, None);
    }

    #[tokio::test]
    async fn the_tail_is_what_was_written_last() {
        let output = format!("{}the end\n", "x".repeat(100_000));
        let tail = tail(output.as_bytes()).await;
        assert!(tail.ends_with("xthe end") && tail.len() <= ERROR_TAIL, "{}", tail.len());
    }
}
