//! What commands print: tables for people, or one JSON object per line for scripts.

use crate::telemetry::{plain, plain_json};
use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, Width, presets};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// A table for people.
    Table,
    /// One JSON object per line.
    Json,
}

impl Output {
    /// Prints the items to standard output: as lines of JSON, or as `table` prints them.
    pub(super) fn print<T: Serialize>(
        self,
        items: &[T],
        table: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = stdout();
        match self {
            Self::Json => json_lines(&mut out, items),
            Self::Table => table(&mut out),
        }
    }
}

/// Returns standard output for text from other people or programs. Control characters are escaped: see [`PlainText`].
pub(super) fn stdout() -> PlainText<io::StdoutLock<'static>> {
    PlainText(io::stdout().lock())
}

/// Writes UTF-8 text with its line breaks. Escapes every other character that would control a terminal. Each call must
/// write whole characters.
pub(super) struct PlainText<W>(W);

impl<W: Write> Write for PlainText<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        for line in String::from_utf8_lossy(piece).split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => self.0.write_all(format!("{}\n", plain(line)).as_bytes())?,
                None => self.0.write_all(plain(line).as_bytes())?,
            }
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Number of spaces before every column.
const GAP: u16 = 2;
/// Upper bound on the characters of a cell that a terminal shows.
const WIDEST: u16 = 60;

/// Returns the width of the terminal on standard output, in characters. `None` if standard output is a file or a pipe.
pub(super) fn terminal_width() -> Option<u16> {
    let terminal = console::Term::stdout();
    let size = if terminal.features().is_attended() { terminal.size_checked() } else { None };
    size.map(|(_, columns)| columns)
}

/// Prints aligned rows under their header. On a terminal, each row is one line and long cells are cut. In a file or
/// pipe, no cell is cut.
pub(super) fn print_table<const COLUMNS: usize>(
    out: &mut dyn Write,
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> io::Result<()> {
    writeln!(out, "{}", laid_out(header, rows, terminal_width()))
}

fn laid_out<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
    terminal: Option<u16>,
) -> String {
    let mut table = Table::new();
    // Without a delimiter, a cell is cut at the end of its column, not at the last space before.
    table.load_style(presets::NOTHING).set_delimiter('\0').set_truncation_indicator("…").set_header(header);
    for cells in rows {
        let mut row = Row::from(cells);
        if terminal.is_some() {
            row.max_height(1);
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((GAP, 0));
        if terminal.is_some() {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(GAP + WIDEST)));
        }
    }
    if let Some(columns) = terminal {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    table.trim_fmt()
}

/// Prints one line of JSON per item. Characters that would control a terminal are written as JSON escapes.
pub(super) fn json_lines<T: Serialize>(out: &mut dyn Write, items: &[T]) -> io::Result<()> {
    for item in items {
        let json = serde_json::to_string(item)?;
        let mut line = String::with_capacity(json.len() + 1);
        plain_json(&json, &mut line).map_err(io::Error::other)?;
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_text_and_json() {
        let hostile = "\u{1b}]0;title\u{7}\u{9b}2J\u{202e}x\rü";
        let (mut text, mut json) = (PlainText(Vec::new()), Vec::new());
        writeln!(text, "a {hostile}\nb").unwrap();
        assert_eq!(String::from_utf8(text.0).unwrap(), "a \\u{1b}]0;title\\u{7}\\u{9b}2J\\u{202e}x\\rü\nb\n");
        json_lines(&mut json, &[hostile]).unwrap();
        let line = String::from_utf8(json).unwrap();
        assert!(line.trim_end().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }

    #[test]
    fn columns_line_up_and_long_cells_are_cut() {
        let row = || [["long".to_owned(), "x".repeat(100)]];
        let text = laid_out(["a", "b"], row(), Some(200));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "  a     b");
        assert!(lines[1].ends_with('…') && lines[1].chars().count() == usize::from(2 + 4 + 2 + WIDEST), "{text}");
        let text = laid_out(["a", "b"], row(), None);
        assert_eq!(text, format!("  a     b\n  long  {}", "x".repeat(100)), "a pipe gets the whole cell");
    }

    #[test]
    fn on_a_terminal_the_widest_column_gives_up_room() {
        let text = laid_out(["a", "b", "c"], [["x".repeat(10), "y".repeat(50), "z".repeat(8)]], Some(40));
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line.chars().count(), 40);
        assert!(line.contains(&"x".repeat(10)) && line.contains('…') && line.ends_with("zzzzzzzz"), "{line}");
    }
}
